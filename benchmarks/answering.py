"""Let many simulated people answer at once while the server is killed again and again: `python -m benchmarks.answering`.

Counted: answers that the page acknowledged and that are not in the log afterwards, or are there twice; messages that the database was
locked; and how long people waited for "saved". A person whose connection breaks sends the same answer again, with the same key, until it is
acknowledged, as the page's own script does; the wait is counted from the first try.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, write_json
from feedback.page.client import Client
from feedback.page.process import PageProcess
from feedback.study.access import Access
from feedback.study.records import Answer, Kind, Passage, Question
from feedback.study.store import Store


@dataclass(frozen=True)
class AnsweringOptions:
    """Answer a study over HTTP by many people at once; print a table; write JSON; exit with 1 if anything was lost."""

    answers: int = 20_000  # in all
    raters: int = 32  # people at once
    kills: int = 10  # times that the server is killed in between
    pause: float = 0.35  # seconds between two answers of a person; the page takes three a second
    seed: int = 0  # decides what is answered
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        if self.answers < self.raters or self.raters < 1 or self.kills < 0 or self.pause < 0:
            raise ValueError(f"at least one answer for each rater, and no negative numbers, please; got {self}")


class Visitor:
    """Answer what the page shows, as one person.

    Args:
        invitation: the link. seed: decides the answers.
    """

    def __init__(self, invitation: str, seed: Sequence[int]) -> None:
        self.client = Client(invitation)
        self.generator = np.random.default_rng(seed)
        self.acknowledged: list[str] = []
        self.waits: list[float] = []  # seconds until "saved"

    def answer_one(self) -> bool:
        """Answer the next question; return whether there was one."""
        seen = self.client.look()
        if seen is None:
            return False
        began = time.monotonic()
        self.acknowledged.append(self.client.send(seen, {"choice": str(self.generator.integers(1, 6))}))
        self.waits.append(time.monotonic() - began)
        return True


@dataclass
class Crowd:
    """Hold the people who answer, and the threads that they are in."""

    visitors: list[Visitor]
    pause: float
    failures: list[str] = field(default_factory=list)

    @property
    def num_acknowledged(self) -> int:
        """Return how many answers were acknowledged so far."""
        return sum(len(visitor.acknowledged) for visitor in self.visitors)

    def start(self) -> list[threading.Thread]:
        """Let all of them begin."""
        threads = [threading.Thread(target=self._work, args=(visitor,), daemon=True) for visitor in self.visitors]
        for thread in threads:
            thread.start()
        return threads

    def _work(self, visitor: Visitor) -> None:
        try:
            next_at = time.monotonic() + visitor.generator.random() * self.pause
            while True:
                time.sleep(max(0.0, next_at - time.monotonic()))
                next_at = max(next_at + self.pause, time.monotonic())
                if not visitor.answer_one():
                    return
        except Exception as error:  # is reported, and makes the command fail
            self.failures.append(f"{type(error).__name__}: {error}")


def run(options: AnsweringOptions, folder: Path) -> dict[str, Measurement]:
    """Answer a study in a folder and return the figures."""
    study = folder / "study.db"
    with Store(study) as store:
        passages = [Passage("The film was", f" number {number}") for number in range(options.answers)]
        store.submit([Question(Kind.RATE, (passage.id,)) for passage in passages], passages)
        tokens = [Access(store).invite(f"rater {number}") for number in range(options.raters)]
    server = PageProcess(study).start()
    try:
        began = time.monotonic()
        crowd = Crowd(
            [Visitor(f"{server.address}/invitation/{token}", (options.seed, number)) for number, token in enumerate(tokens)], options.pause
        )
        threads = crowd.start()
        for number in range(1, options.kills + 1):
            while crowd.num_acknowledged < options.answers * number // (options.kills + 1) and any(each.is_alive() for each in threads):
                time.sleep(0.02)
            server.restart()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
    finally:
        server.stop()
    return _figures(study, crowd, server, seconds)


def _figures(study: Path, crowd: Crowd, server: PageProcess, seconds: float) -> dict[str, Measurement]:
    acknowledged = Counter(name for visitor in crowd.visitors for name in visitor.acknowledged)
    with Store(study) as store:
        logged = Counter(entry.record.id for entry in store.entries() if isinstance(entry.record, Answer))
        asked = Counter(entry.record.question for entry in store.entries() if isinstance(entry.record, Answer))
    waits = np.array([wait for visitor in crowd.visitors for wait in visitor.waits]) * 1000
    counted = {
        "answers_acknowledged": len(acknowledged),
        "answers_lost": len(set(acknowledged) - set(logged)),
        "answers_logged_twice": sum(count > 1 for count in logged.values()) + sum(count > 1 for count in asked.values()),
        "people_who_failed": len(crowd.failures),
        "database_locked": sum("database is locked" in line for line in server.errors),
        "server_kills": server.num_kills,
    }
    figures = {name: Measurement(count, "count", count, count, 1) for name, count in counted.items()}
    for name, share in (("answer_p50", 50), ("answer_p95", 95), ("answer_p99", 99)):
        value = float(np.percentile(waits, share))
        figures[name] = Measurement(value, "ms", value, value, len(waits))
    rate = len(waits) / seconds
    return figures | {"answers_per_second": Measurement(rate, "answers/s", rate, rate, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(AnsweringOptions, args=arguments, prog="python -m benchmarks.answering")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(options, Path(folder))
    table = Table(title=f"{options.answers} answers of {options.raters} people at once", caption=describe_machine())
    for column in ("figure", "value", "unit"):
        table.add_column(column)
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.4g}", figure.unit)
    console.print(table)
    if options.json is not None:
        write_json(figures, options.json)
    wrong = [name for name in ("answers_lost", "answers_logged_twice", "people_who_failed", "database_locked") if figures[name].value]
    if wrong:
        console.print(f"something was wrong: {', '.join(wrong)}", style="bold red")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
