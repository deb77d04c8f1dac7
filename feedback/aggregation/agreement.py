"""Measure agreement: Krippendorff's alpha, with an interval, and shares with Wilson's.

Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; Wilson 1927. An alpha of 1 is perfect, 0 what chance gives, below 0 worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]
NORMAL_QUANTILE = 1.959963984540054  # of 0.975: for intervals of 95 %


class Interval(NamedTuple):
    """Hold a figure with a 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def krippendorff_alpha(ratings: npt.ArrayLike, level: Level = "interval") -> float | None:
    """Compute Krippendorff's alpha.

    alpha = 1 - D_observed / D_expected, where D is the mean difference between two ratings of one unit, or of any two ratings, and the
    difference of c and k is, squared:
    nominal   1 where c and k differ
    interval  (c - k)^2
    ordinal   (n_c / 2 + sum of n_g between them + n_k / 2)^2, n_g = how often g was given

    Args:
        ratings: [people, units]; NaN = did not rate. Units with fewer than two ratings are left out.

    Returns: None where it is undefined: no unit with two ratings, or all ratings equal, so that nothing could have disagreed.
    """
    table = _pairable(ratings, level)
    given = ~np.isnan(table)
    values, code = np.unique(table[given], return_inverse=True)
    if len(values) < 2:
        return None
    unit = np.nonzero(given)[1]
    if level == "nominal":
        return _nominal(unit, code)
    totals = np.bincount(code)
    places = (np.cumsum(totals) - totals / 2.0) if level == "ordinal" else values  # the difference is that of these, squared
    return _squared(unit, places[code])


def alpha_interval(ratings: npt.ArrayLike, level: Level = "interval", resamples: int = 1000, seed: int = 0) -> Interval:
    """Compute alpha and a 95 % interval by drawing units with replacement.

    Draws on which alpha is undefined are left out; with fewer than ten units there is no interval.
    """
    table = np.asarray(ratings, dtype=np.float64)
    return bootstrap_units(lambda rated: krippendorff_alpha(rated, level), table, resamples, seed)


def bootstrap_units(statistic: Callable[[FloatArray], float | None], ratings: npt.ArrayLike, resamples: int, seed: int) -> Interval:
    """Compute a figure of ratings, [people, units], and a 95 % interval by drawing units with replacement (Efron 1979).

    Only units with two ratings or more are drawn. Draws on which the figure is undefined are left out; with fewer than ten units there is
    no interval.
    """
    table = np.asarray(ratings, dtype=np.float64)
    value = statistic(table)
    rated = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    if value is None or rated.shape[1] < 10:
        return Interval(value, None, None)
    generator = np.random.default_rng(seed)
    draws = [statistic(rated[:, generator.integers(rated.shape[1], size=rated.shape[1])]) for _ in range(resamples)]
    low, high = np.percentile([draw for draw in draws if draw is not None], [2.5, 97.5])
    return Interval(value, float(low), float(high))


def share_interval(hits: int, number: int) -> Interval:
    """Return a share with Wilson's 95 % interval; undefined for none of none.

    Errors: ValueError unless 0 <= hits <= number.
    """
    if not 0 <= hits <= number:
        raise ValueError(f"a share needs 0 <= hits <= number, got {hits} of {number}")
    if number == 0:
        return Interval(None, None, None)
    share, square = hits / number, NORMAL_QUANTILE**2
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = NORMAL_QUANTILE / (1 + square / number) * math.sqrt(share * (1 - share) / number + square / (4 * number**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def correlation_interval(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Return Pearson's correlation with a 95 % interval by Fisher's z; undefined for fewer than four pairs, or where one is constant."""
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if len(first) != len(second):
        raise ValueError(f"a correlation needs pairs, got {len(first)} and {len(second)} numbers")
    if len(first) < 4 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Interval(None, None, None)
    value = float(np.clip(np.corrcoef(first, second)[0, 1], -1.0, 1.0))
    place = math.atanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    half = NORMAL_QUANTILE / math.sqrt(len(first) - 3)
    return Interval(value, math.tanh(place - half), math.tanh(place + half))


def _pairable(ratings: npt.ArrayLike, level: Level) -> FloatArray:
    """Return the units that have two ratings or more: [people, units]."""
    if level not in get_args(Level):
        raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"ratings must be [people, units], got the shape {table.shape}")
    if np.isinf(table).any():
        raise ValueError("ratings must be finite, or NaN for none; got an infinite one")
    return table[:, (~np.isnan(table)).sum(axis=0) >= 2]


def _nominal(unit: IntArray, code: IntArray) -> float:
    """Compute alpha from which of two ratings differ.

    Args:
        unit, code: [R], of each rating: its unit, and the number of its value.
    """
    num_ratings, size, totals = len(unit), np.bincount(unit), np.bincount(code).astype(np.float64)
    cells, counts = np.unique(unit * np.int64(len(totals)) + code, return_counts=True)
    equal = np.bincount(cells // len(totals), counts.astype(np.float64) ** 2, minlength=len(size))
    within = ((size.astype(np.float64) ** 2 - equal) / (size - 1.0)).sum() / num_ratings
    between = (num_ratings**2 - (totals**2).sum()) / (num_ratings * (num_ratings - 1.0))
    return float(1.0 - within / between)


def _squared(unit: IntArray, value: FloatArray) -> float:
    """Compute alpha from squared differences.

    Args:
        unit, value: [R], of each rating.
    """
    value = value - value.mean()  # so that squares do not drown small differences
    num_ratings, size = len(unit), np.bincount(unit).astype(np.float64)
    sums, squares = np.bincount(unit, value), np.bincount(unit, value**2)
    within = ((2 * size * squares - 2 * sums**2) / (size - 1.0)).sum() / num_ratings
    between = (2 * num_ratings * (value**2).sum() - 2 * value.sum() ** 2) / (num_ratings * (num_ratings - 1.0))
    return float(1.0 - within / between)
