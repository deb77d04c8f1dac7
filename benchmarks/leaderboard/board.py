"""Put the runs of suites in order: by task, contender and seed, with a common scale, and with variants of tasks told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arena.ledger import Key, Row, differences, key_of, read_rows, result_of
from benchmarks.arena.table_command import values_of
from benchmarks.leaderboard.comparisons import listed, paired_difference
from benchmarks.leaderboard.run_statistics import CONFIDENCE, FloatArray, Runs

SHARES = ("share_of_optimum", "share_of_penalised_optimum")  # measurements whose ends are known: 0 = the reference, 1 = the optimum
OPTIMUM = "the optimum, by sums over all responses"


@dataclass(frozen=True)
class Scale:
    """Hold what counts as 0 and as 1 on a task: the reference policy's mean, and the ceiling.

    Args:
        end: what the ceiling is, in words.
        problem: why there is no such scale; "" where there is one.
    """

    low: float
    high: float
    end: str
    problem: str = ""

    def share(self, values: FloatArray | float) -> Any:
        """Return how far values are on the way from 0 to 1."""
        return (values - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Board:
    """Hold the runs that a report is about.

    Args:
        rows: of runs; failures are kept apart.
        tasks, contenders: in the suite's order.
        reference: contender that is 0 of each task's scale.
        ceilings: task: score that is 1 of its scale. Where it is not given, the optimum is, or else the best contender's mean.
    """

    rows: tuple[Row, ...]
    tasks: tuple[str, ...]
    contenders: tuple[str, ...]
    reference: str
    ceilings: Mapping[str, float] = field(default_factory=dict)

    @property
    def failures(self) -> list[Row]:
        """Return the rows of runs that failed."""
        return [row for row in self.rows if row["is_failed"]]

    @cached_property
    def cells(self) -> Mapping[tuple[str, str], list[Row]]:
        """Return the runs that did not fail by task and contender, seed by seed."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: int(row["seed"])):
            if not row["is_failed"]:
                found[row["task"], row["contender"]].append(row)
        return dict(found)

    def on(self, task: str) -> list[str]:
        """Return the contenders that have runs on a task."""
        return [name for name in self.contenders if (task, name) in self.cells]

    def headline(self, task: str) -> str:
        """Return what counts on a task."""
        return str(next(row["headline"] for row in self.rows if row["task"] == task))

    def by_seed(self, task: str, contender: str, name: str | None = None) -> dict[int, float]:
        """Return a measurement of each run that has it, the task's own where none is named."""
        wanted = name or self.headline(task)
        found = {int(row["seed"]): values_of([row], wanted) for row in self.cells.get((task, contender), ())}
        return {seed: values[0] for seed, values in found.items() if values}

    def values(self, task: str, contender: str, name: str | None = None) -> FloatArray:
        """Return the same without seeds."""
        return np.array(list(self.by_seed(task, contender, name).values()), dtype=np.float64)

    def held_elsewhere(self, task: str) -> list[str]:
        """Return the contenders that KL holds to a supervised start, where others are held to the model before it."""
        held = [name for name in self.on(task) if self.cells[task, name][0]["settings"]["task"].get("start")]
        return held if len(held) < len(self.on(task)) else []

    def is_trained(self, contender: str) -> bool:
        """Say whether a contender learns."""
        return any(row["settings"]["contender"]["is_trained"] for row in self.rows if row["contender"] == contender)

    def scale(self, task: str) -> Scale:
        """Return the scale of what counts on a task."""
        return self._scales[task]

    def score_scale(self, task: str) -> Scale:
        """Return the scale of the score that is learned from, in which learning curves are: it may be another than what counts."""
        return self._score_scales[task]

    @cached_property
    def _scales(self) -> dict[str, Scale]:
        known = {task: Scale(0.0, 1.0, OPTIMUM) for task in self.tasks if self.headline(task) in SHARES}
        return {task: known.get(task) or self._scale(task, self.headline(task), self.ceilings.get(task)) for task in self.tasks}

    @cached_property
    def _score_scales(self) -> dict[str, Scale]:
        """Return a given ceiling only where what counts is the score, or a metric that says the same."""
        same = [task for task in self.tasks if all(self.by_seed(task, name) == self.by_seed(task, name, "score") for name in self.on(task))]
        return {task: self._scale(task, "score", self.ceilings.get(task) if task in same else None) for task in self.tasks}

    @cached_property
    def variants(self) -> Mapping[str, str]:
        """Return the tasks that are others under changed feedback, and which others.

        Such a task is named after the other, as in reviews and reviews-noisy, and differs from it in what is learned from.
        """
        made = {task: next(row["settings"]["task"] for row in self.rows if row["task"] == task) for task in self.tasks}
        found = {}
        for task in self.tasks:
            clean = [base for base in self.tasks if task.startswith((f"{base}-", f"{base}.", f"{base}_"))]
            same = [base for base in clean if all(made[base][part] == made[task][part] for part in ("env", "env_options", "model"))]
            changed = [base for base in same if made[base]["feedback"] != made[task]["feedback"]]
            if changed:
                found[task] = max(changed, key=len)
        return found

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Return the tasks that aggregates are over: those with a scale, variants left out, which would count a task twice."""
        return tuple(task for task in self.tasks if task not in self.variants and not self.scale(task).problem)

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """Return the contenders that have runs on all of these tasks; of others, an aggregate would be over other tasks."""
        if not self.counted:
            return ()
        return tuple(name for name in self.contenders if all((task, name) in self.cells for task in self.counted))

    def shares(self, contender: str) -> Runs:
        """Return a contender's runs on the scales of the tasks that are counted."""
        return [np.asarray(self.scale(task).share(self.values(task, contender))) for task in self.counted]

    def _scale(self, task: str, name: str, ceiling: float | None) -> Scale:
        seen = {contender: self.values(task, contender, name) for contender in self.on(task)}
        if not len(seen.get(self.reference, ())):
            return Scale(np.nan, np.nan, "", f"{self.reference} has no run on it that says where 0 is")
        low = float(seen[self.reference].mean())
        best = max((contender for contender in seen if len(seen[contender])), key=lambda contender: float(seen[contender].mean()))
        high = float(seen[best].mean()) if ceiling is None else ceiling
        if high <= low:
            return Scale(
                low, high, "", f"nobody is above {self.reference}" if ceiling is None else "the ceiling is not above the reference"
            )
        if ceiling is None:
            gain = self._gain(task, best, name, len(seen) - 1)
            if gain is not None and gain <= 0:
                return Scale(low, high, "", f"nobody is above {self.reference} for sure: a scale would be made of noise")
        return Scale(low, high, f"the best mean among contenders, of {best}" if ceiling is None else "a ceiling that was given")

    def _gain(self, task: str, best: str, name: str, count: int) -> float | None:
        """Return the low end of how far the best is above the reference, one of `count` that could have been the best."""
        confidence = 1 - (1 - CONFIDENCE) / count
        difference = paired_difference(self.by_seed(task, best, name), self.by_seed(task, self.reference, name), confidence)
        return None if difference is None else difference.low


def read_board(folders: Sequence[Path], reference: str | None = None, ceilings: Mapping[str, float] | None = None) -> Board:
    """Read the runs of one or several folders.

    Args:
        reference: contender that is 0; None = the first that is not trained and writes one response to each prompt.

    Raises ValueError where there are none, or only failures, where one run is there with two results or one task with two settings, and
    where the reference or a ceiling's task is unknown.
    """
    rows: dict[Key, Row] = {}
    for folder in folders:
        for row in read_rows(folder):
            known = rows.setdefault(key_of(row), row)
            if result_of(known) != result_of(row):
                raise ValueError(f"{'/'.join(map(str, key_of(row)))} is in two of the folders with two results: leave one of them out")
    return board_of(list(rows.values()), reference, ceilings or {})


def board_of(rows: Sequence[Row], reference: str | None, ceilings: Mapping[str, float]) -> Board:
    """Return rows in order; the arguments and errors are those of `read_board`."""
    if all(row["is_failed"] for row in rows):
        raise ValueError(f"all {len(rows)} runs failed, the first with {rows[0]['error']}")
    _check_settings(rows)
    tasks = dict.fromkeys(row["task"] for row in sorted(rows, key=lambda row: int(row["place"][0])))
    contenders = dict.fromkeys(row["contender"] for row in sorted(rows, key=lambda row: int(row["place"][1])))
    plain = [
        row["contender"] for row in rows if not row["settings"]["contender"]["is_trained"] and row["settings"]["contender"]["best_of"] == 1
    ]
    zero = reference or next((name for name in contenders if name in plain), None)
    if zero is None or zero not in contenders:
        why = f"there is no contender {zero!r}" if zero else "no contender is untrained, so that nothing says what 0 is"
        raise ValueError(f"{why}: give --reference and one of {', '.join(contenders)}")
    unknown = sorted(set(ceilings) - set(tasks))
    if unknown:
        raise ValueError(f"a ceiling is given for {listed(unknown)}, but the tasks are {', '.join(tasks)}")
    return Board(tuple(rows), tuple(tasks), tuple(contenders), zero, dict(ceilings))


def _check_settings(rows: Sequence[Row]) -> None:
    """Refuse tasks and contenders that are not the same in all their rows: their runs cannot be compared."""
    seen: dict[tuple[str, ...], Any] = {}
    for row in rows:
        settings = row["settings"]
        task = {"task": {name: value for name, value in settings["task"].items() if name != "start"}, "budget": settings["budget"]}
        contender = {"contender": settings["contender"], "config": settings["config"]}
        for place, made in (((row["task"],), task), ((row["task"], row["contender"]), contender)):
            found = differences(seen.setdefault(place, made), made)
            if found:
                raise ValueError(f"the runs of {' of '.join(place[::-1])} were made under different settings: {'; '.join(found[:5])}")
