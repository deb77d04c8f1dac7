"""Read how far a training has come from the metrics.jsonl of its folder, which may be missing, half written, replaced or growing.

A page that is made again reads again: at most the last bytes, and only where the file has changed since.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FILE = "metrics.jsonl"
SIGNS = (FILE, "command.json")  # by which the folder of a run is known; a training writes the second as it begins
MOST_READ = 4_000_000  # bytes, the last ones: some 6,000 updates
LARGEST = 1e12  # of numbers that are drawn
MOST_NAMED = 3  # runs that an error offers


@dataclass(frozen=True)
class Measured:
    """Hold a mean score.

    Args:
        updates: done before it was measured.
        error: one standard error; 0 where it is not known.
    """

    updates: float
    score: float
    error: float = 0.0


@dataclass(frozen=True)
class RunMetrics:
    """Hold what is known of a training.

    Args:
        num_updates: the last one; 0 before the first.
        training, held_out: scores of the responses that each update learned from, and of the evaluations, by updates done.
        num_unscored: updates whose line has no finite score.
        kl, held_out_kl: nats a response, the last ones; None where there are none.
        written: when the file was written to last, in seconds since 1970; None where there is no file.
        is_cut: the file is long, and its beginning was not read.
        num_unreadable: whole lines that are no measurements.
        problem: why nothing could be read.
    """

    num_updates: int = 0
    training: tuple[Measured, ...] = ()
    held_out: tuple[Measured, ...] = ()
    num_unscored: int = 0
    kl: float | None = None
    held_out_kl: float | None = None
    written: float | None = None
    is_cut: bool = False
    num_unreadable: int = 0
    problem: str = ""


class RunFolder:
    """Read the measurements of one run, as often as is asked.

    Args:
        folder: of the run; it exists, and is empty as long as nothing has been written.

    Errors: ValueError for a folder that is no run's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._seen: tuple[int, ...] | None = None
        self._metrics = RunMetrics()
        _check(self.folder)

    def metrics(self) -> RunMetrics:
        """Return what the file says now."""
        try:
            found = (self.folder / FILE).stat()
            if not stat.S_ISREG(found.st_mode):
                return RunMetrics(problem=f"{FILE} is no file")
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._seen:
                lines, is_cut = _last_lines(self.folder / FILE)
                self._metrics = replace(_summary(lines), written=found.st_mtime, is_cut=is_cut)
                self._seen = seen
        except FileNotFoundError:
            return RunMetrics()
        except OSError as error:
            return RunMetrics(problem=f"{FILE} cannot be read: {error.strerror}")
        return self._metrics


def _check(folder: Path) -> None:
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "is not there"
        raise ValueError(
            f"{folder} {what}: --run takes the folder of a training, which `python -m agents train --folder {folder} ...` makes once "
            "its model is loaded; wait for that, or make the folder yourself, empty"
        )
    if any((folder / name).exists() for name in SIGNS) or not any(folder.iterdir()):
        return
    runs = sorted(str(path.parent) for path in folder.glob(f"*/{FILE}"))
    way_out = f"name one run of it, such as {', '.join(runs[:MOST_NAMED])}" if runs else "give the folder that the training names"
    raise ValueError(f"{folder} is no run's folder, since it holds other files and no {FILE}: {way_out}")


def _last_lines(path: Path) -> tuple[list[bytes], bool]:
    """Return the whole lines among the last bytes of a file, and whether there are earlier ones."""
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - MOST_READ)
        file.seek(max(0, start - 1))  # with the byte before, which says whether a line begins there
        *lines, _ = file.read(MOST_READ + (start > 0)).split(b"\n")  # behind the last line's end is nothing, or half a line
    return lines[1:] if start else lines, start > 0


def _summary(lines: Iterable[bytes]) -> RunMetrics:
    """Put together what lines say; of two about one update the later one counts, as a run that was resumed writes it again."""
    by_update = dict[float, Mapping[str, Any]]()
    num_unreadable = 0
    for line in lines:
        said = _measurements(line)
        update = None if said is None else _number(said, "update")
        if said is None or update is None or update < 0:
            num_unreadable += 1
        else:
            by_update[update] = said
    training, held_out = list[Measured](), list[Measured]()
    for update, said in sorted(by_update.items()):
        score, judged = _number(said, "score"), _number(said, "held_out/score")
        if score is not None and update > 0:
            training.append(Measured(update - 1, score))
        if judged is not None:
            held_out.append(Measured(update, judged, abs(_number(said, "held_out/score_standard_error") or 0.0)))
    latest = [by_update[update] for update in sorted(by_update, reverse=True)]
    return RunMetrics(
        num_updates=int(max(by_update, default=0)),
        training=tuple(training),
        held_out=tuple(held_out),
        num_unscored=sum(update > 0 for update in by_update) - len(training),
        kl=_last(latest, "kl_nats_per_response"),
        held_out_kl=_last(latest, "held_out/kl_nats_per_response"),
        num_unreadable=num_unreadable,
    )


def _measurements(line: bytes) -> Mapping[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _number(said: Mapping[str, Any], name: str) -> float | None:
    """Return a number that can be drawn."""
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST else None  # never so for NaN


def _last(latest: Iterable[Mapping[str, Any]], name: str) -> float | None:
    return next((value for said in latest if (value := _number(said, name)) is not None), None)
