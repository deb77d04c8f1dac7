"""Measure how often two people agree which of two units is better, and what that leaves for anything that learns from one of them.

If two people err independently and equally often, by eps, they agree with A = (1 - eps)^2 + eps^2, whence eps = (1 - sqrt(2 A - 1)) / 2.
Somebody who never erred would be confirmed by one of them with 1 - eps: no model's accuracy against one person's answers can be expected
to be higher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PairAgreement:
    """Hold how often two people agree on the order of two units, and what follows.

    Args:
        agreement: the share, of the pairs that both put in an order.
        tied: the share of the pairs that at least one of them does not put in an order.
        lapse: eps, how often one person errs. ceiling: 1 - eps, the best accuracy against one person's answers.
    """

    agreement: Interval
    tied: float | None
    lapse: Interval
    ceiling: Interval


def lapse_rate(agreement: float) -> float:
    """Return how often each of two people errs who agree that often: eps = (1 - sqrt(2 A - 1)) / 2.

    Errors: ValueError unless 0.5 <= agreement <= 1: people who err independently do not agree less often than coins.

    >>> round(lapse_rate(0.81), 3)
    0.106
    """
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"agreement must be from 0.5 to 1, got {agreement}: below, the people do not err independently of each other")
    return (1.0 - math.sqrt(2.0 * agreement - 1.0)) / 2.0


def agreement_ceiling(agreement: float) -> float:
    """Return the best accuracy that can be expected against the answers of one of two people who agree that often: 1 - eps.

    Errors: those of `lapse_rate`.
    """
    return 1.0 - lapse_rate(agreement)


def pair_agreement(ratings: npt.ArrayLike, resamples: int = 200, seed: int = 0) -> PairAgreement:
    """Compute how often two people, any two, agree which of two units, any two, is better.

    Counted are the pairs of units that both put in an order, over all pairs of people. The intervals come from drawing units with
    replacement; the people are those that there are. What lies below 0.5 is taken for 0.5 in `lapse` and `ceiling`.

    Args:
        ratings: [people, units], finite, or NaN = did not rate.

    Returns: undefined figures where no pair of units is put in an order by two people; no interval for fewer than ten units.

    Errors: ValueError for what is no table of ratings. Memory grows with the square of the number of different ratings.
    """
    codes, sizes = _coded(ratings)
    num_units = codes.shape[1]
    same, other, ordered = _counted(codes, sizes, np.ones(num_units))
    rated = codes >= 0
    shared = [int((rated[a] & rated[b]).sum()) for a, b in combinations(range(len(codes)), 2)]
    pairs = sum(number * (number - 1) / 2 for number in shared)
    tied = 1.0 - ordered / pairs if pairs else None
    if not same + other:
        nothing = Interval(None, None, None)
        return PairAgreement(nothing, tied, nothing, nothing)
    value, low, high = same / (same + other), None, None
    if num_units >= 10:
        generator = np.random.default_rng(seed)
        draws = []
        for _ in range(resamples):
            often = np.bincount(generator.integers(num_units, size=num_units), minlength=num_units).astype(np.float64)
            drawn, against, _ = _counted(codes, sizes, often)
            if drawn + against:
                draws.append(drawn / (drawn + against))
        low, high = map(float, np.percentile(draws, [2.5, 97.5]))
    ends = [None if each is None else lapse_rate(min(1.0, max(0.5, each))) for each in (value, high, low)]
    lapse = Interval(*ends)
    ceiling = Interval(*(None if each is None else 1.0 - each for each in (ends[0], ends[2], ends[1])))
    return PairAgreement(Interval(value, low, high), tied, lapse, ceiling)


def _coded(ratings: npt.ArrayLike) -> tuple[IntArray, list[int]]:
    """Return the place of each rating among the different ones of its person, -1 for none, and how many those are."""
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or np.isinf(table).any():
        raise ValueError(f"ratings must be [people, units] and finite, or NaN for none, got the shape {table.shape} or an infinite one")
    codes = np.full(table.shape, -1, dtype=np.int64)
    sizes = []
    for person, row in enumerate(table):
        values, code = np.unique(row[~np.isnan(row)], return_inverse=True)
        codes[person, ~np.isnan(row)] = code
        sizes.append(len(values))
    return codes, sizes


def _counted(codes: IntArray, sizes: list[int], often: FloatArray) -> tuple[float, float, float]:
    """Return of how many pairs of units two people give the same order, the opposite one, and any, each unit there so often."""
    same = other = 0.0
    for a, b in combinations(range(len(codes)), 2):
        both = (codes[a] >= 0) & (codes[b] >= 0)
        cell = codes[a, both] * sizes[b] + codes[b, both]
        joint = np.bincount(cell, often[both], sizes[a] * sizes[b]).reshape(sizes[a], sizes[b])
        above = np.zeros((sizes[a] + 1, sizes[b] + 1))  # above[i, j]: units that are at i or higher for a, and at j or higher for b
        above[:-1, :-1] = joint[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
        same += float((joint * above[1:, 1:]).sum())
        other += float((joint * (above[1:, :1] - above[1:, :-1])).sum())
    return same, other, same + other
