"""Change what a content is worth to an annotator, before anything is decided: parts of the first stage of `Annotator`.

u is the utility of a content; a part returns new ones [N, M]. Parts are applied in the order of
`turn`, whatever the order they are given in.
Left out: moods that last for some questions and then pass; a walk of `ChangingTaste` is the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from feedback.drifting import Course, course_weights
from feedback.simulated.shown_sets import FloatArray, Shown


class UtilityPart(Protocol):
    """Change utilities."""

    turn: ClassVar[int]

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities of what is shown: [N, M]."""
        ...


@dataclass(frozen=True)
class Myopic:
    """Value the last steps of writing most, or the first ones.

    u = sum_t discount^(H - 1 - t) r_t, where H is the number of steps of a content; with `is_primacy` discount^t instead.
    Source: Lee et al. 2021, "B-Pref", where the discount is 0.9. It takes the place of the utility that was given.

    Args:
        discount: 1 = all steps count alike; 0 = the last (or first) one alone.
        is_primacy: the first steps count most.
    """

    turn: ClassVar[int] = 0
    discount: float = 0.9
    is_primacy: bool = False

    def __post_init__(self) -> None:
        _check_share("discount", self.discount)

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return discounted sums of the steps."""
        steps = shown.need("steps", self)
        has_step = ~np.isnan(steps)
        from_start = np.cumsum(has_step, axis=2) - 1
        age = from_start if self.is_primacy else has_step.sum(axis=2, keepdims=True) - 1 - from_start
        return np.asarray(np.where(has_step, np.power(self.discount, np.where(has_step, age, 0)) * np.nan_to_num(steps), 0.0).sum(axis=2))


@dataclass(frozen=True)
class Taste:
    """Value the aspects of a content: u = sum_f w_f x_f. It takes the place of the utility that was given.

    Args:
        weights: one for each aspect.
        attended: how many aspects are looked at in one set, drawn anew for each; 0 = all. What is looked at counts for all the weight, so
            that one aspect of three weighs three times as much. Such judgements can go round in circles (Tversky 1969).
    """

    turn: ClassVar[int] = 0
    weights: tuple[float, ...]
    attended: int = 0

    def __post_init__(self) -> None:
        if not self.weights or not np.isfinite(self.weights).all():
            raise ValueError(f"a taste needs finite weights, at least one, got {self.weights}")
        if not 0 <= self.attended <= len(self.weights):
            raise ValueError(f"attended must be from 0 (all) to the {len(self.weights)} aspects, got {self.attended}")

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return weighted sums of the aspects."""
        aspects, number = shown.need("aspects", self), len(self.weights)
        if aspects.ndim != 3 or aspects.shape[2] != number:
            raise ValueError(f"this taste has {number} weights, so aspects must be [N, M, {number}], got {aspects.shape}")
        weights = np.broadcast_to(np.asarray(self.weights, dtype=np.float64), (shown.num_sets, number))
        if 0 < self.attended < number:
            drawn = np.stack([shown.draws.uniform(f"attention {each}") for each in range(number)], axis=1)  # [N, F]
            ranks = drawn.argsort(axis=1).argsort(axis=1)
            weights = np.where(ranks < self.attended, weights * (number / self.attended), 0.0)
        return np.einsum("nmf,nf->nm", aspects, weights)


@dataclass(frozen=True)
class ChangingTaste:
    """Value aspects by weights that change with the number of answers given before: u = sum_f w_f(time) x_f.

    The courses (step, linear, seasonal, walk) are those of `feedback.Drifting`. It takes the place of the utility that was given.

    Args:
        num_aspects: F. course: how the weights move. period: in answers. seed: of the walk.
    """

    turn: ClassVar[int] = 0
    num_aspects: int
    course: Course = "linear"
    period: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        course_weights(self.course, np.zeros(1, dtype=np.int64), self.num_aspects, self.period, self.seed)  # refuses what is none

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return weighted sums of the aspects at the time of each set."""
        aspects = shown.need("aspects", self)
        if aspects.ndim != 3 or aspects.shape[2] != self.num_aspects:
            raise ValueError(f"this taste moves between {self.num_aspects} aspects, so they must be [N, M, F], got {aspects.shape}")
        weights = course_weights(self.course, np.atleast_1d(shown.time), self.num_aspects, self.period, self.seed)
        return np.asarray((aspects * weights[:, None, :]).sum(axis=2))


@dataclass(frozen=True)
class Troll:
    """Want the opposite of what is good, if this annotator is one of a share of people: u becomes -strength * u.

    Args:
        share: of the people; who is one is decided by the seed and the annotator's name.
        strength: how much more clearly than others.
    """

    turn: ClassVar[int] = 1
    share: float = 1.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_share("share", self.share)
        if not self.strength > 0:
            raise ValueError(f"strength must be above 0, got {self.strength}")

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities, turned round for trolls."""
        is_troll = np.atleast_1d(shown.draws.personal("troll") < self.share)
        return np.asarray(np.where(is_troll[:, None], -self.strength * utilities, utilities))


@dataclass(frozen=True)
class LengthBias:
    """Prefer long texts: u + weight * ln(length + 1).

    Source: Dubois et al. 2023, "AlpacaFarm": people preferred the longer text of two in 62 to 64 %; `bias_for_share` finds the weight.
    """

    turn: ClassVar[int] = 2
    weight: float

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with what the length adds."""
        lengths = shown.need("lengths", self)
        if (lengths < 0).any():
            raise ValueError(f"lengths must be at least 0, got {lengths.min()}")
        return np.asarray(utilities + self.weight * np.log1p(lengths))


@dataclass(frozen=True)
class FormatBias:
    """Prefer texts with lists: u + weight * number of lists. Source and fit as for `LengthBias`; 61 % preferred the one with more."""

    turn: ClassVar[int] = 2
    weight: float

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with what the format adds."""
        return np.asarray(utilities + self.weight * shown.need("lists", self))


@dataclass(frozen=True)
class Leaning:
    """Find everything better, or worse, than others do: u + shift + slide * time / 1000.

    Comparisons do not change by it; ratings, thumbs, skips and "all bad" do.

    Args:
        shift: below 0 = strict. slide: how much the shift changes in a thousand answers.
    """

    turn: ClassVar[int] = 2
    shift: float
    slide: float = 0.0

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities as this person sees them by now."""
        return np.asarray(utilities + self.shift + self.slide * np.atleast_1d(shown.time)[:, None] / 1000.0)


@dataclass(frozen=True)
class PositionBias:
    """Prefer what is shown first: the difference of two grows by `shift` for the first; of M, it falls evenly from first to last."""

    turn: ClassVar[int] = 3
    shift: float

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with what the place adds; a single content has no place."""
        if shown.size == 1:
            return utilities
        places = shown.need_places(self)
        return np.asarray(utilities + self.shift * (0.5 - places / (shown.size - 1)))


@dataclass(frozen=True)
class UtilityNoise:
    """Misjudge each content: u + N(0, (fixed + relative * |u|)^2), anew in each set.

    Source: Metz et al. 2023, "RLHF-Blender", whose noise is relative alone; then a content worth exactly 0 receives none.
    """

    turn: ClassVar[int] = 4
    fixed: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        if self.fixed < 0 or self.relative < 0:
            raise ValueError(f"the fixed and the relative noise must be at least 0, got {self.fixed} and {self.relative}")

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with noise."""
        spread = self.fixed + self.relative * np.abs(utilities)
        return np.asarray(utilities + spread * shown.draws.normals("utility noise"))


@dataclass(frozen=True)
class LastingNoise:
    """Misjudge a content partly for good: u + sd * (stability * e_content + sqrt(1 - stability^2) * e_trial), both e standard normal.

    Asked twice about one content alone, what is felt beyond u correlates by stability^2.

    Args:
        sd: of the noise. stability: 1 = the same whenever it is asked; 0 = anew each time.
    """

    turn: ClassVar[int] = 4
    sd: float
    stability: float = 0.7

    def __post_init__(self) -> None:
        if self.sd < 0:
            raise ValueError(f"sd must be at least 0, got {self.sd}")
        _check_share("stability", self.stability)

    def change(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the utilities with noise."""
        lasting = self.stability * shown.draws.lasting_normals("lasting")
        passing = np.sqrt(1.0 - self.stability**2) * shown.draws.normals("passing")
        return np.asarray(utilities + self.sd * (lasting + passing))


def bias_for_share(share: float, difference: npt.ArrayLike, utility_difference: npt.ArrayLike = 0.0, slope: float = 1.0) -> float:
    """Find the weight of a bias with which the content that has more of something is preferred in a share of the pairs.

    mean over pairs with difference != 0 of sigmoid(slope * s * (utility_difference + weight * difference)) = share,   s = sign(difference)

    Args:
        share: above 0 and below 1. difference: [N] of the feature the bias is about (of logarithms for a length; 1 for a position).
        utility_difference: [N] or a number, of the utilities. slope: beta of the Boltzmann choice.

    Errors: ValueError where no pair differs.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share}")
    features, worth = np.broadcast_arrays(np.atleast_1d(np.asarray(difference, float)), np.asarray(utility_difference, float))
    differs = features != 0
    if not differs.any() or not slope > 0:
        raise ValueError(f"a bias is found from pairs that differ and a slope above 0, got {differs.sum()} such pairs and slope {slope}")
    ahead, size = (np.sign(features) * worth)[differs], np.abs(features[differs])

    def preferred(weight: float) -> float:
        return float(np.mean(0.5 * (1.0 + np.tanh(0.5 * slope * (ahead + weight * size)))))

    reach = 1.0
    while not preferred(-reach) < share < preferred(reach):
        reach *= 2.0
    low, high = -reach, reach
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if preferred(middle) < share else (low, middle)
    return (low + high) / 2.0


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")
