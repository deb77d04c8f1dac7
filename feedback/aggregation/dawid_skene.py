"""Find what units are and how annotators confuse classes: Dawid and Skene's model, with priors.

Dawid & Skene 1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm". The priors keep an annotator with few
answers near to what is expected of anybody, and a class that was never seen possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feedback.aggregation.label_posterior import FloatArray, LabelPosterior, settled, shares, vote_counts
from feedback.aggregation.opinions import Labels


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """Hold what units are, and how annotators confuse classes.

    Args:
        posterior: of the units; its reliability is the probability of giving a unit of the data its class.
        confusion: [K, C, C], confusion[k, c, l] is the probability that k says l of a unit of class c.
        prevalence: [C], the share of each class.
    """

    posterior: LabelPosterior
    confusion: FloatArray
    prevalence: FloatArray


def fit_dawid_skene(
    labels: Labels, smoothing: float = 0.1, diagonal: float = 1.0, tolerance: float = 1e-7, start: FloatArray | None = None
) -> DawidSkene:
    """Fit by expectation-maximisation of the posterior.

    P(unit u is c | answers) proportional to prevalence_c * product over u's answers of confusion[k, c, label]

    Each row of a confusion matrix has a Dirichlet prior worth `smoothing` answers for every class and `diagonal` more for the right one.
    That also names the classes: turning all of them round fits the answers as well, and the prior tells which is meant. It ends when no
    probability changes by more than the tolerance.

    Args:
        smoothing, diagonal: in answers; the first must be positive.
        start: [U, C], probabilities to begin with; None = shares of the votes.

    Errors: ValueError for priors or a start that cannot be, or without classes; RuntimeError where 10,000 steps are not enough.
    """
    counts, size = vote_counts(labels), len(labels.classes)
    if not (smoothing > 0 and diagonal >= 0 and tolerance > 0):
        raise ValueError(f"smoothing and tolerance must be positive and diagonal at least 0, got {smoothing}, {tolerance} and {diagonal}")
    believed = smoothing + diagonal * np.eye(size)
    belief = _checked(start, counts)
    history: list[float] = []
    while True:
        prevalence, confusion = _named(*_maximised(labels, belief, believed, smoothing), believed)
        before, (belief, value) = belief, _expected(labels, prevalence, confusion)
        value += smoothing * float(np.log(prevalence).sum()) + float((believed * np.log(confusion)).sum())
        history.append(value)
        if settled(history, before, belief, tolerance):
            break
    share = belief.mean(axis=0) if len(belief) else prevalence
    reliability = np.einsum("c,kcc->k", share, confusion)
    return DawidSkene(LabelPosterior("dawid-skene", labels.classes, belief, reliability, tuple(history)), confusion, prevalence)


def _checked(start: FloatArray | None, counts: FloatArray) -> FloatArray:
    if start is None:
        return shares(counts)
    belief = np.asarray(start, dtype=np.float64)
    if belief.shape != counts.shape or not np.allclose(belief.sum(axis=1), 1.0) or (belief < 0).any():
        raise ValueError(f"start must be probabilities of the shape {counts.shape}, got the shape {belief.shape}")
    return belief


def _maximised(labels: Labels, belief: FloatArray, believed: FloatArray, smoothing: float) -> tuple[FloatArray, FloatArray]:
    """Return the shares of the classes, [C], and the confusion matrices, [K, C, C], that the beliefs make most probable."""
    people, size = len(labels.annotators), belief.shape[1]
    cell = labels.annotator * size + labels.label
    counted = [np.bincount(cell, belief[labels.unit, true], people * size).reshape(people, size) for true in range(size)]
    confusion = np.stack(counted, axis=1) + believed
    prevalence = belief.sum(axis=0) + smoothing
    return prevalence / prevalence.sum(), confusion / confusion.sum(axis=2, keepdims=True)


def _expected(labels: Labels, prevalence: FloatArray, confusion: FloatArray) -> tuple[FloatArray, float]:
    """Return the probability of each class for each unit, [U, C], and the log likelihood of all answers."""
    said = np.log(confusion)[labels.annotator, :, labels.label]  # [N, C]
    number = len(labels.units)
    logs = np.stack([np.bincount(labels.unit, said[:, true], number) for true in range(len(prevalence))], axis=1) + np.log(prevalence)
    highest = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - highest)
    total = weights.sum(axis=1, keepdims=True)
    return weights / total, float((highest + np.log(total)).sum())


def _named(prevalence: FloatArray, confusion: FloatArray, believed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both with the classes in the order that the prior finds most probable; the answers are as probable in any."""
    order = _order(np.einsum("cl,kdl->cd", believed, np.log(confusion)))
    return prevalence[order], confusion[:, order]


def _order(worth: FloatArray) -> list[int]:
    """Return the order of rows that no swap of two makes worth more.

    Args:
        worth: [C, C], worth[c, d] is what it is worth to call row d class c.
    """
    order = list(range(len(worth)))
    better = True
    while better:
        better = False
        for one in range(len(order)):
            for other in range(one):
                a, b = order[one], order[other]
                if worth[one, b] + worth[other, a] > worth[one, a] + worth[other, b] + 1e-9:
                    order[one], order[other], better = b, a, True
    return order
