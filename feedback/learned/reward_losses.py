"""Turn what people said into losses of reward models: pure functions of scores, with gradient.

Bradley & Terry 1952; Plackett 1975 and Luce 1959; Huber 1964; Natarajan et al. 2013, "Learning with Noisy Labels"; Eisenstein et al. 2023,
"Helping or Herding?" (centring). Left out: parameters for ties (Davidson's), since a tie's target of 0.5 needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


def bradley_terry_loss(difference: Tensor, target: Tensor) -> Tensor:
    """Return -t ln sigma(d) - (1 - t) ln sigma(-d) of each comparison: [N]; finite for any finite d.

    Args:
        difference: [N], first score minus second. target: [N], how far the first was preferred, from 0 to 1; 0.5 is a tie.
    """
    assert difference.shape == target.shape, f"difference {difference.shape} and target {target.shape} must be alike"
    return -target * functional.logsigmoid(difference) - (1 - target) * functional.logsigmoid(-difference)


def smoothed_loss(difference: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Return Bradley and Terry's loss with targets t (1 - 2 s) + s, which bounds how far apart two scores are worth pushing: [N].

    Args:
        smoothing: s, from 0 to below 0.5.
    """
    share = _checked_share("smoothing", smoothing)
    return bradley_terry_loss(difference, target * (1 - 2 * share) + share)


def lapse_loss(difference: Tensor, target: Tensor, lapse: float) -> Tensor:
    """Return -t ln p - (1 - t) ln(1 - p), p = eps + (1 - 2 eps) sigma(d): what a share of 2 eps coin flips leaves likely: [N].

    A single answer moves the scores by a bounded force, however wrong they have it. Computed in logarithms, so finite for any finite d.

    Args:
        lapse: eps, from 0 to below 0.5.
    """
    eps = _checked_share("lapse", lapse)
    if eps == 0:
        return bradley_terry_loss(difference, target)
    both = torch.log(torch.tensor(eps, dtype=difference.dtype, device=difference.device)).expand_as(difference)
    kept = torch.log1p(torch.tensor(-2 * eps, dtype=difference.dtype, device=difference.device))
    yes = torch.logaddexp(both, kept + functional.logsigmoid(difference))
    no = torch.logaddexp(both, kept + functional.logsigmoid(-difference))
    return -target * yes - (1 - target) * no


def unbiased_loss(difference: Tensor, target: Tensor, flips: float) -> Tensor:
    """Return ((1 - eps) L(t) - eps L(1 - t)) / (1 - 2 eps) of each comparison: [N] (Natarajan et al. 2013, lemma 1).

    Where a share of eps of the answers was turned round, its mean over the flips is the loss of the answers that were meant.
    It has no lower bound: single comparisons can be below 0, and scores need a penalty.

    Args:
        flips: eps, from 0 to below 0.5.
    """
    eps = _checked_share("flips", flips)
    meant, turned = bradley_terry_loss(difference, target), bradley_terry_loss(difference, 1 - target)
    return ((1 - eps) * meant - eps * turned) / (1 - 2 * eps)


def huber_loss(guess: Tensor, value: Tensor, width: float = 1.0) -> Tensor:
    """Return e^2 / 2 up to |e| = width and width (|e| - width / 2) beyond, e = guess - value: [M]."""
    assert guess.shape == value.shape, f"guess {guess.shape} and value {value.shape} must be alike"
    return functional.huber_loss(guess, value, reduction="none", delta=width)


def centring_penalty(first: Tensor, second: Tensor) -> Tensor:
    """Return (s_1 + s_2)^2 of each comparison: [N]. Comparisons say nothing of the scores' mean; this holds it at 0."""
    return (first + second) ** 2


@dataclass(frozen=True, eq=False)
class Choices:
    """Hold rankings as sums that Plackett and Luce's loss is made of.

    Args:
        item: [C, k], numbers of the items that stand to choice; filled with 0. is_there: [C, k]. share: [C], how much a choice counts.
        ranking: [C], which ranking it belongs to. chosen: [R, k], how much each item's own score counts. items: [R, k].
    """

    item: npt.NDArray[np.int64]
    is_there: npt.NDArray[np.bool_]
    share: npt.NDArray[np.float64]
    ranking: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    chosen: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rankings: Sequence[Sequence[Sequence[int]]]) -> Choices:
        """Make choices of rankings: groups of items, the best first; those in one group are tied. Who is in no group takes no part.

        Errors: ValueError for a ranking of fewer than two items, or with one twice.
        """
        longest = max((sum(map(len, groups)) for groups in rankings), default=1)
        stages: list[tuple[int, tuple[int, ...], float]] = []
        items = np.zeros((len(rankings), longest), dtype=np.int64)
        chosen = np.zeros((len(rankings), longest))
        for number, groups in enumerate(rankings):
            ordered = [item for group in groups for item in group]
            if len(ordered) < 2 or len(set(ordered)) < len(ordered):
                raise ValueError(f"a ranking needs two items or more, each once, got {[list(group) for group in groups]}")
            stages += [(number, stood, share / (len(ordered) - 1)) for stood, share in _stages(groups)]
            items[number, : len(ordered)] = ordered
            chosen[number, : len(ordered)] = 1.0 / (len(ordered) - 1)
        item = np.zeros((len(stages), longest), dtype=np.int64)
        is_there = np.zeros((len(stages), longest), dtype=np.bool_)
        for row, (_, stood, _) in enumerate(stages):
            item[row, : len(stood)], is_there[row, : len(stood)] = stood, True
        share = np.array([stage[2] for stage in stages])
        return cls(item, is_there, share, np.array([stage[0] for stage in stages], dtype=np.int64), items, chosen)


def plackett_luce_loss(scores: Tensor, choices: Choices) -> Tensor:
    """Return how unlikely each ranking is: [R].

    -1 / (k - 1) * sum over places j < k of ln(exp(s_j) / sum of exp(s) over those placed at j and after)

    The mean over the k - 1 choices that a ranking of k is made of, so that it weighs one judgement; Bradley and Terry's loss for k = 2.
    Of tied items the mean over all orders among them is taken, so that a tie of two has the target 0.5.

    Args:
        scores: [items].
    """
    stood = scores[torch.as_tensor(choices.item, device=scores.device)]
    stood = stood.masked_fill(~torch.as_tensor(choices.is_there, device=scores.device), -torch.inf)
    share = torch.as_tensor(choices.share, dtype=scores.dtype, device=scores.device)
    chosen = torch.as_tensor(choices.chosen, dtype=scores.dtype, device=scores.device)
    own = (chosen * scores[torch.as_tensor(choices.items, device=scores.device)]).sum(1)
    which = torch.as_tensor(choices.ranking, device=scores.device)
    return (-own).index_add(0, which, share * torch.logsumexp(stood, 1))


def _stages(groups: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], float]]:
    """Return which items stand to choice at each place, and in which share of the orders among tied items."""
    found = []
    for number, group in enumerate(groups):
        after = tuple(item for later in groups[number + 1 :] for item in later)
        for left in range(len(group), 0, -1):
            found += [(still + after, 1.0 / comb(len(group), left)) for still in combinations(group, left)]
    return found


def _checked_share(name: str, share: float) -> float:
    if not 0 <= share < 0.5:
        raise ValueError(f"{name} must be from 0 to below 0.5, where an answer says nothing, got {share}")
    return float(share)
