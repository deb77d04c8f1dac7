"""Measure agreement on classes: the plain share, and Cohen's and Fleiss' kappa, which set it against what chance gives.

Cohen 1960, "A Coefficient of Agreement for Nominal Scales", and 1968 for the weights; Fleiss 1971, "Measuring Nominal Scale Agreement
Among Many Raters". A kappa of 1 is perfect, 0 what chance gives. Intervals: `bootstrap_units`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import Interval, bootstrap_units, share_interval

FloatArray = npt.NDArray[np.float64]
Distance = Literal["nominal", "linear", "quadratic"]


@dataclass(frozen=True)
class Retest:
    """Hold how far people agree with what they said before: the share of equal answers, Cohen's kappa, and of how many answers."""

    share: Interval
    kappa: Interval
    num_answers: int


def percent_agreement(ratings: npt.ArrayLike) -> float | None:
    """Return the share of equal ones among the pairs of ratings of a unit, as a mean over units.

    Args:
        ratings: [people, units]; NaN = did not rate. Units with fewer than two ratings are left out.

    Returns: None where no unit has two ratings.
    """
    counts = _counts(ratings)
    number = counts.sum(axis=1)
    return float(((counts * (counts - 1)).sum(axis=1) / (number * (number - 1))).mean()) if len(counts) else None


def cohen_kappa(one: npt.ArrayLike, other: npt.ArrayLike, distance: Distance = "nominal") -> float | None:
    """Compute Cohen's kappa of two people, 1 - D_observed / D_expected.

    D is the mean distance of their values, of the same unit or of any two units:
    nominal 1 where a and b differ;  linear |a - b|;  quadratic (a - b)^2

    Args:
        one, other: [units]; NaN = did not rate. Units that only one rated are left out.

    Returns: None where it is undefined: nothing shared, or nothing that could differ.

    Errors: ValueError for different lengths or an unknown distance.
    """
    if distance not in get_args(Distance):
        raise ValueError(f"distance must be one of {', '.join(get_args(Distance))}, got {distance!r}")
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"both must rate the same units, got the shapes {first.shape} and {second.shape}")
    shared = ~np.isnan(first) & ~np.isnan(second)
    values, code = np.unique(np.concatenate([first[shared], second[shared]]), return_inverse=True)
    if len(values) < 2:
        return None
    joint = np.zeros((len(values), len(values)))
    np.add.at(joint, tuple(np.split(code, 2)), 1.0 / shared.sum())
    gap = np.abs(values[:, None] - values)
    apart = {"nominal": np.sign(gap), "linear": gap, "quadratic": gap**2}[distance]
    expected = float(joint.sum(axis=1) @ apart @ joint.sum(axis=0))
    return 1.0 - float((joint * apart).sum()) / expected


def fleiss_kappa(ratings: npt.ArrayLike) -> float | None:
    """Compute Fleiss' kappa of many people.

    kappa = (P - P_e) / (1 - P_e), P = `percent_agreement`, P_e = sum of the squared shares of the classes

    Args:
        ratings: [people, units]; NaN = did not rate. Units with fewer than two ratings are left out; all others need equally many.

    Returns: None where it is undefined: no unit with two ratings, or one class only.

    Errors: ValueError where units have different numbers of ratings.
    """
    counts = _counts(ratings)
    number = counts.sum(axis=1)
    if len(set(number.tolist())) > 1:
        raise ValueError(
            f"Fleiss' kappa needs equally many ratings of each unit, got {number.min():g} to {number.max():g}: take Krippendorff's alpha"
        )
    share = counts.sum(axis=0) / max(1.0, counts.sum())
    expected = float((share**2).sum())
    if not len(counts) or (share > 0).sum() < 2:
        return None
    observed = percent_agreement(ratings)
    assert observed is not None  # there is a unit
    return (observed - expected) / (1.0 - expected)


def retest_agreement(before: npt.ArrayLike, after: npt.ArrayLike, resamples: int = 1000, seed: int = 0) -> Retest:
    """Compare answers with those that the same people gave to the same units before.

    Args:
        before, after: [answers]; NaN = none. Where one is missing, the other does not count.

    Errors: ValueError for different lengths.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    kappa = cohen_kappa(first, second)
    shared = ~np.isnan(first) & ~np.isnan(second)
    interval = bootstrap_units(lambda table: cohen_kappa(*table), np.stack([first, second]), resamples, seed)
    return Retest(share_interval(int((first == second).sum()), int(shared.sum())), interval._replace(value=kappa), int(shared.sum()))


def _counts(ratings: npt.ArrayLike) -> FloatArray:
    """Return how often each unit with two ratings or more was given each value: [units, values]."""
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"ratings must be [people, units], got the shape {table.shape}")
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    given = ~np.isnan(table)
    values, code = np.unique(table[given], return_inverse=True)
    cell = np.nonzero(given)[1] * max(1, len(values)) + code
    return np.bincount(cell, minlength=table.shape[1] * len(values)).reshape(table.shape[1], len(values)).astype(np.float64)
