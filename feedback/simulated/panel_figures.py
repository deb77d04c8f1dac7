"""Measure how a panel of raters agrees, so that simulated panels can be held against real ones.

Pairs of units and of raters are drawn at random. A rater prefers the unit that it rated higher; equal ratings are a tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import krippendorff_alpha

FloatArray = npt.NDArray[np.float64]
GAPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # edges, rating points
NUM_PAIRS = 200_000
LAPSES = (0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class PanelFigures:
    """Hold what was measured.

    Args:
        alpha: Krippendorff's, interval. agreement: share of pairs of units, tied by neither of two raters, that both order alike.
        slope: of P(prefers the higher) = sigmoid(slope * gap), the gap being between the means of the ratings of all others; ties left out.
        lapse: share of coins with which P = lapse / 2 + (1 - lapse) sigmoid(slope' * gap) fits best, slope' refitted.
        ties, correct: by the size of the gap, between `GAPS`: share of ties, and of right preferences among the rest.
    """

    alpha: float
    agreement: float
    slope: float
    lapse: float
    ties: tuple[float, ...]
    correct: tuple[float, ...]


def panel_figures(ratings: npt.ArrayLike, seed: int = 0, num_pairs: int = NUM_PAIRS) -> PanelFigures:
    """Measure a panel.

    Args:
        ratings: [units, raters], all given. num_pairs: pairs that are drawn.

    Errors: ValueError for fewer than two units or three raters, or where alpha is undefined.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3 or not np.isfinite(table).all():
        raise ValueError(f"a panel needs finite ratings [units, raters] of at least 2 units by 3 raters, got the shape {table.shape}")
    alpha = krippendorff_alpha(table.T)
    if alpha is None:
        raise ValueError("all ratings are equal, so nothing can be said about agreement")
    num_units, num_raters = table.shape
    generator = np.random.default_rng(seed)
    one = generator.integers(num_units, size=num_pairs)
    other = (one + generator.integers(1, num_units, size=num_pairs)) % num_units
    rater = generator.integers(num_raters, size=num_pairs)
    second = (rater + generator.integers(1, num_raters, size=num_pairs)) % num_raters
    said, also = (np.sign(table[one, who] - table[other, who]) for who in (rater, second))
    is_clear = (said != 0) & (also != 0)
    others = (table.sum(axis=1)[:, None] - table) / (num_raters - 1)  # [units, raters], the mean without that rater
    gap = others[one, rater] - others[other, rater]
    right = (said * np.sign(gap))[said != 0]
    size, lapse = np.abs(gap), 0.0
    margin = (said * gap)[said != 0]
    slope, likelihood = _fitted(margin, 0.0)
    best = likelihood
    for candidate in LAPSES:
        _, likelihood = _fitted(margin, candidate)
        if likelihood > best:
            lapse, best = candidate, likelihood
    place = np.digitize(size, GAPS[1:-1])
    counts = np.bincount(place, minlength=len(GAPS) - 1)
    ties = np.bincount(place, said == 0, minlength=len(counts)) / np.maximum(counts, 1)
    correct = np.bincount(place[said != 0], 0.5 * (right + 1.0), minlength=len(counts)) / np.maximum(
        np.bincount(place[said != 0], minlength=len(counts)), 1
    )
    return PanelFigures(alpha, float((said == also)[is_clear].mean()), slope, lapse, tuple(ties.tolist()), tuple(correct.tolist()))


def _fitted(margin: FloatArray, lapse: float) -> tuple[float, float]:
    """Return the slope of largest likelihood, by golden section between 0.01 and 20, and the mean log-likelihood there.

    Args:
        margin: [N], the gap, with the sign that says whether the preference goes with it.
    """

    def likelihood(slope: float) -> float:
        right = 0.5 * (1.0 + np.tanh(0.5 * slope * margin))
        return float(np.log(np.maximum(lapse / 2.0 + (1.0 - lapse) * right, 1e-300)).mean())

    ratio, low, high = (5.0**0.5 - 1.0) / 2.0, 0.01, 20.0
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = likelihood(left), likelihood(right)
    while high - low > 1e-4:
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = likelihood(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = likelihood(right)
    middle = (low + high) / 2.0
    return middle, likelihood(middle)
