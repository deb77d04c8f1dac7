"""Find annotators who turned the scale round, answer without looking, say always the same, or drift, with a stated rate of error.

Each annotator's answers are held against those of the others about the same units. Each finding is a test; of all annotators together,
the chance to accuse anybody wrongly of one kind is at most the error rate (Holm 1979). Whoever is found is left out of what the others
say before anybody else is judged, one at a time: who turned the scale round makes the others look as if they had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import Interval, correlation_interval
from feedback.aggregation.bradley_terry import fit_bradley_terry, sigmoid
from feedback.aggregation.opinions import Comparisons, Labels

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FEWEST_SHARED = 8  # answers beside those of others before anything is said of an annotator
FEWEST_PEOPLE = 3  # of two who contradict each other, nobody can tell which is right
Name = TypeVar("Name", str, int)


@dataclass(frozen=True)
class Beside:
    """Hold one annotator's answers and what others say of the same, in the order in which they were given: [n] each."""

    own: FloatArray
    theirs: FloatArray


@dataclass(frozen=True)
class AnnotatorFinding:
    """Hold what stands out in one annotator's answers; p values of tests, each small where something does.

    Args:
        num_shared: answers that could be held against others'.
        with_others: correlation with what the others say.
        shift: by how much the answers lay higher in the second half than in the first, the others' allowed for; None for too few.
        turn: by how much the correlation with the others was higher in the second half; None for too few.
        inverted: of no relation with the others, against a negative one. By the correlation's standard deviation where answers are
            exchangeable, 1 / sqrt(n - 1).
        constant: of answers drawn from all that others say, against always the same.
        drifting: of two halves with one mean distance from the others and one correlation with them, against any change.
        careless: of a correlation at least half of the median of the others, against a lower one (Fisher's z).
        is_inverted, is_constant, is_drifting, is_careless: found at the error rate, one of them at most. Nobody is, where fewer than three
            people can be held against each other.
    """

    annotator: str
    num_shared: int
    with_others: Interval
    shift: float | None
    turn: float | None
    inverted: float
    constant: float
    drifting: float
    careless: float
    is_inverted: bool
    is_constant: bool
    is_drifting: bool
    is_careless: bool


def detect_in_ratings(
    ratings: npt.ArrayLike, annotators: Sequence[str] | None = None, error_rate: float = 0.05
) -> tuple[AnnotatorFinding, ...]:
    """Look for bad annotators in ratings.

    Args:
        ratings: [people, units], the units in the order of time; NaN = did not rate.
        annotators: their names; None = their numbers.
        error_rate: chance that anybody at all is wrongly found to be of a kind.

    Errors: ValueError for what is no such table, or an error rate that is no probability.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or np.isinf(table).any():
        raise ValueError(f"ratings must be [people, units] and finite, or NaN for none, got the shape {table.shape} or an infinite one")
    names = tuple(map(str, range(len(table)))) if annotators is None else tuple(annotators)
    if len(names) != len(table):
        raise ValueError(f"annotators must be {len(table)} names, one for each row of ratings, got {len(names)}")
    annotator, unit = np.nonzero(~np.isnan(table))
    return _detected(names, _means_beside(annotator, unit, table[annotator, unit], table.shape), error_rate)


def detect_in_labels(labels: Labels, error_rate: float = 0.05) -> tuple[AnnotatorFinding, ...]:
    """Look for bad annotators in labels of two classes, or of ordered ones, such as the steps of a scale.

    Args:
        labels: the answers in the order of time, the classes in theirs.
        error_rate: as in `detect_in_ratings`.
    """
    shape = (len(labels.annotators), len(labels.units))
    return _detected(labels.annotators, _means_beside(labels.annotator, labels.unit, labels.label.astype(np.float64), shape), error_rate)


def detect_in_comparisons(comparisons: Comparisons, error_rate: float = 0.05, prior_sd: float = 2.0) -> tuple[AnnotatorFinding, ...]:
    """Look for bad annotators in comparisons, by what the Bradley-Terry scores of the others' comparisons predict.

    A comparison is read with what was shown first in the first place, where that is known: who is constant takes always the first, or
    always the second.

    Args:
        comparisons: in the order of time.
        error_rate: as in `detect_in_ratings`. prior_sd: as in `fit_bradley_terry`.
    """
    turned = np.where(comparisons.shown_first < 0, -1.0, 1.0)
    value = turned * (comparisons.target - 0.5)
    names = comparisons.annotators

    def beside(left_out: frozenset[int]) -> list[Beside]:
        found = []
        for person in range(len(names)):
            is_own = comparisons.annotator == person
            others = comparisons.take(~is_own & ~np.isin(comparisons.annotator, sorted(left_out)))
            fitted = fit_bradley_terry(others, prior_sd, has_errors=False)
            first, second = comparisons.first[is_own], comparisons.second[is_own]
            is_known = fitted.component[first] == fitted.component[second]
            predicted = turned[is_own] * (sigmoid(fitted.score[first] - fitted.score[second]) - 0.5)
            found.append(Beside(value[is_own][is_known], predicted[is_known]))
        return found

    return _detected(names, beside, error_rate)


def one_by_one(suspects: Callable[[frozenset[Name]], Mapping[Name, float]]) -> frozenset[Name]:
    """Return who is found when one at a time is left out of what others say, the one with the lowest number first.

    Args:
        suspects: returns who stands out, each with a number, when those who are given are left out.
    """
    found: frozenset[Name] = frozenset()
    while further := {name: value for name, value in suspects(found).items() if name not in found}:
        found |= {min(further, key=further.__getitem__)}
    return found


def shift_between_halves(distance: FloatArray) -> tuple[float | None, float]:
    """Return by how much the mean of the second half lies above that of the first, and in how many standard errors that is.

    Args:
        distance: [n], in the order of time. Fewer than eight: None and 0.
    """
    if len(distance) < FEWEST_SHARED:
        return None, 0.0
    first, second = np.array_split(distance, 2)
    shift = float(second.mean() - first.mean())
    error = float(np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)))
    return shift, shift / error if error > 0 else math.copysign(math.inf, shift) if shift else 0.0


def holm(p_values: Sequence[float], error_rate: float) -> list[bool]:
    """Return which of several tests find something, so that the chance of any false finding is at most the error rate (Holm 1979)."""
    found = [False] * len(p_values)
    for tested, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[number] > error_rate / (len(p_values) - tested):
            break
        found[number] = True
    return found


def _means_beside(
    annotator: IntArray, unit: IntArray, value: FloatArray, shape: tuple[int, int]
) -> Callable[[frozenset[int]], list[Beside]]:
    """Return a function that holds each annotator's values against the means of the others on the same units."""

    def beside(left_out: frozenset[int]) -> list[Beside]:
        counts = (~np.isin(annotator, sorted(left_out))).astype(np.float64)
        sums, number = np.bincount(unit, counts * value, shape[1]), np.bincount(unit, counts, shape[1])
        others, total = number[unit] - counts, sums[unit] - counts * value
        has_others = others > 0
        mean = total / np.where(has_others, others, 1.0)
        return [Beside(value[rows], mean[rows]) for rows in (has_others & (annotator == person) for person in range(shape[0]))]

    return beside


def _detected(names: tuple[str, ...], beside: Callable[[frozenset[int]], list[Beside]], error_rate: float) -> tuple[AnnotatorFinding, ...]:
    if not 0 < error_rate < 1:
        raise ValueError(f"error_rate must be above 0 and below 1, got {error_rate}")
    found: dict[str, frozenset[int]] = {}
    p_values: dict[str, list[float]] = {}
    given: list[Beside] = []
    for kind, test in _TESTS.items():
        earlier = frozenset[int]().union(*found.values())

        def negative(left_out: frozenset[int], test: _Test = test, kind: str = kind, earlier: frozenset[int] = earlier) -> dict[int, float]:
            nonlocal given
            given = beside(earlier | left_out)
            p_values[kind] = test(given, earlier | left_out)
            judges = {number for number, each in enumerate(given) if len(each.own) >= FEWEST_SHARED}
            if len(judges - earlier - left_out) < FEWEST_PEOPLE:
                return {}
            worth = [_correlation(each) for each in given] if kind == "inverted" else p_values[kind]
            accused = np.flatnonzero(holm(p_values[kind], error_rate)).tolist()
            return {number: worth[number] for number in accused if number not in earlier}

        found[kind] = one_by_one(negative)
    return tuple(
        AnnotatorFinding(
            name,
            len(each.own),
            correlation_interval(each.own.tolist(), each.theirs.tolist()),
            shift_between_halves(_residual(each))[0],
            _turn(each)[0],
            inverted=p_values["inverted"][number],
            constant=p_values["constant"][number],
            drifting=p_values["drifting"][number],
            careless=p_values["careless"][number],
            is_inverted=number in found["inverted"],
            is_constant=number in found["constant"],
            is_drifting=number in found["drifting"],
            is_careless=number in found["careless"],
        )
        for number, (name, each) in enumerate(zip(names, given, strict=True))
    )


def _correlation(beside: Beside) -> float:
    """Return the correlation, 0 where it is undefined or of too few answers."""
    if len(beside.own) < FEWEST_SHARED or np.ptp(beside.own) == 0 or np.ptp(beside.theirs) == 0:
        return 0.0
    return float(np.corrcoef(beside.own, beside.theirs)[0, 1])


def _inverted(given: Sequence[Beside], left_out: frozenset[int]) -> list[float]:
    return [_below(_correlation(each) * math.sqrt(len(each.own) - 1)) if len(each.own) >= FEWEST_SHARED else 1.0 for each in given]


def _constant(given: Sequence[Beside], left_out: frozenset[int]) -> list[float]:
    """Return how probably as many answers, drawn from all that the others say, are all equal: the sum of p_c^n."""
    found = []
    for number, each in enumerate(given):
        others = [other.own for place, other in enumerate(given) if place != number and place not in left_out]
        said = np.concatenate(others) if others else np.empty(0)
        if len(each.own) < FEWEST_SHARED or np.ptp(each.own) > 0 or not len(said):
            found.append(1.0)
        else:
            counts = np.unique(said, return_counts=True)[1]
            found.append(float(((counts / len(said)) ** len(each.own)).sum()))
    return found


def _careless(given: Sequence[Beside], left_out: frozenset[int]) -> list[float]:
    place = [_fisher(_correlation(each)) for each in given]
    found = []
    for number, each in enumerate(given):
        others = [place[other] for other in range(len(given)) if other != number and other not in left_out and len(given[other].own)]
        usual = math.tanh(float(np.median(others))) if others else 0.0
        if usual <= 0 or len(each.own) < FEWEST_SHARED or np.ptp(each.own) == 0:
            found.append(1.0)
        else:
            found.append(_below((place[number] - math.atanh(usual / 2)) * math.sqrt(len(each.own) - 3)))
    return found


def _drifting(given: Sequence[Beside], left_out: frozenset[int]) -> list[float]:
    return [_changed(each) for each in given]


_Test = Callable[[Sequence[Beside], frozenset[int]], list[float]]
# in the order in which people are left out: who turns round halfway drifts, and would look careless
_TESTS: dict[str, _Test] = {"inverted": _inverted, "constant": _constant, "drifting": _drifting, "careless": _careless}


def _changed(beside: Beside) -> float:
    shift, in_errors = shift_between_halves(_residual(beside))
    if shift is None:
        return 1.0
    p_values = [2 * _below(-abs(in_errors))]
    turn, in_errors = _turn(beside)
    if turn is not None:
        p_values.append(2 * _below(-abs(in_errors)))
    return min(1.0, len(p_values) * min(p_values))


def _turn(beside: Beside) -> tuple[float | None, float]:
    """Return by how much the correlation is higher in the second half, and in how many standard errors of Fisher's z that is."""
    halves = [Beside(own, theirs) for own, theirs in zip(np.array_split(beside.own, 2), np.array_split(beside.theirs, 2), strict=True)]
    if min(len(half.own) for half in halves) < FEWEST_SHARED:
        return None, 0.0
    first, second = map(_correlation, halves)
    error = math.sqrt(sum(1 / (len(half.own) - 3) for half in halves))
    return second - first, (_fisher(second) - _fisher(first)) / error


def _residual(beside: Beside) -> FloatArray:
    """Return what a line through the others' values does not explain: scale and sense of a person are no drift."""
    if not len(beside.own):
        return beside.own
    spread = beside.theirs - beside.theirs.mean()
    power = float(spread @ spread)
    slope = float(spread @ beside.own) / power if power > 0 else 0.0
    return beside.own - beside.own.mean() - slope * spread


def _fisher(correlation: float) -> float:
    return math.atanh(min(1 - 1e-12, max(-1 + 1e-12, correlation)))


def _below(quantile: float) -> float:
    """Return the probability that a standard normal number lies below."""
    return math.erfc(-quantile / math.sqrt(2)) / 2
