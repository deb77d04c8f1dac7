"""Take the class that most annotators gave, with a declared rule for ties.

A tie is broken by a hash of the seed, the unit's and the class's names, or not at all: neither the order of answers, annotators and
classes nor what else was labelled decides it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from feedback.aggregation.label_posterior import FloatArray, IntArray, LabelPosterior, shares, vote_counts
from feedback.aggregation.opinions import Labels

TieRule = Literal["random", "none"]


@dataclass(frozen=True, eq=False)
class Majority:
    """Hold what most annotators say.

    Args:
        posterior: shares of the votes. Its reliability is how often an annotator gave the class that most others gave; the others' tie
            between n classes counts 1 / n for each of them; NaN where there is nobody else.
        winner: [U], the class; -1 where nobody voted, and at a tie under the rule "none".
        is_tied: [U], whether two classes or more had most votes.
    """

    posterior: LabelPosterior
    winner: IntArray
    is_tied: npt.NDArray[np.bool_]


def majority(labels: Labels, ties: TieRule = "random", seed: int = 0) -> Majority:
    """Return the class with most votes for each unit.

    Args:
        ties: "random" takes one of the classes with most votes, each as probably, by the seed; "none" takes none.

    Errors: ValueError for an unknown rule, or without classes.
    """
    if ties not in get_args(TieRule):
        raise ValueError(f"ties must be one of {', '.join(get_args(TieRule))}, got {ties!r}")
    counts = vote_counts(labels)
    is_top = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    is_tied, winner = is_top.sum(axis=1) > 1, np.where(is_top.any(axis=1), is_top.argmax(axis=1), -1)
    for unit in map(int, np.flatnonzero(is_tied)):
        winner[unit] = -1 if ties == "none" else _drawn(labels, unit, is_top[unit], seed)
    posterior = LabelPosterior("majority", labels.classes, shares(counts), _met_others(labels, counts), ())
    return Majority(posterior, winner, is_tied)


def _drawn(labels: Labels, unit: int, is_top: npt.NDArray[np.bool_], seed: int) -> int:
    def ticket(number: int) -> bytes:
        return hashlib.sha256(repr((seed, labels.units[unit], labels.classes[number])).encode()).digest()

    return min(map(int, np.flatnonzero(is_top)), key=ticket)


def _met_others(labels: Labels, counts: FloatArray) -> FloatArray:
    others = counts[labels.unit]  # [N, C]
    rows = np.arange(labels.num_answers)
    others[rows, labels.label] -= 1
    is_top = (others == others.max(axis=1, keepdims=True)) & (others > 0)
    has_others = is_top.any(axis=1)
    met = is_top[rows, labels.label] / np.maximum(is_top.sum(axis=1), 1)
    size = len(labels.annotators)
    number = np.bincount(labels.annotator, has_others, size)
    return np.where(number > 0, np.bincount(labels.annotator, met * has_others, size) / np.where(number > 0, number, 1.0), np.nan)
