"""Lose or change answers on their way: parts of the last stage of `Annotator`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from feedback.simulated.replies_table import TIMEOUT, CodeArray
from feedback.simulated.shown_sets import FloatArray, Shown
from feedback.simulated.slips import check_shares


class Channel(Protocol):
    """Bring answers, or not."""

    turn: ClassVar[int]

    def bring(self, codes: CodeArray, seconds: FloatArray, utilities: FloatArray, shown: Shown) -> tuple[CodeArray, FloatArray]:
        """Return the codes and the seconds that answers took, [N] each.

        Args:
            seconds: NaN where no part has said yet. utilities: [N, M], from before the choice.
        """
        ...


@dataclass(frozen=True)
class Delay:
    """Take time, the more the nearer the contents: ln seconds = ln median + hesitation * exp(-|D|) + N(0, spread^2).

    D is the difference of the two best; of a single content, its utility. An answer after the deadline is none. Source of the idea:
    Warnell et al. 2018, "Deep TAMER", where feedback comes seconds after what it is about.

    Args:
        median: seconds where the difference is large. hesitation: 0 = no more for near ones. spread: of the logarithm.
        deadline: seconds; inf = none.
    """

    turn: ClassVar[int] = 0
    median: float = 8.0
    hesitation: float = 0.5
    spread: float = 0.5
    deadline: float = float("inf")

    def __post_init__(self) -> None:
        if not self.median > 0 or not self.deadline > 0 or self.spread < 0:
            raise ValueError(
                f"median and deadline must be above 0 seconds and spread at least 0, got {self.median}, {self.deadline}, {self.spread}"
            )

    def bring(self, codes: CodeArray, seconds: FloatArray, utilities: FloatArray, shown: Shown) -> tuple[CodeArray, FloatArray]:
        """Return timeouts where the deadline is missed, and the seconds elsewhere."""
        if shown.size == 1:
            difference = np.abs(utilities[:, 0])
        else:
            two = np.partition(utilities, shown.size - 2, axis=1)[:, -2:]
            difference = two[:, 1] - two[:, 0]
        taken = self.median * np.exp(self.hesitation * np.exp(-difference) + self.spread * shown.draws.normal("delay"))
        is_late = taken > self.deadline
        return np.where(is_late, TIMEOUT, codes).astype(np.int8), np.where(is_late, np.nan, taken)


@dataclass(frozen=True)
class DropOut:
    """Leave for good after an answer, with a probability; from then on nothing is answered. How many, the seed and the session decide.

    Args:
        share: of the answers after which a person leaves; the mean number of answers is 1 / share.
    """

    turn: ClassVar[int] = 1
    share: float

    def __post_init__(self) -> None:
        check_shares(share=self.share)

    def bring(self, codes: CodeArray, seconds: FloatArray, utilities: FloatArray, shown: Shown) -> tuple[CodeArray, FloatArray]:
        """Return timeouts after the person has left."""
        if self.share == 0:
            return codes, seconds
        session = 0 if shown.features.session is None else np.asarray(shown.features.session)
        drawn = shown.draws.personal("drop-out", session)
        answers = np.floor(np.log(drawn) / np.log1p(-self.share)) + 1.0 if self.share < 1 else np.ones_like(drawn)
        has_left = np.broadcast_to(shown.time >= answers, codes.shape)
        return np.where(has_left, TIMEOUT, codes).astype(np.int8), np.where(has_left, np.nan, seconds)


@dataclass(frozen=True)
class Confusion:
    """Say another class than was meant: P(said | meant) is a row of a matrix (Dawid & Skene 1979). For ratings, thumbs and labels.

    Args:
        rows: one for each class that can be meant, of probabilities of the classes that can be said.
    """

    rows: tuple[tuple[float, ...], ...] = field(repr=False)

    def __post_init__(self) -> None:
        matrix = np.asarray(self.rows, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any() or not np.allclose(matrix.sum(axis=1), 1.0):
            raise ValueError(
                f"a confusion is a square matrix of probabilities whose rows sum to 1, got the shape {matrix.shape}: {self.rows}"
            )

    @property
    def num_classes(self) -> int:
        """Return how many classes there are."""
        return len(self.rows)

    def say(
        self, meant: np.ndarray[tuple[int, ...], np.dtype[np.int64]], drawn: FloatArray
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Return what is said for what is meant.

        Args:
            meant: [N], classes from 0. drawn: [N], uniform.
        """
        if len(meant) and not 0 <= meant.min() <= meant.max() < self.num_classes:
            raise ValueError(f"this confusion knows the classes 0 to {self.num_classes - 1}, got {meant.min()} to {meant.max()}")
        edges = np.cumsum(np.asarray(self.rows, dtype=np.float64), axis=1)[:, :-1]
        return np.asarray((drawn[:, None] >= edges[meant]).sum(axis=1), dtype=np.int64)
