"""Hold what all annotators together say of each unit: a probability of each class, and how far each annotator is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import Labels

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_STEPS = 10_000  # of expectation-maximisation


@dataclass(frozen=True, eq=False)
class LabelPosterior:
    """Hold what U units are, of C classes, and how reliable K annotators are.

    Args:
        method: how it was found.
        probability: [U, C]; each row sums to 1. A unit that nobody labelled has what is known of units in general.
        reliability: [K], the probability of giving a unit its class; NaN where nothing can be said of it.
        history: log posterior after each step of expectation-maximisation, constants left out; it never falls. Empty where none was needed.
    """

    method: str
    classes: tuple[str, ...]
    probability: FloatArray
    reliability: FloatArray
    history: tuple[float, ...]

    @property
    def label(self) -> IntArray:
        """Return the most probable class of each unit, the first of equally probable ones: [U]."""
        return self.probability.argmax(axis=1)

    def expected(self, values: npt.ArrayLike) -> FloatArray:
        """Return the mean value of each unit, where each class has a value: [C] -> [U]."""
        return self.probability @ np.asarray(values, dtype=np.float64)


def vote_counts(labels: Labels) -> FloatArray:
    """Return how many annotators gave each unit each class: [U, C].

    Errors: ValueError without classes.
    """
    if not labels.classes:
        raise ValueError("labels must have at least one class, got none")
    cell = labels.unit * len(labels.classes) + labels.label
    return np.bincount(cell, minlength=len(labels.units) * len(labels.classes)).reshape(len(labels.units), -1).astype(np.float64)


def shares(counts: FloatArray) -> FloatArray:
    """Return counts divided by the sum of their row; equal shares where that is 0: [U, C]."""
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.where(total > 0, total, 1.0), 1.0 / counts.shape[1])


def settled(history: list[float], before: FloatArray, after: FloatArray, tolerance: float) -> bool:
    """Return whether no probability changed by more than the tolerance.

    Errors: RuntimeError where that has not come about in 10,000 steps.
    """
    if len(history) > MOST_STEPS:
        raise RuntimeError(f"the probabilities have not settled after {MOST_STEPS} steps: raise tolerance from {tolerance}")
    return bool(np.abs(after - before).max(initial=0.0) <= tolerance)
