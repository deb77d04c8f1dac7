"""Compare the responses of a group, which share a prompt."""

from __future__ import annotations

import numpy as np

from agents.learning.returns import BoolArray, FloatArray, IntArray, mean_baseline
from agents.learning.rollout import Rollout


def group_members(scores: FloatArray, is_scored: BoolArray, group: IntArray) -> tuple[IntArray, IntArray, BoolArray]:
    """Look at the scored members of each group.

    Args:
        scores, is_scored, group: [B].

    Returns:
        [B] numbers of the groups, from 0 to G - 1; [G] how many members were scored; [G] whether all of those have the same score.
    """
    assert scores.shape == is_scored.shape == group.shape, f"{scores.shape}, {is_scored.shape} and {group.shape} must be one [B]"
    number = np.unique(group, return_inverse=True)[1]
    num_groups = int(number.max(initial=-1)) + 1
    low, high = np.full(num_groups, np.inf), np.full(num_groups, -np.inf)
    np.minimum.at(low, number[is_scored], scores[is_scored])
    np.maximum.at(high, number[is_scored], scores[is_scored])
    return number, np.bincount(number[is_scored], minlength=num_groups), high == low


def share_degenerate_groups(scores: FloatArray, is_scored: BoolArray, group: IntArray) -> float | None:
    """Return the share of groups whose scores are all equal, so that a comparison inside the group teaches nothing.

    Only groups with at least two scores count; None where there is none.
    """
    _, count, is_equal = group_members(scores, is_scored, group)
    compared = count >= 2
    return float(is_equal[compared].mean()) if compared.any() else None


def group_advantages(returns: FloatArray, group: IntArray, divide_by_std: bool, smallest: float = 1e-8) -> FloatArray:
    """Compute by how much each response is better than its group (Shao et al. 2024, arXiv:2402.03300, section 4.1.2).

    A_i = (R_i - mean of the group's R) / standard deviation of the group's R

    The mean contains the response itself: with n of them the expected gradient is (n - 1) / n of the exact one, where nothing is divided.
    Dividing gives prompts with small differences as much weight as those with large ones (Liu et al. 2025, arXiv:2503.20783).

    Args:
        returns, group: [B], at least two responses in each group.
        divide_by_std: False leaves out the division.
        smallest: a standard deviation below this counts as zero, and then nothing is divided.

    Returns: [B].
    """
    centred = returns - mean_baseline(returns, np.ones(len(returns), dtype=bool), group)
    if not divide_by_std:
        return centred
    number = np.unique(group, return_inverse=True)[1]
    deviation = np.sqrt(np.bincount(number, centred**2) / np.bincount(number))[number]
    return centred / np.where(deviation > smallest, deviation, 1.0)


def comparable_rows(rollout: Rollout, drop_degenerate: bool) -> IntArray:
    """Return the rows of scored episodes that have another scored one in their group.

    Args:
        drop_degenerate: also leave out groups whose scores are all equal.

    Raises ValueError where a group has a single episode, scored or not.
    """
    sizes = np.unique(rollout.group, return_counts=True)[1]
    if (sizes < 2).any():
        raise ValueError(
            f"a group is compared with itself and needs at least 2 episodes, but {(sizes < 2).sum()} of {len(sizes)} have 1: "
            "make the environment with group_size=4, say (--group-size 4)"
        )
    number, count, is_equal = group_members(rollout.scores, rollout.is_scored, rollout.group)
    kept = (count >= 2) & ~(is_equal & drop_degenerate)
    return np.flatnonzero(rollout.is_scored & kept[number])
