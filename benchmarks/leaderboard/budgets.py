"""Say how scores grow with what is spent, and what it takes to reach one.

Between two evaluations a run counts as what it was at the first of them: nothing is read into the future. Scores are those that are learned
from, of held-out prompts, from 0 (the reference) to 1 (see `Scale`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.arena.ledger import Row
from benchmarks.leaderboard.board import Board, Scale
from benchmarks.leaderboard.run_statistics import EstimatedCurve, FloatArray, Runs, iqm_curve

LEVELS = (0.5, 0.9)  # of the way from the reference to the ceiling
BUDGETS = np.linspace(0, 1, 21)  # as shares of what a task's runs spend


@dataclass(frozen=True)
class Reached:
    """Hold what runs spent until they were measured at a score or above it for the first time.

    Args:
        runs: that there are. reached: that got there; the others are censored: they count as later than any.
        tokens, queries, seconds: medians over all runs; None where fewer than half got there.
        earliest, latest: least and most tokens of those that got there; None where none did.
    """

    runs: int
    reached: int
    tokens: float | None
    queries: float | None
    seconds: float | None
    earliest: int | None
    latest: int | None


def reached(rows: Sequence[Row], scale: Scale, level: float) -> Reached:
    """Return what it took runs of a contender on a task to come a share `level` of the way."""
    firsts = [next((point for point in row["curve"] if scale.share(point["score"]) >= level), None) for row in rows]
    there = [point["tokens"] for point in firsts if point is not None]

    def median(name: str) -> float | None:
        middle = float(np.median([np.inf if point is None else point[name] for point in firsts]))
        return middle if np.isfinite(middle) else None

    earliest, latest = (min(there), max(there)) if there else (None, None)
    return Reached(len(rows), len(there), median("tokens"), median("queries"), median("seconds"), earliest, latest)


def curves_by_budget(board: Board, contender: str) -> tuple[list[str], Runs]:
    """Return the tasks that have a scale of scores, and of each [runs, budgets], what runs scored at each of BUDGETS.

    A budget is a share of the most tokens that a run of the task spent in training.
    """
    tasks = [task for task in board.counted if not board.score_scale(task).problem]
    found = []
    for task in tasks:
        most = max(row["spent"]["tokens"] for name in board.on(task) for row in board.cells[task, name])
        runs = [scores_at(row["curve"], BUDGETS * most) for row in board.cells[task, contender]]
        found.append(np.asarray(board.score_scale(task).share(np.array(runs))))
    return tasks, found


def efficiency(board: Board, contender: str) -> EstimatedCurve | None:
    """Return the interquartile mean over tasks and seeds at each of BUDGETS; None where no task has a scale of scores."""
    _, runs = curves_by_budget(board, contender)
    return iqm_curve(runs, np.random.default_rng(0)) if runs else None


def scores_at(curve: Sequence[dict[str, Any]], tokens: FloatArray) -> FloatArray:
    """Return what the last evaluation at or before each number of tokens scored.

    >>> scores_at([{"tokens": 0, "score": 0.1}, {"tokens": 50, "score": 0.4}], np.array([0.0, 49.0, 50.0, 99.0]))
    array([0.1, 0.1, 0.4, 0.4])
    """
    at, scores = np.array([point["tokens"] for point in curve]), np.array([point["score"] for point in curve], dtype=np.float64)
    return scores[np.searchsorted(at, tokens, side="right") - 1]
