"""Decide when an annotator sees no difference, cannot judge, or finds everything bad: parts of the second stage of `Annotator`.

The later of tie, skip and all bad stands where several hold. Each threshold is applied once, to utilities in their own unit: who scales the
utilities scales the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from feedback.simulated.replies_table import ALL_BAD, ANSWERED, SKIP, TIE, CodeArray
from feedback.simulated.shown_sets import FloatArray, Shown


class WithholdingPart(Protocol):
    """Withhold a preference."""

    turn: ClassVar[int]

    def withhold(self, codes: CodeArray, utilities: FloatArray, shown: Shown) -> CodeArray:
        """Return the codes [N], changed where a preference is withheld."""
        ...


@dataclass(frozen=True)
class Equal:
    """Tie two contents whose utilities differ by less than `within`; in a ranking, neighbours. Source: Lee et al. 2021, "B-Pref"."""

    turn: ClassVar[int] = 0
    within: float

    def __post_init__(self) -> None:
        if not self.within > 0:
            raise ValueError(f"within must be above 0, got {self.within}: without it exactly equal contents are tied anyway")

    def withhold(self, codes: CodeArray, utilities: FloatArray, shown: Shown) -> CodeArray:
        """Return ties of pairs; the neighbours of a ranking are tied when it is made."""
        if shown.size != 2:
            return codes
        return np.where(np.abs(utilities[:, 0] - utilities[:, 1]) < self.within, TIE, codes).astype(np.int8)


@dataclass(frozen=True)
class DavidsonTie:
    """Tie two contents by chance, the nearer the more often.

    P(tie) = nu sqrt(pa pb) / (pa + pb + nu sqrt(pa pb)) = nu / (2 cosh(slope * D / 2) + nu),   pa = exp(slope * ua)

    With `Boltzmann(slope)` the rest is Davidson's model (Davidson 1970). Rankings are refused: it is a model of pairs.

    Args:
        nu: 0 = no ties; 2 = half of all judgements of equal contents. slope: as of the choice.
    """

    turn: ClassVar[int] = 0
    nu: float
    slope: float = 1.0

    def __post_init__(self) -> None:
        if self.nu < 0 or self.slope < 0:
            raise ValueError(f"nu and slope must be at least 0, got {self.nu} and {self.slope}")

    def withhold(self, codes: CodeArray, utilities: FloatArray, shown: Shown) -> CodeArray:
        """Return ties of pairs."""
        if shown.size == 1:
            return codes
        if shown.size > 2:
            raise ValueError("DavidsonTie is a model of pairs, so it cannot rank: let Equal tie what is near in a ranking")
        half = np.minimum(np.abs(self.slope * (utilities[:, 0] - utilities[:, 1])) / 2.0, 700.0)  # beyond, cosh overflows
        return np.where(shown.draws.uniform("Davidson's tie") < self.nu / (2.0 * np.cosh(half) + self.nu), TIE, codes).astype(np.int8)


@dataclass(frozen=True)
class Skip:
    """Skip what has nothing to judge: where the largest utility is at most `threshold`. Source: Lee et al. 2021, "B-Pref"."""

    turn: ClassVar[int] = 1
    threshold: float

    def withhold(self, codes: CodeArray, utilities: FloatArray, shown: Shown) -> CodeArray:
        """Return skips."""
        return np.where(utilities.max(axis=1) <= self.threshold, SKIP, codes).astype(np.int8)


@dataclass(frozen=True)
class AllBad:
    """Find everything bad where the largest utility is below `threshold`, whatever the difference; ratings and thumbs are not withheld."""

    turn: ClassVar[int] = 2
    threshold: float

    def withhold(self, codes: CodeArray, utilities: FloatArray, shown: Shown) -> CodeArray:
        """Return where all is bad."""
        if shown.size == 1:
            return codes
        return np.where(utilities.max(axis=1) < self.threshold, ALL_BAD, codes).astype(np.int8)


def goes_on(codes: CodeArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return where the annotator goes on to choose: [N]."""
    return np.asarray(codes == ANSWERED)
