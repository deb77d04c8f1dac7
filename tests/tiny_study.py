"""Make small studies: passages, questions, people who answer, and a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import select

from feedback.study.queueing import Mixing, Queue, Reply, Showing
from feedback.study.records import Answer, Interface, Kind, Outcome, Passage, Person, Purpose, Question
from feedback.study.store import Store
from feedback.study.tables import DERIVED

START = 1_700_000_000.0
WEB = Interface.WEB
UNTESTED = Mixing(gold_every=0, repeat_every=0)


class Clock:
    """Tell the time that a test has set."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@lru_cache(maxsize=1)
def _empty_study() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        Store(path).close()
        return path.read_bytes()


def new_store(path: Path, clock: Clock | None = None) -> Store:
    """Return an empty study; it is copied, which is ten times as fast as making it."""
    path.write_bytes(_empty_study())
    return Store(path, clock or Clock())


def written(text: str, prompt: str = "The film was") -> Passage:
    return Passage(prompt, text)


def asked(kind: Kind, number: int = 0, size: int | None = None, **options: Any) -> tuple[Question, list[Passage]]:
    """Return a question about passages of its own."""
    size = size or {Kind.COMPARE: 2, Kind.RANK: 3}.get(kind, 1)
    passages = [written(f" {kind} {number} {letter}") for letter in "abcdef"[:size]]
    return Question(kind, tuple(passage.id for passage in passages), **options), passages


def submit(store: Store, num: int, kind: Kind = Kind.COMPARE, start: int = 0, **options: Any) -> list[str]:
    """Submit questions about passages of their own; return their ids."""
    made = [asked(kind, start + number, **options) for number in range(num)]
    return store.submit([question for question, _ in made], [passage for _, passages in made for passage in passages])


def payload(question: Question, generator: np.random.Generator | None = None, texts: Iterable[str] = ("too long",)) -> dict[str, Any]:
    """Return something that a person may say of a question, at random where a generator is given."""
    draw = np.random.default_rng(0) if generator is None else generator
    text = list(texts)[int(draw.integers(len(list(texts))))]
    if question.kind is Kind.BINARY:
        return {"good": bool(draw.integers(2))}
    if question.kind is Kind.RATE:
        assert question.scale is not None
        return {"step": int(draw.integers(question.scale.low, question.scale.high + 1))}
    if question.kind in (Kind.COMPARE, Kind.RANK):
        order = [question.passages[index] for index in draw.permutation(len(question.passages))]
        if len(order) > 2 and draw.integers(2):
            return {"groups": [order[:2], *[[name] for name in order[2:]]]}
        return {"groups": [[name] for name in order]}
    if question.kind is Kind.SPAN:
        return {"spans": [{"start": 0, "end": 2, "good": bool(draw.integers(2))}]}
    return {"text": text}


def first_is_better(showing: Showing) -> Reply:
    return Reply(Outcome.ANSWERED, {"groups": [[passage.id] for passage in showing.passages]})


def answer_next(queue: Queue, person: Person, key: str, say: Callable[[Showing], Reply] = first_is_better) -> Answer | None:
    """Let a person answer what they are asked; None where there is nothing."""
    showing = queue.next_for(person, WEB)
    return None if showing is None else queue.answer(person, showing.lease.id, key, say(showing))


def derived_rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of all tables that follow from the log."""
    with store.database.reading() as connection:
        return {table.name: sorted(map(tuple, connection.execute(select(table))), key=repr) for table in DERIVED}


def act(store: Store, queue: Queue, clock: Clock, generator: np.random.Generator, num: int = 200) -> list[str]:
    """Let five people answer, tie, skip, take back, revise, leave and come late, at random; return what happened."""
    people = [store.enrol(f"rater-{number}") for number in range(5)]
    late: list[tuple[Person, Showing]] = []
    done: list[str] = []
    for number in range(num):
        person = people[int(generator.integers(5))]
        clock.now += float(generator.integers(1, 60))
        name = str(generator.choice(["answer"] * 6 + ["tie", "all_bad", "skip", "abstain", "undo", "revise", "leave", "give_back", "late"]))
        done.append(name)
        if name == "undo":
            queue.undo(person, f"undo {number}", WEB)
        elif name == "late" and late:
            of, showing = late.pop()
            queue.answer(of, showing.lease.id, f"late {number}", _said("answer", showing, generator))
        elif name == "revise" and (earlier := queue.history(person)):
            showing = queue.revise(person, earlier[int(generator.integers(len(earlier)))].id, WEB)
            queue.answer(person, showing.lease.id, f"revise {number}", _said("answer", showing, generator))
        elif (shown := queue.next_for(person, WEB)) is not None:
            if name == "leave":
                clock.now += queue.seconds_to_answer
                late.append((person, shown))
            elif name == "give_back":
                queue.give_back(person, shown.lease.id)
            else:
                queue.answer(person, shown.lease.id, f"key {number}", _said(name, shown, generator))
    return done


def _said(name: str, showing: Showing, generator: np.random.Generator) -> Reply:
    outcome = Outcome(name) if name in ("tie", "all_bad", "skip", "abstain") else Outcome.ANSWERED
    if outcome not in showing.question.allowed:
        outcome = Outcome.ABSTAIN
    if outcome is Outcome.ANSWERED:
        return Reply(outcome, payload(showing.question, generator), seconds=float(generator.integers(1, 99)) / 10, comment="=1+1\n\u05d0")
    return Reply(outcome, reason="cannot tell" if outcome is Outcome.SKIP else "")


def busy_study(path: Path | str, seed: int = 0, num: int = 200) -> Store:
    """Return a study with questions of every kind, tests among them, and a history of people at work."""
    clock = Clock()
    store = Store(path, clock)
    for number, kind in enumerate(Kind):
        submit(store, 8, kind, start=100 * number, least=1, wanted=2, most=3)
    submit(store, 4, Kind.RATE, start=900, purpose=Purpose.GOLD, gold={"step": 4}, wanted=5, most=5)
    submit(store, 4, Kind.COMPARE, start=950, seconds_to_live=900.0)
    queue = Queue(store, 300.0, Mixing(gold_every=4, repeat_every=5, repeat_after=3))
    act(store, queue, clock, np.random.default_rng(seed), num)
    return store
