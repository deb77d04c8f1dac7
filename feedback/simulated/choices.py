"""Choose with noise among contents: parts of the third stage of `Annotator`.

A choice perturbs utilities; the largest of what it returns is preferred, and their order is a ranking. D = u(a) - u(b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from feedback.simulated.shown_sets import FloatArray, Shown


class Choice(Protocol):
    """Perturb utilities so that their order is the choice."""

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt about the contents of each set: [N, M], M at least 2."""
        ...

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return by how much a single content is felt to be better than a content of utility 0 that is known exactly: [N, 1]."""
        ...


@dataclass(frozen=True)
class Oracle:
    """Choose what is better; exactly equal contents are tied."""

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities."""
        return utilities

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities."""
        return utilities


@dataclass(frozen=True)
class Boltzmann:
    """Choose by P(a > b) = sigmoid(slope * D); rankings are Plackett and Luce's (Luce 1959).

    Args:
        slope: beta, per unit of utility. 0 = a coin; the larger, the nearer to `Oracle`.
    """

    slope: float = 1.0

    def __post_init__(self) -> None:
        if not (self.slope >= 0 and np.isfinite(self.slope)):
            raise ValueError(f"slope must be at least 0 and finite, got {self.slope}; for no noise at all the choice is Oracle()")

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities with Gumbel noise."""
        return np.asarray(self.slope * utilities + shown.draws.gumbels("choice"))

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities with logistic noise."""
        drawn = shown.draws.uniforms("choice")
        return np.asarray(self.slope * utilities + np.log(drawn) - np.log1p(-drawn))


@dataclass(frozen=True)
class Thurstone:
    """Choose by P(a > b) = Phi(D / (sd sqrt 2)): each content is felt with normal noise (Thurstone 1927, case V).

    Args:
        sd: of the noise of one content. 0 = the better one.
    """

    sd: float

    def __post_init__(self) -> None:
        if not (self.sd >= 0 and np.isfinite(self.sd)):
            raise ValueError(f"sd must be at least 0 and finite, got {self.sd}")

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities with normal noise."""
        return np.asarray(utilities + self.sd * shown.draws.normals("choice"))

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities with normal noise."""
        return self.order(utilities, shown)


@dataclass(frozen=True)
class Able:
    """Choose rightly by P(correct) = sigmoid(ability * ease), whatever the size of D (GLAD; Whitehill et al. 2009).

    Args:
        ability: alpha; 0 = a coin, below 0 = rather wrong. The ease of each set is one of the `Features`. Exactly equal contents are tied.
    """

    ability: float

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the contents in their right order, or in the opposite one."""
        return np.asarray(np.where(self._is_right(shown)[:, None], utilities, -utilities))

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with the right sign, or the wrong one."""
        return self.order(utilities, shown)

    def _is_right(self, shown: Shown) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        score = 0.5 * self.ability * shown.need("ease", self)
        return np.asarray(shown.draws.uniform("choice") < 0.5 * (1.0 + np.tanh(score)))


@dataclass(frozen=True)
class Attentive:
    """Choose by P(a > b) = quality * sigmoid(D) + (1 - quality) * sigmoid(habit * s), s = +1 where a was shown first, else -1.

    Source: Chen et al. 2013, "Pairwise Ranking Aggregation in a Crowdsourced Setting", with the habit of a side in place of wrong answers.

    Args:
        quality: share of the sets that are looked at. habit: how much the first side is taken otherwise; 0 = a coin.
    """

    quality: float
    habit: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 1:
            raise ValueError(f"quality must be from 0 to 1, got {self.quality}")

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities, or places, with Gumbel noise."""
        habitual = np.zeros_like(utilities)
        if self.habit:
            habitual = self.habit * (1.0 - 2.0 * shown.need_places(self) / (shown.size - 1)) / 2.0
        is_seen = (shown.draws.uniform("attention") < self.quality)[:, None]
        return np.asarray(np.where(is_seen, utilities, habitual) + shown.draws.gumbels("choice"))

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return utilities, or nothing, with logistic noise."""
        drawn = shown.draws.uniforms("choice")
        is_seen = (shown.draws.uniform("attention") < self.quality)[:, None]
        return np.asarray(np.where(is_seen, utilities, 0.0) + np.log(drawn) - np.log1p(-drawn))
