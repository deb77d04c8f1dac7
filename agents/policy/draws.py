"""Draw the numbers that decide tokens: for all rows together, or for each row by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True, eq=False)
class Draws:
    """Hold random generators. They live on the CPU on every device, so that a seed gives the same numbers everywhere.

    Args:
        shared: draws for all rows of a step, in their order.
        by_row: where there are any, one per row, which draws for that row alone.
    """

    shared: torch.Generator
    by_row: tuple[torch.Generator, ...] = ()

    @classmethod
    def of(cls, seed: int) -> Draws:
        """Return draws for all rows together."""
        return cls(torch.Generator().manual_seed(seed))

    @classmethod
    def of_rows(cls, seeds: Sequence[int]) -> Draws:
        """Return draws for each row by itself, so that what a row writes does not depend on what else is written."""
        return cls(torch.Generator(), tuple(torch.Generator().manual_seed(seed) for seed in seeds))

    def uniforms(self, rows: npt.NDArray[np.int64], dtype: torch.dtype) -> torch.Tensor:
        """Draw a number from 0 to 1 for each of these rows: [n], on the CPU."""
        if not self.by_row:
            return torch.rand(len(rows), generator=self.shared, dtype=dtype)
        return torch.cat([torch.rand(1, generator=self.by_row[row], dtype=dtype) for row in rows])


@runtime_checkable
class DrawingMemory(Protocol):
    """Name what a policy's memory has whose draws can be replaced."""

    draws: Draws

    def drawing_by_row(self, seeds: Sequence[int]) -> Any:
        """Return this memory with draws of its own for each row."""
        ...
