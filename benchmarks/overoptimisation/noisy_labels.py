"""Let somebody who knows the true score compare pairs of responses, and be wrong in a stated share of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import TIE, Comparisons

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def noisy_comparisons(gold: FloatArray, pairs: IntArray, noise: float, seed: int) -> Comparisons:
    """Compare pairs by the true score, and turn round each answer with probability `noise`; ties stay ties.

    Which answers are turned round at a noise is part of which are at a higher one, so that only the noise differs between two levels.

    Args:
        gold: [N], the true score of each response. pairs: [M, 2] numbers of responses.
        noise: from 0 to 1/2, where an answer says nothing.
    """
    if not 0 <= noise <= 0.5:
        raise ValueError(f"noise is a share of wrong answers from 0 to 0.5, got {noise}")
    first, second = pairs.T
    difference = gold[first] - gold[second]
    right = np.where(difference == 0, TIE, (difference > 0).astype(np.float64))
    is_wrong = np.random.default_rng((seed, 1)).random(len(pairs)) < noise
    items = tuple(map(str, range(len(gold))))
    return Comparisons.of(first, second, np.where(is_wrong, 1.0 - right, right), items)


def random_pairs(group: IntArray, number: int, seed: int) -> IntArray:
    """Draw pairs of different responses to the same prompt: [number, 2].

    Args:
        group: [N], the prompt of each response. Prompts are drawn with equal probability, pairs may come again.

    Errors: ValueError where a prompt has only one response.
    """
    order = np.argsort(group, kind="stable")
    _, start, size = np.unique(group[order], return_index=True, return_counts=True)
    if size.min() < 2:
        raise ValueError("every prompt needs at least two responses that can be compared")
    generator = np.random.default_rng((seed, 2))
    chosen = generator.integers(len(size), size=number)
    first = generator.integers(size[chosen])
    second = (first + generator.integers(1, size[chosen])) % size[chosen]
    return np.stack([order[start[chosen] + first], order[start[chosen] + second]], axis=1)
