"""Solve ridge regression on sparse rows by conjugate gradients (Hestenes & Stiefel 1952)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Hold a matrix X of which most entries are 0.

    Args:
        rows, columns, values: [M], of the entries that are not 0, row by row. shape: of the matrix.
    """

    rows: IntArray
    columns: IntArray
    values: FloatArray
    shape: tuple[int, int]

    @classmethod
    def stack(cls, rows: Sequence[tuple[IntArray, FloatArray]], num_columns: int) -> SparseRows:
        """Return the matrix of some rows, each given by its columns and values."""
        numbers = np.repeat(np.arange(len(rows)), [len(columns) for columns, _ in rows])
        columns = np.concatenate([columns for columns, _ in rows])
        return cls(numbers, columns, np.concatenate([values for _, values in rows]), (len(rows), num_columns))

    def times(self, vector: FloatArray) -> FloatArray:
        """Return X v: [rows]."""
        return np.asarray(np.bincount(self.rows, self.values * vector[self.columns], self.shape[0]), dtype=np.float64)

    def transposed_times(self, vector: FloatArray) -> FloatArray:
        """Return X^T v: [columns]."""
        return np.asarray(np.bincount(self.columns, self.values * vector[self.rows], self.shape[1]), dtype=np.float64)

    def shares(self, is_used: npt.NDArray[np.bool_]) -> FloatArray:
        """Return what part of each row's squared length is in columns that the rows used have too: [rows], 1 for an empty row."""
        is_known = np.bincount(self.columns, is_used[self.rows], self.shape[1]) > 0
        square = self.values**2
        whole = np.bincount(self.rows, square, self.shape[0])
        known = np.bincount(self.rows, square * is_known[self.columns], self.shape[0])
        return np.divide(known, whole, out=np.ones(self.shape[0]), where=whole > 0)


def ridge_weights(matrix: SparseRows, targets: FloatArray, ridge: float, is_used: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the weights w that minimise |X w - y|^2 + ridge |w|^2 over the rows that are used.

    w = X^T a,   (X X^T + ridge I) a = y

    The dual system has one unknown for each row, whatever the number of columns; it is positive definite, so the iteration ends.

    Args:
        targets: [rows] y, 0 where not used. is_used: [rows].

    Returns: [columns], exact up to a residual of 1e-8 of |y|.
    """
    mask = is_used.astype(np.float64)
    dual = np.zeros(matrix.shape[0])
    left = targets * mask
    direction = left.copy()
    square = float(left @ left)
    goal = TOLERANCE**2 * square
    for _ in range(4 * matrix.shape[0] + 10):  # in exact arithmetic as many as rows are enough
        if square <= goal:
            break
        image = mask * matrix.times(matrix.transposed_times(direction)) + ridge * direction
        step = square / float(direction @ image)
        dual += step * direction
        left -= step * image
        square, before = float(left @ left), square
        direction = left + square / before * direction
    return matrix.transposed_times(dual)
