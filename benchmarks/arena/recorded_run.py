"""Do one piece of work in a process of its own, and return the row that says what became of it, failures too."""

from __future__ import annotations

import platform
import subprocess
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.arena.ledger import Key, Row, as_json
from benchmarks.arena.suite import Run

LIBRARIES = ("torch", "transformers", "gymnasium", "numpy", "tokenizers")
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Work:
    """Hold what a worker is to do.

    Args:
        run: the run, or, where `is_start`, one that needs the supervised start which is to be made.
        folder: of all results.
        key, settings: of the row. needs: key of the work that must be done first, if any.
    """

    run: Run
    folder: Path
    key: Key
    settings: Mapping[str, Any]
    needs: Key | None = None
    is_start: bool = False


def record(work: Work) -> Row:
    """Do the work, and return its row."""
    from benchmarks.arena.single_run import play
    from benchmarks.arena.supervised_start import make_start
    from benchmarks.machine import describe_machine
    from benchmarks.peak_memory import MARK, can_measure, status_bytes

    began = time.monotonic()
    if can_measure():
        MARK.write_text("5")  # what the process held at most is counted from now on
    try:
        row = blank_row(work) | as_json((make_start if work.is_start else play)(work.run, work.folder))
    except Exception as error:  # a failure is a result, and the other runs go on
        row = failed_row(work, error)
    row["machine"] = describe_machine()
    row["seconds"] = time.monotonic() - began
    row["peak_megabytes"] = status_bytes("VmHWM") / 1e6 if can_measure() else None
    return row


def failed_row(work: Work, error: BaseException) -> Row:
    """Return the row of a failure."""
    reason = f"{type(error).__name__}: {str(error) or 'no message'}"
    return blank_row(work) | {"is_failed": True, "error": reason, "traceback": "".join(traceback.format_exception(error))}


def blank_row(work: Work) -> Row:
    """Return what a row says before anything is done."""
    task, contender, seed = work.key
    return {
        "kind": "start" if work.is_start else "run",
        "suite": work.run.suite,
        "task": task,
        "contender": contender,
        "seed": seed,
        "place": list(work.run.place),
        "settings": work.settings,
        "headline": work.run.task.headline,
        "is_failed": False,
        "error": None,
        "traceback": None,
        "device": work.run.device,
        "machine": None,
        "seconds": 0.0,
        "peak_megabytes": None,
    }


def provenance() -> Row:
    """Return what a row says of the code that made it: versions, and the commit of the working tree, with -dirty where it has changes."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    return {"versions": versions, "commit": commit_of(REPOSITORY)}


def commit_of(folder: Path) -> str:
    """Return the commit that a folder's files are from; "unknown" outside of git."""
    if not (folder / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def now() -> str:
    """Return the time, as rows hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
