"""Say how much could be learned from asking which of two items is better, by what an ensemble of reward models disagrees on.

Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference Learning" (BALD); Lee et al. 2021, "B-Pref", for the
variance and for pairs that are close. p_k = sigmoid(score_k(a) - score_k(b)) is how probably member k holds a to be preferred to b.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feedback.aggregation.bradley_terry import sigmoid

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def ensemble_variance(scores: FloatArray, pairs: IntArray) -> FloatArray:
    """Return the variance of p_k over the members: [N].

    Args:
        scores: [K, I], what each member makes of each item, in log odds.
        pairs: [N, 2], numbers of items.
    """
    return _preferences(scores, pairs).var(axis=0)


def information_gain(scores: FloatArray, pairs: IntArray) -> FloatArray:
    """Return what an answer is expected to tell about which member is right, in nats: H(mean of p_k) - mean of H(p_k), [N].

    It is 0 where all members expect the same, be it a tie: that people are torn is nothing that an answer would settle.

    Args:
        scores, pairs: as in `ensemble_variance`.
    """
    chances = _preferences(scores, pairs)
    return np.maximum(0.0, _entropy(chances.mean(axis=0)) - _entropy(chances).mean(axis=0))


def closeness(scores: FloatArray, pairs: IntArray) -> FloatArray:
    """Return how near to a tie the ensemble holds a pair: 1/2 - |mean of p_k - 1/2|, [N].

    Not the same as being uncertain: pairs that people are torn about come first, and stay first however many are asked.

    Args:
        scores, pairs: as in `ensemble_variance`.
    """
    return 0.5 - np.abs(_preferences(scores, pairs).mean(axis=0) - 0.5)


def _preferences(scores: FloatArray, pairs: IntArray) -> FloatArray:
    """Return p_k: [K, N]."""
    given = np.asarray(scores, dtype=np.float64)
    if given.ndim != 2 or not len(given) or not np.isfinite(given).all():
        raise ValueError(f"scores must be [members, items], at least one member's, and finite, got the shape {given.shape}")
    if len(pairs) and not (pairs.min() >= 0 and pairs.max() < given.shape[1]):
        raise ValueError(f"pairs must be numbers of the {given.shape[1]} items, got {pairs.min()} to {pairs.max()}")
    return sigmoid(given[:, pairs[:, 0]] - given[:, pairs[:, 1]])


def _entropy(chance: FloatArray) -> FloatArray:
    """Return -p log p - (1 - p) log(1 - p) in nats, 0 at both ends."""
    other = 1.0 - chance
    return -(chance * np.log(np.where(chance > 0, chance, 1.0)) + other * np.log(np.where(other > 0, other, 1.0)))
