"""Show what a suite's runs gave as tables in Markdown: `python -m benchmarks table FOLDER`.

Intervals are Student's t over seeds (`benchmarks.intervals`). A cell is bold only where its interval lies above those of all others of its
row: nothing is ranked that the seeds do not tell apart. What evaluations cost is counted apart from training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.arena.ledger import Row, read_rows
from benchmarks.intervals import Interval, mean_interval

Cells = Mapping[tuple[str, str], list[Row]]


@dataclass(frozen=True)
class TableOptions:
    """Print tables in Markdown: task by contender with 95 % intervals over seeds, and what it cost."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]  # of the results
    metric: str | None = None  # a measurement of every task, such as kl_nats_per_response; None = each task's own


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = tyro.cli(TableOptions, prog="python -m benchmarks table", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))
    rows = read_rows(options.folder)
    print(markdown_table(rows, options.metric), cost_table(rows), sep="\n")
    return 0


def markdown_table(rows: Sequence[Row], metric: str | None = None) -> str:
    """Return the table task by contender of a metric, each task's own where none is given.

    Raises ValueError where no run of a task has it.
    """
    cells, tasks, contenders = _sorted(rows)
    seeds = sorted({len(found) for found in cells.values()})
    lines = _head(["task (metric)", *contenders])
    for task in tasks:
        name = metric or next(row["headline"] for row in rows if row["task"] == task)
        values = {contender: values_of(cells.get((task, contender), []), name) for contender in contenders}
        if not any(values.values()):
            raise ValueError(f"no run of {task} has the measurement {name!r}; they have {', '.join(_measurements(rows, task))}")
        best = clearly_best(values)
        shown = [_cell(found, contender == best) for contender, found in values.items()]
        lines.append(_line([f"{task} ({name.replace('_', ' ')})", *shown]))
    failed = sum(row["is_failed"] for row in rows)
    over = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    note = f"Mean over {over} on held-out prompts, 95 % interval in brackets; bold where it lies above those of all others of its row."
    return "\n".join([*lines, "", note, *([f"{failed} runs failed and are left out."] if failed else []), ""])


def cost_table(rows: Sequence[Row]) -> str:
    """Return what a run cost on average, contender by contender over the tasks, in training and in evaluation."""
    cells, tasks, contenders = _sorted(rows)
    parts = ("tokens", "queries", "forwards", "seconds")
    lines = _head(["task", "contender", *parts, *(f"{part} of evaluation" for part in parts), "MB at most"])
    for task in tasks:
        for contender in contenders:
            found = cells.get((task, contender), [])
            if found:
                costs = [_mean(found, partial(_spent, where=where, part=part)) for where in _SPENT for part in parts]
                peaks = [row["peak_megabytes"] for row in found if row["peak_megabytes"] is not None]
                lines.append(_line([task, contender, *(f"{cost:,.0f}" for cost in costs), f"{max(peaks):,.0f}" if peaks else ""]))
    return "\n".join([*lines, "", "Mean of a run; the supervised start is not in it, which all that start from it share.", ""])


_SPENT = ("spent", "evaluation_spent")


def values_of(rows: Sequence[Row], name: str) -> list[float]:
    """Return a measurement of every run that has it: one of `evaluate`, or the mean of one of the task's metrics."""
    found = [row["extra"][name]["mean"] if name in row["extra"] else row["final"].get(name) for row in rows]
    return [value for value in found if value is not None]


def clearly_best(values: Mapping[str, Sequence[float]]) -> str | None:
    """Return the contender whose interval lies above those of all others, if there is one; a single seed has no interval."""
    intervals = {name: mean_interval(found) for name, found in values.items() if len(found) > 1}
    if len(intervals) < 2 or len(intervals) < sum(map(bool, values.values())):
        return None
    best = max(intervals, key=lambda name: intervals[name].low)
    others = [interval.high for name, interval in intervals.items() if name != best]
    return best if intervals[best].low > max(others) else None


def _sorted(rows: Sequence[Row]) -> tuple[Cells, list[str], list[str]]:
    """Return the rows that did not fail by task and contender, and the names of both in the suite's order."""
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if not row["is_failed"]:
            cells[row["task"], row["contender"]].append(row)
    if not cells:
        raise ValueError(f"all {len(rows)} runs failed, the first with {rows[0]['error']}")
    tasks = dict.fromkeys(row["task"] for row in sorted(rows, key=lambda row: int(row["place"][0])))
    return cells, list(tasks), list(dict.fromkeys(row["contender"] for row in sorted(rows, key=lambda row: int(row["place"][1]))))


def _measurements(rows: Sequence[Row], task: str) -> list[str]:
    return sorted({name for row in rows if row["task"] == task and not row["is_failed"] for name in (*row["final"], *row["extra"])})


def _cell(values: Sequence[float], is_best: bool) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else ""
    interval: Interval = mean_interval(values)
    mean = f"**{interval.mean:.3f}**" if is_best else f"{interval.mean:.3f}"
    return f"{mean} ({interval.low:.3f} to {interval.high:.3f})"


def _spent(row: Row, where: str, part: str) -> float:
    return float(row[where][part])


def _mean(rows: Sequence[Row], cost: Callable[[Row], float]) -> float:
    return sum(map(cost, rows)) / len(rows)


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
