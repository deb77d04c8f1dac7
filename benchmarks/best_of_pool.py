"""Say what the best of n responses is worth by one score when another chose it: from a shared pool, or exactly from all responses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def pool_best_of_n(choosing: FloatArray, worth: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Return the expected worth of the best of n, for several n: [sizes, prompts].

    Of N responses in order of the choosing score, number i is the best of n of them that are drawn without replacement with probability
    C(i - 1, n - 1) / C(N, n); the mean over all draws is computed, and is unbiased for the best of n new responses.

    Args:
        choosing, worth: [prompts, N]; by the first is chosen, the second is counted. Where several are chosen alike, each may be taken.
        sizes: values of n, from 1 to N.
    """
    assert choosing.shape == worth.shape, f"choosing {choosing.shape} and worth {worth.shape} must both be [prompts, N]"
    number = choosing.shape[1]
    if not sizes or min(sizes) < 1 or max(sizes) > number:
        raise ValueError(f"the best of n of a pool of {number} responses needs 1 <= n <= {number}, got {list(sizes)}")
    weights = np.stack([_chances(number, n) for n in sizes])  # [sizes, N]
    order = np.argsort(choosing, axis=1, kind="stable")
    ranked = np.stack([_tied_means(choosing[row, order[row]], worth[row, order[row]]) for row in range(len(choosing))])
    return np.asarray(weights @ ranked.T)


def exact_best_of_n(probabilities: FloatArray, choosing: FloatArray, n: int) -> FloatArray:
    """Return the distribution of the best of n responses: [R].

    P(response) = p / p(its level) * (F(level)^n - F(below)^n), F = how probable a response up to a level of the choosing score is.

    Args:
        probabilities: [R], of each response, summing to 1. choosing: [R].
    """
    if n < 1:
        raise ValueError(f"the best of n needs n of at least 1, got {n}")
    levels, level = np.unique(choosing, return_inverse=True)
    of_level = np.bincount(level, probabilities, minlength=len(levels))
    up_to = np.minimum(np.cumsum(of_level), 1.0)
    up_to[-1] = 1.0
    chosen = up_to**n - np.append(0.0, up_to[:-1]) ** n
    share = np.divide(probabilities, of_level[level], out=np.zeros_like(probabilities), where=of_level[level] > 0)
    return np.asarray(share * chosen[level])


def kl_nats(probabilities: FloatArray, reference: FloatArray) -> float:
    """Return KL(p || reference) of two distributions over the same responses.

    Errors: ValueError where something has a probability that the reference rules out: the distance is infinite.
    """
    held = probabilities > 0
    if (reference[held] <= 0).any():
        raise ValueError("KL is infinite: the reference gives no probability to a response that the policy writes")
    return float((probabilities[held] * np.log(probabilities[held] / reference[held])).sum())


def _chances(number: int, n: int) -> FloatArray:
    """Return C(i - 1, n - 1) / C(number, n) for i = 1 .. number."""
    log_factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, number + 1))))

    def log_choose(total: npt.NDArray[np.int64], part: int) -> FloatArray:
        return np.asarray(log_factorial[total] - log_factorial[part] - log_factorial[total - part])

    chances = np.zeros(number)
    places = np.arange(n, number + 1)
    chances[n - 1 :] = np.exp(log_choose(places - 1, n - 1) - log_choose(np.array([number]), n))
    return chances


def _tied_means(choosing: FloatArray, worth: FloatArray) -> FloatArray:
    """Give responses that are chosen alike the mean of their worth."""
    _, level = np.unique(choosing, return_inverse=True)
    return np.asarray((np.bincount(level, worth) / np.bincount(level))[level])
