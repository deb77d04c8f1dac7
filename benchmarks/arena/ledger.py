"""Keep the rows of finished runs in a file that survives being killed: one line of JSON each, on the disk before the next run begins.

A row holds: kind ("run", or "start" for a supervised start), suite, task, contender, seed, place (of task and contender in the suite),
settings (all that decides the outcome), headline (what tables show), is_failed, error and traceback (of a failure, else null), stopped_by,
spent, evaluation_spent, curve, final, extra, responses, device, machine, versions, commit, seconds (of all of it), peak_megabytes, finished
(time). A start has spent, but no measurements.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, int]  # task, contender, seed
RUNS = "runs.jsonl"
PASSING = ("seconds", "peak_megabytes", "finished", "machine", "commit", "versions", "traceback")  # of a row, but not of its result
SHOWN_DIFFERENCES = 5


class Ledger:
    """Hold the rows of a folder. Of several with one key, the last counts: it is a failure that was tried again.

    Args:
        folder: is made if it is not there.

    Raises ValueError for a line, other than the last, that cannot be read. A last line that a kill cut off is taken away.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / RUNS
        self.rows: dict[Key, Row] = {}
        _take_away_cut_line(self.path)
        for row in _whole_rows(self.path):
            self.rows[key_of(row)] = row

    def append(self, row: Row) -> None:
        """Write a row, and return when it is on the disk."""
        with self.path.open("ab") as file:
            file.write(json.dumps(row, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows[key_of(row)] = row

    def check(self, wanted: Mapping[Key, Mapping[str, Any]], suite: str) -> None:
        """Refuse to mix results: raise ValueError where a key is there under other settings, or the rows are those of another suite."""
        others = {row["suite"] for row in self.rows.values()} - {suite}
        if others:
            raise ValueError(f"{self.path} holds runs of the suite {', '.join(sorted(others))}, not of {suite}: take another folder")
        for key, settings in wanted.items():
            if key in self.rows and self.rows[key]["settings"] != settings:
                found = differences(self.rows[key]["settings"], settings)
                raise ValueError(
                    f"{'/'.join(map(str, key))} is in {self.path} with other settings: {'; '.join(found[:SHOWN_DIFFERENCES])}. "
                    "Take another folder, or put the suite back"
                )


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of a folder's runs, without those of starts, and change nothing: they may still be being made.

    Raises ValueError where there is none, and as `Ledger` does.
    """
    by_key = {key_of(row): row for row in _whole_rows(folder / RUNS)}
    rows = [row for row in by_key.values() if row["kind"] == "run"]
    if not rows:
        raise ValueError(f"there are no runs in {folder}: make some with python -m benchmarks run SUITE --folder {folder}")
    return rows


def key_of(row: Mapping[str, Any]) -> Key:
    """Return the key of a row."""
    return row["task"], row["contender"], row["seed"]


def result_of(row: Mapping[str, Any]) -> Row:
    """Return what a row says that is the same whenever and wherever the run is made: all but times, memory, machine and versions."""
    kept = {name: value for name, value in row.items() if name not in PASSING}
    for name in ("spent", "evaluation_spent"):
        if name in kept:
            kept[name] = {part: value for part, value in kept[name].items() if part != "seconds"}
    kept["curve"] = [{part: value for part, value in point.items() if part != "seconds"} for point in row.get("curve", ())]
    return kept


def as_json(value: Any) -> Any:
    """Return a value as it comes back from a file: lists for tuples, texts for numbers that JSON has no word for, such as infinity."""
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Say where two settings differ, leaf by leaf."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names: Iterable[str] = [*old, *(name for name in new if name not in old)]
        parts = (differences(old.get(name), new.get(name), f"{where}.{name}".lstrip(".")) for name in names)
        return [each for part in parts for each in part]
    return [] if old == new else [f"{where} was {old!r} and is {new!r}"]


def _take_away_cut_line(path: Path) -> None:
    """Take away a last line that a kill cut off; what it should have held will be run again."""
    if path.exists():
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with path.open("r+b") as file:
                file.truncate(end)


def _whole_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    content = path.read_bytes()
    rows = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is no JSON ({error}): take the line away, and its run is made again") from error
    return rows
