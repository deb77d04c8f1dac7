"""Hold what many annotators said as arrays, ready to be aggregated or learned from: labels of units, and comparisons of items.

Names come first, numbers after: `annotators[annotator[n]]` gave answer n. What was not said is not in them; there is no value for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TIE = 0.5


@dataclass(frozen=True, eq=False)
class Labels:
    """Hold which class each annotator gave each unit.

    Args:
        annotator, unit, label: [N] numbers of names below.
        annotators, units, classes: the names; some may never occur.

    Errors: ValueError for arrays of different lengths, a number without a name, names that repeat, or an annotator who labels a unit twice.
    """

    annotator: IntArray
    unit: IntArray
    label: IntArray
    annotators: tuple[str, ...]
    units: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_numbers(self, annotator="annotators", unit="units", label="classes")
        pair = self.unit * max(1, len(self.annotators)) + self.annotator
        if len(np.unique(pair)) < len(pair):
            twice = np.flatnonzero(np.bincount(pair) > 1)[0]
            unit, annotator = divmod(int(twice), max(1, len(self.annotators)))
            raise ValueError(f"{self.annotators[annotator]!r} labels {self.units[unit]!r} twice: keep the answer that stands")

    @property
    def num_answers(self) -> int:
        """Return N."""
        return len(self.label)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Hold who preferred which of two items, and how firmly.

    Args:
        first, second: [N] numbers of items; the first is no better than the second by that.
        target: [N], from 0 to 1: how far the first was preferred; 0.5 is a tie.
        annotator: [N].
        weight: [N], at least 0; how many comparisons each counts for. A ranking's pairs share the weight of one judgement.
        items, annotators: the names.
        shown_first: [N], 1 where `first` was shown first, -1 where `second` was, 0 where it is not known.

    Errors: ValueError for arrays of different lengths, a number without a name, names that repeat, an item against itself, or a target or a
    weight out of range.
    """

    first: IntArray
    second: IntArray
    target: FloatArray
    annotator: IntArray
    weight: FloatArray
    items: tuple[str, ...]
    annotators: tuple[str, ...]
    shown_first: IntArray

    def __post_init__(self) -> None:
        _check_numbers(self, first="items", second="items", annotator="annotators")
        for name in ("target", "weight", "shown_first"):
            if len(getattr(self, name)) != len(self.first):
                raise ValueError(f"{name} must have one number for each of {len(self.first)} comparisons, got {len(getattr(self, name))}")
        if (same := np.flatnonzero(self.first == self.second)).size:
            raise ValueError(f"comparison {same[0]} is of {self.items[self.first[same[0]]]!r} with itself")
        if (wrong := np.flatnonzero(~((self.target >= 0) & (self.target <= 1)))).size:
            raise ValueError(f"target of comparison {wrong[0]} must be from 0 to 1, got {self.target[wrong[0]]}")
        if (wrong := np.flatnonzero(~(np.isfinite(self.weight) & (self.weight >= 0)))).size:
            raise ValueError(f"weight of comparison {wrong[0]} must be at least 0, got {self.weight[wrong[0]]}")

    @property
    def num_comparisons(self) -> int:
        """Return N."""
        return len(self.first)

    @classmethod
    def of(
        cls,
        first: npt.ArrayLike,
        second: npt.ArrayLike,
        target: npt.ArrayLike,
        items: tuple[str, ...],
        annotator: npt.ArrayLike | None = None,
        annotators: tuple[str, ...] = ("annotator",),
        weight: npt.ArrayLike | None = None,
        shown_first: npt.ArrayLike | None = None,
    ) -> Comparisons:
        """Make comparisons of what can be turned into arrays; by one annotator, each counting once, where nothing else is said."""
        one = np.asarray(first, dtype=np.int64)
        return cls(
            one,
            np.asarray(second, dtype=np.int64),
            np.asarray(target, dtype=np.float64),
            np.zeros(len(one), dtype=np.int64) if annotator is None else np.asarray(annotator, dtype=np.int64),
            np.ones(len(one)) if weight is None else np.asarray(weight, dtype=np.float64),
            items,
            annotators,
            np.zeros(len(one), dtype=np.int64) if shown_first is None else np.asarray(shown_first, dtype=np.int64),
        )

    def take(self, chosen: npt.ArrayLike) -> Comparisons:
        """Return some of the comparisons, of the same items and annotators.

        Args:
            chosen: numbers of comparisons, or one truth value for each.
        """
        rows = np.asarray(chosen)
        return Comparisons(
            self.first[rows],
            self.second[rows],
            self.target[rows],
            self.annotator[rows],
            self.weight[rows],
            self.items,
            self.annotators,
            self.shown_first[rows],
        )


def _check_numbers(table: Labels | Comparisons, **names_of: str) -> None:
    """Check that each array of numbers has names, and that all have one length."""
    length = len(getattr(table, next(iter(names_of))))
    for array, names in names_of.items():
        numbers, known = getattr(table, array), getattr(table, names)
        if len(set(known)) < len(known):
            raise ValueError(
                f"{names} must be different names, got {next(name for name in known if known.count(name) > 1)!r} more than once"
            )
        if numbers.shape != (length,):
            raise ValueError(f"{array} must have one number for each of {length} answers, got the shape {numbers.shape}")
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(known)):
            raise ValueError(f"{array} must be numbers of the {len(known)} {names}, got {numbers.min()} to {numbers.max()}")
