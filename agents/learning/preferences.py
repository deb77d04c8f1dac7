"""Compare the responses of a group: which pairs, by how much the policy prefers one, and what that should change.

A preference is a difference, so scores need no baseline and no unit that the prompts share.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

SMALLEST = 1e-9  # a smaller difference of scores is the rounding of a sum over tokens


def choose_pairs(scores: FloatArray, group: IntArray, kind: str) -> tuple[IntArray, int]:
    """Pair each response with others of its group that scored less.

    Args:
        scores: [B], of responses that all have one. group: [B].
        kind: "all" pairs of a group, or only its "best_worst", the first of each where several score the same.

    Returns: [P, 2] rows of the better and of the worse response; and how many pairs were left out because they scored the same.
    """
    if kind not in ("all", "best_worst"):
        raise ValueError(f"pairs must be all or best_worst, got {kind!r}")
    assert scores.shape == group.shape, f"scores {scores.shape} and group {group.shape} must both be [B]"
    pairs: list[tuple[int, int]] = []
    num_ties = 0
    for rows in members(group):
        if kind == "best_worst":
            candidates = [(rows[np.argmax(scores[rows])], rows[np.argmin(scores[rows])])] if len(rows) > 1 else []
        else:
            candidates = [(one, two) for place, one in enumerate(rows) for two in rows[place + 1 :]]
        for one, two in candidates:
            if abs(scores[one] - scores[two]) < SMALLEST:
                num_ties += 1
            else:
                pairs.append((int(one), int(two)) if scores[one] > scores[two] else (int(two), int(one)))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), num_ties


def best_rows(values: FloatArray, group: IntArray) -> IntArray:
    """Return the row of the highest value in each group, the first one where several are equal, in the groups' order.

    Args:
        values, group: [B].
    """
    assert values.shape == group.shape, f"values {values.shape} and group {group.shape} must both be [B]"
    return np.array([rows[np.argmax(values[rows])] for rows in members(group)], dtype=np.int64)


def told_apart(scores: FloatArray, group: IntArray) -> BoolArray:
    """Return which responses are in a group whose scores are not all equal: [B]."""
    apart = np.zeros(len(scores), dtype=bool)
    for rows in members(group):
        apart[rows] = np.ptp(scores[rows]) >= SMALLEST
    return apart


def members(group: IntArray) -> list[IntArray]:
    """Return the rows of each group, in their order; groups in the order of their numbers."""
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def preference_labels(scores: FloatArray, pairs: IntArray, kind: str) -> FloatArray:
    """Return how probable it is that the better response of each pair is preferred: [P].

    soft: sigmoid(score_better - score_worse), as of a person who judges by these scores (Bradley and Terry 1952); hard: 1.
    """
    if kind not in ("soft", "hard"):
        raise ValueError(f"labels must be soft or hard, got {kind!r}")
    differences = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return sigmoid(differences) if kind == "soft" else np.ones(len(pairs))


def preference_margins(log_ratios: FloatArray, pairs: IntArray, kl_weight: float) -> FloatArray:
    """Return by how much the policy prefers the better response of each pair, more than its reference does, in units of the score: [P].

    margin = kl_weight * (x_better - x_worse),   x = log pi(response) - log reference(response)     (Rafailov et al. 2023, eq. 7)

    Args:
        log_ratios: [B], of whole responses.
    """
    return kl_weight * (log_ratios[pairs[:, 0]] - log_ratios[pairs[:, 1]])


def preference_loss(margins: FloatArray, labels: FloatArray) -> float:
    """Return the mean cross entropy of the policy's preferences (Rafailov et al. 2023, arXiv:2305.18290, eq. 7, at labels 1).

    loss = -mean over pairs of label * log sigmoid(margin) + (1 - label) * log sigmoid(-margin)
    """
    return float((labels * np.logaddexp(0, -margins) + (1 - labels) * np.logaddexp(0, margins)).mean())


def preference_coefficients(margins: FloatArray, labels: FloatArray, pairs: IntArray, kl_weight: float, num_rows: int) -> FloatArray:
    """Return the derivative of `preference_loss` by the log-probability of each response: [B].

    kl_weight / P * (sum over pairs where it is the better one of (sigmoid(margin) - label), minus the same where it is the worse one)

    It is zero for every response where each margin is the difference of scores and labels are soft: at the regularised optimum.
    """
    errors = kl_weight * (sigmoid(margins) - labels) / len(pairs)
    coefficients = np.zeros(num_rows)
    np.add.at(coefficients, pairs[:, 0], errors)
    np.subtract.at(coefficients, pairs[:, 1], errors)
    return coefficients


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -logits))
