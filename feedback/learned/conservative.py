"""Make one score of what the members of an ensemble say, more careful the less they agree.

Coste, Anwar, Kirk & Krueger 2024, "Reward Model Ensembles Help Mitigate Overoptimization". Left out: weights for single members.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Combination = Literal["single", "mean", "min", "mean_minus_variance"]


def combine(scores: npt.ArrayLike, how: Combination = "mean", variance_weight: float = 1.0) -> FloatArray:
    """Return one score of each passage.

    single                the first member's, whatever the others say
    mean                  mean_k s_k
    min                   min_k s_k ("worst case")
    mean_minus_variance   mean_k s_k - variance_weight * mean_k (s_k - mean s)^2 ("uncertainty weighted"): the variance, not its root, so
                          that small disagreement costs little and large much

    Args:
        scores: [K, N], of K members. variance_weight: at least 0; per unit of score, since the variance is in squared units.

    Returns: [N]. Members that agree exactly have the variance 0 exactly.
    Errors: ValueError for an unknown name, no member, or a weight that is negative or not finite.
    """
    if how not in get_args(Combination):
        raise ValueError(f"how must be one of {', '.join(get_args(Combination))}, got {how!r}")
    if not (variance_weight >= 0 and np.isfinite(variance_weight)):
        raise ValueError(f"variance_weight must be at least 0 and finite, got {variance_weight}")
    said = _members(scores)
    if how == "single":
        return said[0].copy()
    if how == "min":
        return np.asarray(said.min(axis=0))
    mean = _mean(said)
    return mean if how == "mean" else np.asarray(mean - variance_weight * spread_variance(said))


def spread_variance(scores: npt.ArrayLike) -> FloatArray:
    """Return the variance of each passage's scores over the members: [K, N] to [N], divided by K."""
    said = _members(scores)
    return np.asarray(((said - _mean(said)) ** 2).mean(axis=0))


def _members(scores: npt.ArrayLike) -> FloatArray:
    said = np.asarray(scores, dtype=np.float64)
    if said.ndim != 2 or not len(said):
        raise ValueError(f"scores must be [members, passages] with at least one member, got the shape {said.shape}")
    return said


def _mean(said: FloatArray) -> FloatArray:
    return np.asarray(said[0] + (said - said[0]).mean(axis=0))  # exact where all members are equal
