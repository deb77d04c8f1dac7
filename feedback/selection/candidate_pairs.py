"""Make pairs of items that could be asked about, and keep some of them for evaluation, whatever is asked.

What is kept is decided by a hash of the seed and the pair: the same pairs are kept in every round, in whatever order they come, and
whatever other pairs there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def pairs_within(prompt: npt.ArrayLike, most_each: int | None = None, seed: int = 0) -> IntArray:
    """Return the pairs of items of one prompt, each once, the lower number first: [N, 2].

    Args:
        prompt: [I], which prompt each item answers.
        most_each: how many pairs of a prompt at most, drawn by the seed; None = all.

    Errors: ValueError for a most_each below 1.
    """
    of = np.unique(np.asarray(prompt), return_inverse=True)[1].reshape(-1)
    if most_each is not None and most_each < 1:
        raise ValueError(f"most_each must be at least 1, or None for all, got {most_each}")
    order = np.argsort(of, kind="stable")
    largest = int(np.bincount(of).max(initial=0))
    found = [np.stack([order[:-step], order[step:]], axis=1)[of[order[:-step]] == of[order[step:]]] for step in range(1, largest)]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    drawn = np.random.default_rng(seed).random(len(pairs))
    place = np.lexsort((drawn, of[pairs[:, 0]]))
    prompt_of = of[pairs[place, 0]]
    rank = np.arange(len(pairs)) - np.searchsorted(prompt_of, prompt_of)  # among the pairs of its prompt
    kept = pairs[place[rank < (len(pairs) + 1 if most_each is None else most_each)]]
    return kept[np.lexsort((kept[:, 1], kept[:, 0]))]


def kept_for_evaluation(pairs: IntArray, share: float, seed: int = 0) -> npt.NDArray[np.bool_]:
    """Return which pairs are kept for evaluation: [N, 2] -> [N]. A pair and the same turned round are kept together.

    Args:
        pairs: numbers of items, which must mean the same items in every round.
        share: of all pairs; of a finite number of them, about so many are.

    Errors: ValueError unless 0 <= share < 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share that is kept must be at least 0 and below 1, got {share}")
    low, high = pairs.min(axis=1, initial=np.iinfo(np.int64).max), pairs.max(axis=1, initial=-1)
    word = _mixed(np.full(len(pairs), seed % 2**64, dtype=np.uint64))
    for number in (low, high):
        word = _mixed(word ^ number.astype(np.uint64))
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share


def _mixed(word: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return 64 bits each of which depends on every bit of the given ones (splitmix64: Steele et al. 2014)."""
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
