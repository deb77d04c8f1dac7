"""Let a person's hand slip after the choice: parts of the fourth stage of `Annotator`. Ties, skips and silences are kept as they are.

A part gets what was felt, [N, M], and returns it turned round, or something else in its place. M = 1 is a rating or a thumb.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from feedback.simulated.shown_sets import FloatArray, Shown


class Slip(Protocol):
    """Change what was felt by mistake, by habit or on purpose."""

    turn: ClassVar[int]

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt in the end: [N, M]."""
        ...


@dataclass(frozen=True)
class Spam:
    """Answer without looking in a share of the sets, by habit (MACE; Hovy et al. 2013: with probability 1 - theta from xi).

    Args:
        share: 1 - theta.
        first: in comparisons and rankings, the probability of the order of the display rather than the opposite one.
        steps: in ratings, the probability of each step from lowest to highest; of a thumb two. Empty = all alike.
    """

    turn: ClassVar[int] = 0
    share: float
    first: float = 0.5
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_shares(share=self.share, first=self.first)
        if self.steps and (min(self.steps) < 0 or not np.isclose(sum(self.steps), 1.0)):
            raise ValueError(f"steps must be probabilities that sum to 1, got {self.steps}")

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt, or a habit."""
        drawn = shown.draws.uniform("habit")
        if shown.size == 1:
            habit = self._steps(drawn, shown.reach)[:, None]
        else:
            sign = np.where(drawn < self.first, -1.0, 1.0)
            habit = sign[:, None] * shown.need_places(self)
        return np.asarray(np.where((shown.draws.uniform("spam") < self.share)[:, None], habit, felt))

    def _steps(self, drawn: FloatArray, reach: float) -> FloatArray:
        if not self.steps:
            return reach * (2.0 * drawn - 1.0)
        number = np.minimum(np.searchsorted(np.cumsum(self.steps), drawn, side="right"), len(self.steps) - 1)
        return np.asarray(2.0 * number / (len(self.steps) - 1) - 1.0) if len(self.steps) > 1 else np.zeros(len(drawn))


@dataclass(frozen=True)
class Coin:
    """Toss a coin in a share of the sets: any order, or any step, alike.

    Source: Dubois et al. 2023, "AlpacaFarm", where the share is 2p, p = 0.25, so that a quarter of the labels are wrong.
    """

    turn: ClassVar[int] = 1
    share: float

    def __post_init__(self) -> None:
        check_shares(share=self.share)

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt, or a coin."""
        tossed = shown.reach * (2.0 * shown.draws.uniforms("side of the coin") - 1.0)
        return np.asarray(np.where((shown.draws.uniform("coin") < self.share)[:, None], tossed, felt))


@dataclass(frozen=True)
class Flip:
    """Answer the opposite in a share of the sets. Source: Lee et al. 2021, "B-Pref", where it is 0.1."""

    turn: ClassVar[int] = 2
    share: float

    def __post_init__(self) -> None:
        check_shares(share=self.share)

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt, or its opposite."""
        return np.asarray(np.where((shown.draws.uniform("flip") < self.share)[:, None], -felt, felt))


@dataclass(frozen=True)
class Tiring:
    """Answer the opposite the more often, the more answers were given since the last break.

    P(n) = last + (first - last) exp(-n / pace), n = answers since the break; first > last is learning, first < last is tiring.

    Args:
        first, last: shares. pace: in answers. rest: a break after so many answers; 0 = none.
    """

    turn: ClassVar[int] = 2
    first: float
    last: float
    pace: float = 100.0
    rest: int = 0

    def __post_init__(self) -> None:
        check_shares(first=self.first, last=self.last)
        if not self.pace > 0 or self.rest < 0:
            raise ValueError(f"pace must be above 0 answers and rest at least 0, got {self.pace} and {self.rest}")

    def share(self, time: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> FloatArray:
        """Return the share of opposite answers after so many."""
        since = np.asarray(time % self.rest if self.rest else time, dtype=np.float64)
        return np.asarray(self.last + (self.first - self.last) * np.exp(-since / self.pace))

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt, or its opposite."""
        is_slip = shown.draws.uniform("tiring") < self.share(shown.time)
        return np.asarray(np.where(is_slip[:, None], -felt, felt))


@dataclass(frozen=True)
class Inverted:
    """Have the scale the wrong way round in a share of the sessions, all through each. Who, and when, the seed decides.

    Source: people who rated "low quality" high after a translation had inverted the question (Open-Assistant, issue 2274).
    """

    turn: ClassVar[int] = 3
    share: float = 1.0

    def __post_init__(self) -> None:
        check_shares(share=self.share)

    def slip(self, felt: FloatArray, shown: Shown) -> FloatArray:
        """Return the opposite of what is felt in inverted sessions."""
        session = 0 if shown.features.session is None else np.asarray(shown.features.session)
        is_inverted = np.atleast_1d(shown.draws.personal("inverted", session) < self.share)
        return np.asarray(np.where(is_inverted[:, None], -felt, felt))


def flips_for_agreement(agreement: float) -> float:
    """Return by which share of flips two independent annotators with the same opinions agree so often.

    agreement = (1 - e)^2 + e^2, so e = (1 - sqrt(2 * agreement - 1)) / 2

    Errors: ValueError for less than one half, which no such two have.
    """
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"two such annotators agree in 0.5 to 1 of the cases, got {agreement}")
    return float((1.0 - np.sqrt(2.0 * agreement - 1.0)) / 2.0)


def check_shares(**shares: float) -> None:
    """Check that shares are.

    Errors: ValueError that names the one that is none.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be from 0 to 1, got {value}")
