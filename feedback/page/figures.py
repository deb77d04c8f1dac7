"""Count what the owner of a study wants to see: how far the queue is, and how each person answers.

Agreement between people is measured elsewhere; a function from a store to rows like `PersonFigures` is all that the owner's screen needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import and_, func, or_, select

from feedback.study.queueing import gold_is_met
from feedback.study.records import COUNTED, Answer, Outcome, Person, Purpose, Question
from feedback.study.store import Store
from feedback.study.tables import answers, log, people, questions

LONGEST_PAUSE = 300.0  # seconds between two answers; after a longer one somebody was away
AT_LEAST = 2  # answers, for a rate


@dataclass(frozen=True)
class QueueFigures:
    """Hold how many questions wait for answers, have enough, ran out of time, or were closed."""

    open: int
    settled: int
    expired: int
    closed: int


@dataclass(frozen=True)
class PersonFigures:
    """Hold how a person answers.

    Args:
        answers: that stand and count. skips: that stand.
        per_hour: answers in an hour of work, pauses left out; None = too few to tell.
        gold: how many questions with a known answer were answered rightly, and how many were answered.
        repeats: how many questions that were asked twice got the same answer twice, and how many were asked twice.
    """

    person: Person
    answers: int
    skips: int
    per_hour: float | None
    gold: tuple[int, int]
    repeats: tuple[int, int]


def queue_figures(store: Store) -> QueueFigures:
    """Count the questions by how far they are."""
    now = store.clock()
    is_over = and_(questions.c.expires.is_not(None), questions.c.expires <= now)
    has_enough = questions.c.num_counted >= questions.c.wanted
    counts = {
        "open": select(func.count()).where(questions.c.is_open, or_(questions.c.expires.is_(None), questions.c.expires > now)),
        "settled": select(func.count()).where(has_enough),
        "expired": select(func.count()).where(questions.c.is_open, is_over),
        "closed": select(func.count()).where(questions.c.is_closed, ~has_enough),
    }
    with store.database.reading() as connection:
        return QueueFigures(**{name: int(connection.execute(count).scalar_one()) for name, count in counts.items()})


def people_figures(store: Store) -> list[PersonFigures]:
    """Count, for everybody in the order of their names, what they answered."""
    with store.database.reading() as connection:
        everybody = connection.execute(select(people.c.id).order_by(people.c.handle)).scalars().all()
        rows = connection.execute(
            select(answers.c.id, answers.c.person, answers.c.outcome, questions.c.purpose, log.c.at)
            .join(questions, questions.c.id == answers.c.question)
            .join(log, log.c.number == answers.c.number)
            .where(answers.c.is_current)
            .order_by(answers.c.number)
        ).all()
    found = list[PersonFigures]()
    for name in everybody:
        mine = [row for row in rows if row.person == name]
        tested = [store.record(Answer, row.id) for row in mine if row.purpose != Purpose.TRAIN and row.outcome != Outcome.SKIP]
        found.append(
            PersonFigures(
                person=store.record(Person, name),
                answers=sum(row.outcome in COUNTED for row in mine),
                skips=sum(row.outcome == Outcome.SKIP for row in mine),
                per_hour=rate_per_hour([row.at for row in mine]),
                gold=_gold(store, tested),
                repeats=_repeats(store, tested, {store.record(Answer, row.id).question: row.id for row in mine} if tested else {}),
            )
        )
    return found


def rate_per_hour(times: Sequence[float]) -> float | None:
    """Return how many answers came in an hour of work; gaps longer than a pause count as one pause.

    >>> rate_per_hour([0.0, 10.0, 20.0])
    360.0
    """
    if len(times) < AT_LEAST:
        return None
    seconds = sum(min(after - before, LONGEST_PAUSE) for before, after in pairwise(times))
    return None if seconds <= 0 else (len(times) - 1) * 3600 / seconds


def _gold(store: Store, tested: Sequence[Answer]) -> tuple[int, int]:
    met = [gold_is_met(store.record(Question, answer.question), answer) for answer in tested]
    return sum(each is True for each in met), sum(each is not None for each in met)


def _repeats(store: Store, tested: Sequence[Answer], standing: Mapping[str, str]) -> tuple[int, int]:
    same = list[bool]()
    for answer in tested:
        before = standing.get(store.record(Question, answer.question).repeats)
        if before is not None:
            first = store.record(Answer, before)
            same.append((first.outcome, first.payload) == (answer.outcome, answer.payload))
    return sum(same), len(same)
