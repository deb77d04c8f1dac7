"""Run a suite, or what is left of it: `python -m benchmarks run SUITE --folder FOLDER`.

Every finished run is a row of FOLDER/runs.jsonl (see `ledger`). Whenever and however the command ends, the same command goes on, and runs
nothing twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from benchmarks.arena.ledger import Key, Ledger, Row, as_json
from benchmarks.arena.recorded_run import Work, now, provenance
from benchmarks.arena.scheduling import do_all
from benchmarks.arena.suite import Run, Suite
from benchmarks.arena.suite_files import check_names, read_suite
from benchmarks.arena.supervised_start import start_folder, start_key, start_settings

CHOOSERS = ("task", "contender", "seed")


@dataclass(frozen=True)
class RunOptions:
    """Run a suite: contenders by tasks by seeds, a row of results each. The status is 0 only if every run asked for is there."""

    suite: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SUITE")]]  # name, file.toml or module:SUITE
    folder: Path  # of the results; what is there is not run again
    jobs: int = 2  # processes at a time, one thread each; no effect on the results
    only: str = ""  # which runs, such as task=exact,contender=ppo,contender=rloo,seed=0; "" = all
    max_minutes: float | None = None  # after which no further run begins
    retry_failed: bool = False  # run again what failed

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes must be above 0, got {self.max_minutes}")


@dataclass
class Progress:
    """Say what has come, and about how long the rest takes.

    Args:
        left: how many works of each task and contender are to do.
        num_workers: processes at a time.
    """

    left: dict[tuple[str, str], int]
    num_workers: int
    total: int
    num_done: int = 0
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def line(self, work: Work, row: Row) -> str:
        """Note a row, and return the line that tells it."""
        kind = work.key[:2]
        self.left[kind] -= 1
        self.num_done += 1
        self.seconds[kind].append(row["seconds"])
        name = f"{self.num_done} of {self.total}: {work.key[0]}, {work.key[1]}, seed {work.key[2]}"
        return f"{name}: {_outcome(row)}, {row['seconds']:.1f} s; {self._rest()}"

    def _rest(self) -> str:
        """Estimate from what each kind of run has taken; a kind that has not come yet takes what the others took on average."""
        if not any(self.left.values()):
            return "that was all"
        means = {kind: sum(taken) / len(taken) for kind, taken in self.seconds.items()}
        usual = sum(means.values()) / len(means)
        seconds = sum(number * means.get(kind, usual) for kind, number in self.left.items()) / self.num_workers
        return f"about {seconds / 60:.1f} min left"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0 if every run that was asked for is there and none failed, else 1."""
    options = tyro.cli(RunOptions, prog="python -m benchmarks run", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))
    return run_suite(read_suite(options.suite), options, Console())


def run_suite(suite: Suite, options: RunOptions, console: Console, do: Callable[..., int] = do_all) -> int:
    """Run what is missing of a suite; return 0, or 1 where a run failed or is still missing.

    Args:
        do: how the work is done, see `do_all`.
    """
    check_names(suite)
    ledger = Ledger(options.folder)
    runs = chosen(suite.runs(), options.only)
    works = works_of(runs, options.folder)
    ledger.check({work.key: work.settings for work in works}, suite.name)
    todo = _to_do(works, ledger, options)
    _say(console, f"suite {suite.name}: {len(runs)} runs, {len(todo)} to do (supervised starts included). {suite.note}".rstrip())
    about = provenance()
    progress = Progress(_counts(todo), options.jobs, len(todo))

    def tell(work: Work, row: Row) -> None:
        ledger.append(row | about | {"finished": now()})
        _say(console, progress.line(work, row))

    began = time.monotonic()
    num_left = do(todo, options.jobs, tell, None if options.max_minutes is None else 60 * options.max_minutes) if todo else 0
    failed = [work for work in works if ledger.rows.get(work.key, {}).get("is_failed")]
    _say(console, f"{len(todo) - num_left} done in {(time.monotonic() - began) / 60:.1f} min: {ledger.path}")
    for work in failed:
        _say(console, f"failed: {'/'.join(map(str, work.key))}: {ledger.rows[work.key]['error']}")
    if failed:
        _say(console, f"{len(failed)} failed; their rows hold the whole story. --retry-failed runs them again")
    if num_left:
        _say(console, f"{num_left} are left: the same command goes on")
    return 1 if failed or num_left else 0


def chosen(runs: Sequence[Run], only: str) -> list[Run]:
    """Return the runs that `only` names. Errors: ValueError for a name that no run has."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for part in filter(None, only.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in CHOOSERS:
            raise ValueError(f"only must look like task=NAME,contender=NAME,seed=NUMBER, got {part!r}")
        known = {str(_keyed(run)[name]) for run in runs}
        if value not in known:
            raise ValueError(f"no run has the {name} {value!r}; there are {', '.join(sorted(known))}")
        wanted[name].add(value)
    found = [run for run in runs if all(str(_keyed(run)[name]) in values for name, values in wanted.items())]
    if not found:
        raise ValueError(f"no run is all of {only!r}: a contender need not take part in each task")
    return found


def works_of(runs: Sequence[Run], folder: Path) -> list[Work]:
    """Return the work that runs are made of: each supervised start once, before the first run that needs it."""
    works: dict[Key, Work] = {}
    for run in runs:
        needs = start_key(run) if run.needs_start else None
        if needs is not None and needs not in works:
            works[needs] = Work(run, folder, needs, as_json(start_settings(run)), is_start=True)
        works[run.key] = Work(run, folder, run.key, as_json(run.settings()), needs)
    return list(works.values())


def _to_do(works: Sequence[Work], ledger: Ledger, options: RunOptions) -> list[Work]:
    """Return the work that has no row yet, or failed and is tried again; a start only where it is needed and not on the disk."""
    open_works = [work for work in works if work.key not in ledger.rows or (options.retry_failed and ledger.rows[work.key]["is_failed"])]
    needed = {work.needs for work in open_works}
    is_there = {work.key: start_folder(work.folder, work.run.task, work.run.seed).exists() for work in works if work.is_start}
    starts = [work for work in works if work.is_start and work.key in needed and (work in open_works or not is_there[work.key])]
    return [work for work in works if work in starts or (work in open_works and not work.is_start)]


def _counts(works: Sequence[Work]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for work in works:
        counts[work.key[:2]] += 1
    return counts


def _keyed(run: Run) -> Mapping[str, Any]:
    return dict(zip(CHOOSERS, run.key, strict=True))


def _outcome(row: Row) -> str:
    if row["is_failed"]:
        return f"FAILED, {row['error']}"
    if row["kind"] == "start":
        return f"{row['spent']['tokens']:,} tokens imitated"
    shown = {"score": row["final"]["score"]} | {name: found["mean"] for name, found in row["extra"].items()}
    if "kl_nats_per_response" in row["final"]:
        shown["KL"] = round(row["final"]["kl_nats_per_response"], 3) + 0.0  # no -0.000
    return f"{', '.join(f'{name} {value:.3f}' for name, value in shown.items())}, {row['spent']['tokens']:,} tokens"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
