"""Keep a study: append records to the log, and answer from tables that follow from it.

A record is appended together with all that follows from it, in one transaction that is lasting before the call returns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from feedback.study.database import Database
from feedback.study.records import COUNTED, RECORDS, Answer, Closing, Lease, Outcome, Passage, Person, Question, Record, Return, canonical
from feedback.study.tables import DERIVED, answers, leases, log, people, questions

DEFAULT_URL = "study.db"
AT_ONCE = 500  # ids in one statement; databases bound their number
Kept = TypeVar("Kept", bound=Record)


@dataclass(frozen=True)
class Entry:
    """Hold one line of the log.

    Args:
        number: its place, increasing. at: when it was appended, seconds since 1970 (UTC).
    """

    number: int
    at: float
    record: Record


@dataclass(frozen=True)
class Standing:
    """Hold how far a question is.

    Args:
        answers: that stand, in the order in which they came; skips and withdrawals are left out.
        is_settled: whether no more are waited for: enough have come, its time is over, or it was closed.
        is_usable: whether at least as many as the question's `least` have come.
    """

    question: Question
    answers: tuple[Answer, ...]
    is_settled: bool
    is_usable: bool


class Store:
    """Keep one study in a database.

    Args:
        url: a path, or a URL of SQLAlchemy; see `Database`.
        clock: gives seconds since 1970 (UTC).
    """

    def __init__(self, url: str | Path = DEFAULT_URL, clock: Callable[[], float] = time.time) -> None:
        self.database = Database(url)
        self.clock = clock
        self._body = lru_cache(maxsize=50_000)(self._read)  # records never change
        self.database.undone.append(self._body.cache_clear)  # it may hold what was not kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def submit(self, asked: Sequence[Question], passages: Iterable[Passage]) -> list[str]:
        """Put questions into the queue, and their passages into the log; return the questions' ids, which serve as tickets.

        A question that is there already is not asked twice. Errors: KeyError for a passage that is nowhere.
        """
        given = {passage.id: passage for passage in passages}
        with self.database.writing() as connection:
            self.append(connection, given.values())
            for number, question in enumerate(asked):
                for name in question.passages:
                    if name not in given and self.find(Passage, name, connection) is None:
                        raise KeyError(f"question {number} is about passage {name}, which is not in the study: submit it too")
            self.append(connection, asked)
        return [question.id for question in asked]

    def cancel(self, tickets: Iterable[str], reason: str = "cancelled") -> None:
        """Ask these questions no more. Answers that have come stay.

        Errors: KeyError for an unknown ticket.
        """
        with self.database.writing() as connection:
            tickets = [self.record(Question, ticket, connection).id for ticket in tickets]
            self.append(connection, [Closing(ticket, reason, self.clock()) for ticket in tickets])

    def enrol(self, handle: str, role: str = "rater") -> Person:
        """Note a person and return them; one who is there already stays who they are.

        Errors: ValueError where the handle has another role.
        """
        person = Person(handle, role)
        known = self.find(Person, person.id)
        if known is None:
            with self.database.writing() as connection:
                self.append(connection, [person])
            known = self.find(Person, person.id)
        assert known is not None
        if known.role != role:
            raise ValueError(f"{handle!r} is a {known.role} of this study already: choose another name, or the role {known.role}")
        return known

    def standings(self, tickets: Sequence[str]) -> dict[str, Standing]:
        """Return how far each question is.

        Errors: KeyError for an unknown ticket.
        """
        now = self.clock()
        found: dict[str, Standing] = {}
        for start in range(0, len(tickets), AT_ONCE):
            part = list(tickets[start : start + AT_ONCE])
            with self.database.reading() as connection:
                rows = {row.id: row for row in connection.execute(select(questions).where(questions.c.id.in_(part)))}
                given: dict[str, list[Answer]] = {ticket: [] for ticket in part}
                for answer in self._standing_answers(connection, part):
                    given[answer.question].append(answer)
                for ticket in part:
                    if ticket not in rows:
                        raise KeyError(f"no question of this study has the ticket {ticket!r}")
                    row, question = rows[ticket], self.record(Question, ticket, connection)
                    is_over = row.is_closed or (row.expires is not None and row.expires <= now)
                    stand = tuple(given[ticket][: question.most])
                    found[ticket] = Standing(
                        question, stand, is_settled=is_over or not row.is_open, is_usable=row.num_counted >= question.least
                    )
        return found

    def record(self, kind: type[Kept], name: str, connection: Connection | None = None) -> Kept:
        """Return a record by its id.

        Errors: KeyError where there is none of this kind.
        """
        found = self.find(kind, name, connection)
        if found is None:
            raise KeyError(f"this study has no {kind.name} {name!r}")
        return found

    def find(self, kind: type[Kept], name: str, connection: Connection | None = None) -> Kept | None:
        """Return a record by its id, or None."""
        if connection is None:
            with self.database.reading() as new:
                return self.find(kind, name, new)
        try:
            record = self._body(name, _Borrowed(connection))
        except KeyError:
            return None
        return record if isinstance(record, kind) else None

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Give the log from the entry after number `after`, in its order."""
        while True:
            with self.database.reading() as connection:
                rows = connection.execute(select(log).where(log.c.number > after).order_by(log.c.number).limit(AT_ONCE)).all()
            for row in rows:
                yield Entry(row.number, row.at, RECORDS[row.record].of(json.loads(row.body)))
            if not rows:
                return
            after = rows[-1].number

    def append(self, connection: Connection, records: Iterable[Record], at: float | None = None) -> list[Record]:
        """Append records that are not in the log yet, with what follows from them; return those.

        Args:
            connection: from `database.writing()`. at: when, in seconds since 1970; None = now.
        """
        when, added = self.clock() if at is None else at, list[Record]()
        for record in records:
            if self.find(type(record), record.id, connection) is not None:
                continue
            row = {"at": when, "record": record.name, "id": record.id, "body": canonical(record.body())}
            number = connection.execute(_INSERT[log], row).inserted_primary_key[0]  # type: ignore[index]
            follow(connection, Entry(number, when, record))
            added.append(record)
        return added

    def rebuild(self) -> None:
        """Make all that follows from the log anew."""
        with self.database.writing() as connection:  # nobody appends meanwhile
            for table in DERIVED:
                connection.execute(delete(table))
            for entry in self.entries():
                follow(connection, entry)

    def _standing_answers(self, connection: Connection, tickets: Sequence[str]) -> list[Answer]:
        found = connection.execute(
            select(answers.c.id)
            .where(answers.c.question.in_(tickets), answers.c.is_current, answers.c.outcome.in_(sorted(COUNTED)))
            .order_by(answers.c.number)
        ).scalars()
        return [self.record(Answer, name, connection) for name in found.all()]

    @staticmethod
    def _read(name: str, borrowed: _Borrowed) -> Record:
        row = borrowed.connection.execute(_FIND, {"name": name}).one_or_none()
        if row is None:
            raise KeyError(name)  # is not cached: it may come
        return RECORDS[row.record].of(json.loads(row.body))


class _Borrowed:
    """Carry a connection past a cache's key: any two are equal."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Borrowed)

    def __hash__(self) -> int:
        return 0


_COUNTED = (
    select(func.count())
    .where(answers.c.question == bindparam("question"), answers.c.is_current, answers.c.outcome.in_(sorted(COUNTED)))
    .scalar_subquery()
)
_COUNT = (
    update(questions)
    .where(questions.c.id == bindparam("question"))
    .values(num_counted=_COUNTED, is_open=~questions.c.is_closed & (questions.c.wanted > _COUNTED))
)
_SUPERSEDE = update(answers).where(answers.c.id == bindparam("answer")).values(is_current=False)
_END_LEASE = update(leases).where(leases.c.id == bindparam("lease")).values(is_live=False)
_FIND = select(log.c.record, log.c.body).where(log.c.id == bindparam("name"))
_INSERT = {table: insert(table) for table in (log, questions, leases, answers, people)}


def follow(connection: Connection, entry: Entry) -> None:
    """Write what follows from one entry of the log into the derived tables."""
    record = entry.record
    if isinstance(record, Question):
        _follow_question(connection, entry, record)
    elif isinstance(record, Lease):
        named = {"id": record.id, "question": record.question, "person": record.person, "attempt": record.attempt}
        connection.execute(_INSERT[leases], named | {"expires": record.expires, "is_live": True})
    elif isinstance(record, Return):
        connection.execute(_END_LEASE, {"lease": record.lease})
    elif isinstance(record, Answer):
        _follow_answer(connection, entry, record)
    elif isinstance(record, Closing):
        connection.execute(update(questions).where(questions.c.id == record.question).values(is_closed=True, is_open=False))
    elif isinstance(record, Person):
        connection.execute(_INSERT[people], {"id": record.id, "handle": record.handle, "role": record.role})


def _follow_question(connection: Connection, entry: Entry, question: Question) -> None:
    expires = None if question.seconds_to_live is None else entry.at + question.seconds_to_live
    row: Mapping[str, Any] = {
        "id": question.id,
        "number": entry.number,
        "purpose": str(question.purpose),
        "only_for": question.only_for,
        "turn": -question.priority,
        "least": question.least,
        "wanted": question.wanted,
        "expires": expires,
        "num_counted": 0,
        "is_closed": False,
        "is_open": True,
    }
    connection.execute(_INSERT[questions], row)


def _follow_answer(connection: Connection, entry: Entry, answer: Answer) -> None:
    stands = answer.outcome is not Outcome.WITHDRAWN
    row = {"id": answer.id, "number": entry.number, "question": answer.question, "person": answer.person, "outcome": str(answer.outcome)}
    connection.execute(_INSERT[answers], row | {"is_current": stands})
    if answer.supersedes:
        connection.execute(_SUPERSEDE, {"answer": answer.supersedes})
    if answer.lease:
        connection.execute(_END_LEASE, {"lease": answer.lease})
    connection.execute(_COUNT, {"question": answer.question})
