"""Choose which pairs to ask about under a budget: by what is learned, spread over what there is, and never what is kept for evaluation.

Gonzalez 1985 (greedy k-centre). What is equally worth asking is taken by lot, so that without scores, or with an ensemble whose members
agree, the choice is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.selection.candidate_pairs import kept_for_evaluation

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NOTHING = 1e-12  # what is worth less than this above the least is worth no more: rounding must not choose


@dataclass(frozen=True, eq=False)
class Choice:
    """Hold which of N candidate pairs to ask about.

    Args:
        chosen: their numbers, what is most worth asking first; fewer than the budget only where there are not more.
        evaluation: numbers of those that are kept for evaluation.
        is_random: whether nothing told the candidates apart, so that lots decided alone.
    """

    chosen: IntArray
    evaluation: IntArray
    is_random: bool


def choose_pairs(
    pairs: npt.ArrayLike,
    budget: int,
    worth: FloatArray | None = None,
    features: FloatArray | None = None,
    evaluation_share: float = 0.1,
    shortlist: int = 4,
    seed: int = 0,
) -> Choice:
    """Choose pairs to ask about.

    random          neither worth nor features
    by worth        those with the largest worth, such as `information_gain(scores, pairs)`
    diverse         with features: each next one the farthest from all that are chosen, of those on the shortlist
    both            the shortlist is the `shortlist` * budget candidates that are worth most

    Args:
        pairs: [N, 2], numbers of items. A pair of an item with itself is never chosen, and a pair that comes again, either way round, once.
        budget: how many to choose.
        worth: [N]; None = all are worth the same.
        features: [I, H], of the items. A pair is the difference of its items' features, either way round.
        evaluation_share: share of all pairs that is kept for evaluation and never chosen, see `kept_for_evaluation`; the same in every
            round with the same seed.
        seed: decides what is kept and the lots.

    Errors: ValueError for arrays that do not fit, a budget below 0, a shortlist below 1, or a share that is none.
    """
    table = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    _check(table, budget, worth, features, shortlist)
    is_kept = kept_for_evaluation(table, evaluation_share, seed) & (table[:, 0] != table[:, 1])
    generator = np.random.default_rng(seed)
    lots = generator.permutation(len(table))
    open_ones = _open(table, is_kept, lots)
    value = np.zeros(len(table)) if worth is None else np.asarray(worth, dtype=np.float64)
    steps = np.round(value / NOTHING) if len(open_ones) and np.ptp(value[open_ones]) > NOTHING else np.zeros(len(table))
    ranked = open_ones[np.lexsort((lots[open_ones], -steps[open_ones]))]
    if features is not None:
        listed = ranked if worth is None else ranked[: shortlist * budget]
        ranked = _spread(listed, _differences(table, np.asarray(features, dtype=np.float64)), budget)
    return Choice(ranked[:budget], np.flatnonzero(is_kept), features is None and not steps[open_ones].any())


def _check(pairs: IntArray, budget: int, worth: FloatArray | None, features: FloatArray | None, shortlist: int) -> None:
    if budget < 0 or shortlist < 1:
        raise ValueError(f"budget must be at least 0 and shortlist at least 1, got {budget} and {shortlist}")
    if worth is not None and (np.shape(worth) != (len(pairs),) or not np.isfinite(worth).all()):
        raise ValueError(f"worth must be one finite number for each of {len(pairs)} pairs, got the shape {np.shape(worth)}")
    if len(pairs) and pairs.min() < 0:
        raise ValueError(f"pairs must be numbers of items, from 0, got {pairs.min()}")
    if features is not None and (np.ndim(features) != 2 or len(features) <= pairs.max(initial=-1) or not np.isfinite(features).all()):
        raise ValueError(f"features must be finite, [items, size], for all items up to {pairs.max(initial=-1)}, got {np.shape(features)}")


def _open(pairs: IntArray, is_kept: npt.NDArray[np.bool_], lots: IntArray) -> IntArray:
    """Return the numbers of the pairs that may be chosen: of two different items, not kept, each once."""
    numbers = np.flatnonzero(~is_kept & (pairs[:, 0] != pairs[:, 1]))
    numbers = numbers[np.argsort(lots[numbers])]
    return numbers[np.unique(np.sort(pairs[numbers], axis=1), axis=0, return_index=True)[1]]


def _differences(pairs: IntArray, features: FloatArray) -> FloatArray:
    return features[pairs[:, 0]] - features[pairs[:, 1]]


def _spread(listed: IntArray, differences: FloatArray, budget: int) -> IntArray:
    """Return the first, then always the one that is farthest from all that were taken; the earlier one of equally far ones."""
    rows = differences[listed]
    squares = (rows**2).sum(axis=1)
    nearest = np.full(len(listed), np.inf)
    taken: list[int] = []
    for _ in range(min(budget, len(listed))):
        taken.append(int(nearest.argmax()))
        along = np.abs(rows @ rows[taken[-1]])  # either way round: the smaller of |x - y|^2 and |x + y|^2
        nearest = np.minimum(nearest, np.maximum(0.0, squares + squares[taken[-1]] - 2 * along))
        nearest[taken] = -1.0
    return listed[taken]
