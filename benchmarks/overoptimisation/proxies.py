"""Fit learned scores to one set of comparisons, alone and as an ensemble, and put them into units that can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import Comparisons
from feedback.learned.conservative import Combination, combine
from feedback.learned.heads import Heads, fit_heads

FloatArray = npt.NDArray[np.float64]
PRIOR_NOISE = 1.0  # each member shrinks towards a draw from the prior, so that they disagree where nobody has judged
WAYS: dict[str, Combination] = {"single": "single", "mean": "mean", "min": "min", "mean - variance": "mean_minus_variance"}


@dataclass(frozen=True, eq=False)
class Proxy:
    """Hold a learned score.

    Args:
        heads: one, or the members of an ensemble. how: they are combined.
        middle, deviation: [K], of each head's scores under the reference policy: each counts in its own deviations from its own mean.
        variance_weight: deviations of the score per squared deviation of disagreement; counts for "mean - variance" alone.
    """

    heads: Heads
    how: Combination
    middle: FloatArray
    deviation: FloatArray
    variance_weight: float

    def scores(self, features: FloatArray) -> FloatArray:
        """Return the score of each response: [N] from [N, F]."""
        members = (self.heads.scores(features) - self.middle[:, None]) / self.deviation[:, None]
        return combine(members, self.how, self.variance_weight)


def fit_proxies(
    features: FloatArray,
    comparisons: Comparisons,
    num_heads: int,
    seed: int,
    variance_weight: float,
    penalty: float,
    usual: FloatArray,
    probabilities: FloatArray | None = None,
) -> dict[str, Proxy]:
    """Fit one head to all comparisons, and an ensemble to draws of them with replacement, with priors of their own.

    Args:
        features: [N, F], of the compared responses.
        penalty: on the squares of a head's weights.
        usual: [M, F], responses of the reference policy, which set the units. probabilities: [M] of each; None = all alike.

    Returns: for each of `WAYS` a score.
    """
    weights = np.full(len(usual), 1 / len(usual)) if probabilities is None else probabilities
    single = fit_heads(features, comparisons, 1, seed, penalty)
    several = fit_heads(features, comparisons, num_heads, seed, penalty, prior_noise=PRIOR_NOISE)
    return {way: _proxy(single if how == "single" else several, how, usual, weights, variance_weight) for way, how in WAYS.items()}


def _proxy(heads: Heads, how: Combination, usual: FloatArray, weights: FloatArray, variance_weight: float) -> Proxy:
    scores = heads.scores(usual)
    middle = scores @ weights
    deviation = np.sqrt(((scores - middle[:, None]) ** 2) @ weights)
    if not (deviation > 0).all():
        raise ValueError("a learned score is the same for every response: more comparisons, or less noise, are needed")
    return Proxy(heads, how, middle, deviation, variance_weight)
