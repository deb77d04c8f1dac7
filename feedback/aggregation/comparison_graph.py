"""Solve with the graph that comparisons make of items: which items hang together, Newton's steps, and variances block by block.

Hestenes & Stiefel 1952 (conjugate gradients). The matrix of second derivatives is that of a graph, L + ridge I: it is never written down
but for one connected component at a time, so that thousands of prompts with a few responses each cost little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ItemGraph:
    """Hold which items N comparisons join, of how many: the numbers `first` and `second`, [N] each."""

    first: IntArray
    second: IntArray
    num_items: int

    def times(self, curvature: FloatArray, vector: FloatArray) -> FloatArray:
        """Return L x, where x' L x = sum of curvature * (x[first] - x[second])^2.

        Args:
            curvature: [N]. vector: [I].

        Returns: [I].
        """
        return self.net(curvature * (vector[self.first] - vector[self.second]))

    def net(self, flow: FloatArray) -> FloatArray:
        """Return for each item what flows in where it is first, less what flows in where it is second: [N] -> [I]."""
        return np.asarray(np.bincount(self.first, flow, self.num_items) - np.bincount(self.second, flow, self.num_items), np.float64)

    def total(self, amount: FloatArray) -> FloatArray:
        """Return for each item the sum over the comparisons that it is in: [N] -> [I]."""
        return np.asarray(np.bincount(self.first, amount, self.num_items) + np.bincount(self.second, amount, self.num_items), np.float64)

    def components(self) -> IntArray:
        """Return for each item the lowest number of an item that a chain of comparisons leads to: [I]."""
        lowest = np.arange(self.num_items)
        while True:
            before = lowest.copy()
            joined = np.minimum(lowest[self.first], lowest[self.second])
            for end in (before[self.first], before[self.second]):
                np.minimum.at(lowest, end, joined)
            while not np.array_equal(shorter := lowest[lowest], lowest):
                lowest = shorter
            if np.array_equal(before, lowest):
                return lowest


def conjugate_gradients(
    times: Callable[[FloatArray], FloatArray], diagonal: FloatArray, right: FloatArray, tolerance: float = 1e-8
) -> FloatArray:
    """Solve A x = b for a positive definite A, which is known by its products, preconditioned by its diagonal.

    Stops where |b - A x| <= tolerance |b|, or after twice as many steps as there are unknowns.
    """
    solution, rest = np.zeros_like(right), right.copy()
    scaled = rest / diagonal
    direction, power = scaled.copy(), rest @ scaled
    for _ in range(2 * len(right)):
        if np.linalg.norm(rest) <= tolerance * np.linalg.norm(right):
            break
        product = times(direction)
        size = power / (direction @ product)
        solution += size * direction
        rest -= size * product
        scaled = rest / diagonal
        power, before = rest @ scaled, power
        direction = scaled + (power / before) * direction
    return solution


def joint_variances(
    graph: ItemGraph, curvature: FloatArray, ridge: float, cross: FloatArray, corner: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the diagonal of the inverse of [[L + ridge I, cross], [cross', corner]]: of the items, and of the M other unknowns.

    Args:
        curvature: [N]. cross: [I, M]. corner: [M, M]; M may be 0.

    Returns: [I] and [M].

    Time grows with the cube of the largest component's size, memory with its square.
    """
    of_items, solved = _by_component(graph, curvature, ridge, cross)
    rest = np.linalg.inv(corner - cross.T @ solved)
    return of_items + np.einsum("im,mn,in->i", solved, rest, solved), np.diag(rest).copy()


def _by_component(graph: ItemGraph, curvature: FloatArray, ridge: float, cross: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the diagonal of the inverse of L + ridge I, [I], and that inverse times `cross`, [I, M]; components of a size together."""
    component = graph.components()
    order = np.argsort(component, kind="stable")
    _, start, size = np.unique(component[order], return_index=True, return_counts=True)
    place = np.empty(graph.num_items, dtype=np.int64)  # of an item within its component
    place[order] = np.arange(graph.num_items) - np.repeat(start, size)
    size_of = np.empty(graph.num_items, dtype=np.int64)
    size_of[order] = np.repeat(size, size)
    diagonal, solved = np.empty(graph.num_items), np.empty_like(cross)
    number = np.empty(graph.num_items, dtype=np.int64)  # of an item's component among those of its size
    for length in np.unique(size):
        members = order[start[size == length][:, None] + np.arange(length)]  # [G, length]
        number[members] = np.arange(len(members))[:, None]
        rows = size_of[graph.first] == length
        one, other = graph.first[rows], graph.second[rows]
        block = np.zeros((len(members), length, length))
        for left, right, sign in ((one, one, 1), (other, other, 1), (one, other, -1), (other, one, -1)):
            np.add.at(block, (number[left], place[left], place[right]), sign * curvature[rows])
        block += ridge * np.eye(length)
        inverse = np.linalg.inv(block)
        diagonal[members] = np.diagonal(inverse, axis1=1, axis2=2)
        solved[members] = inverse @ cross[members]
    return diagonal, solved
