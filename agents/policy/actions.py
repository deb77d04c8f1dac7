"""Find, in a padded batch of responses, the states in which actions were chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agents.policy.logprobs import ActionMasks
from agents.policy.slots import on_device

Ints = npt.NDArray[np.int64] | torch.Tensor
Bools = npt.NDArray[np.bool_] | torch.Tensor


@dataclass(frozen=True, eq=False)
class ActionBatch:
    """Hold responses and the n positions in them at which an action was chosen.

    What it is given lies in main memory, what it returns on the device.

    Args:
        tokens: [B, L] prompts and responses, padded on the right.
        prompt_lengths: [B].
        is_action: [B, T]; column t of a row is its token prompt_lengths + t.
        mask_index: [B, T], the row of `mask_table` that held at each position; None means that all tokens were allowed.
        mask_table: [U, V] on the device.
        device: of what is returned.
    """

    tokens: npt.NDArray[np.int64]
    prompt_lengths: npt.NDArray[np.int64]
    is_action: npt.NDArray[np.bool_]
    mask_index: npt.NDArray[np.int64] | None
    mask_table: torch.Tensor | None
    device: torch.device

    @classmethod
    def of(cls, tokens: Ints, prompt_lengths: Ints, is_action: Bools, masks: ActionMasks | None, device: torch.device) -> ActionBatch:
        """Check shapes and ranges and bring everything to where it belongs."""
        index = None if masks is None else _array(masks.index, np.int64)
        table = None if masks is None else torch.as_tensor(masks.table).to(device)
        arrays = _array(tokens, np.int64), _array(prompt_lengths, np.int64), _array(is_action, np.bool_)
        batch = cls(*arrays, index, table, device)
        num_rows, length = batch.tokens.shape
        assert batch.prompt_lengths.shape == (num_rows,) and len(batch.is_action) == num_rows
        assert index is None or index.shape == batch.is_action.shape
        if (batch.prompt_lengths < 1).any():
            raise ValueError("prompt_lengths must be at least 1: the first token needs something to be predicted from, got 0")
        last = batch._places[1].max(initial=-1) + 1
        if last >= length:
            raise ValueError(f"is_action marks column {last} of tokens, which have {length} columns")
        return batch

    def split(self, rows_per_chunk: int | None) -> Iterator[ActionBatch]:
        """Yield the batch in pieces of so many rows."""
        step = len(self.tokens) if rows_per_chunk is None else rows_per_chunk
        if step < 1:
            raise ValueError(f"rows_per_chunk must be at least 1, got {rows_per_chunk}")
        for start in range(0, len(self.tokens), step):
            part = slice(start, start + step)
            index = None if self.mask_index is None else self.mask_index[part]
            columns = self.tokens[part], self.prompt_lengths[part], self.is_action[part]
            yield ActionBatch(*columns, index, self.mask_table, self.device)

    @cached_property
    def _places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows, and columns of `tokens` of the last token before each action."""
        rows, columns = np.nonzero(self.is_action)
        return rows, self.prompt_lengths[rows] + columns - 1

    @property
    def states(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return row and column in `read` of the last token before each action: [n] and [n]."""
        return on_device(self._places[0], self.device), on_device(self._places[1], self.device)

    @property
    def actions(self) -> torch.Tensor:
        """Return the tokens that were chosen: [n]."""
        return on_device(self.tokens[self._places[0], self._places[1] + 1], self.device)

    @property
    def read(self) -> torch.Tensor:
        """Return those columns of `tokens` that are before some action: [B, at least 1]."""
        return on_device(self.tokens[:, : self._places[1].max(initial=0) + 1], self.device)

    def allowed(self, part: slice) -> torch.Tensor:
        """Return the masks [k, V] of some of the n positions."""
        assert self.mask_index is not None and self.mask_table is not None
        return self.mask_table[on_device(self.mask_index[self.is_action][part], self.device)]

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Put one value per position [n, ...] into [B, T, ...], zero elsewhere."""
        rows, columns = (on_device(place, self.device) for place in np.nonzero(self.is_action))
        zeros = torch.zeros((*self.is_action.shape, *values.shape[1:]), dtype=values.dtype, device=values.device)
        return zeros.index_put((rows, columns), values)


def _array(values: Ints | Bools, dtype: Any) -> npt.NDArray[Any]:
    return np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values, dtype=dtype)
