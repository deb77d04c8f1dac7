"""Read a study's log, a table of its answers, or preferences that were gathered elsewhere, and append what is not there yet.

An import is one transaction: it is there whole, or a bad line has refused all of it. Importing the same again changes nothing.
Nothing that is read is executed; every value is checked as if a stranger had written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from feedback.study.cells import CellError, read_table
from feedback.study.exporting import ANSWER_COLUMNS
from feedback.study.json_lines import Imported, ImportRefusedError, Reading, object_of, refuse, strict_json
from feedback.study.payloads import check_payload
from feedback.study.records import (
    RECORDS,
    Answer,
    Lease,
    Passage,
    Person,
    Question,
    Record,
    RecordError,
    canonical,
)
from feedback.study.store import Store
from feedback.study.tables import answers

ENTRY: dict[str, type | tuple[type, ...]] = {"number": int, "at": (int, float), "record": str, "id": str, "body": dict}
NUMBER_COLUMNS = ("seconds", "confidence")


def import_log(store: Store, lines: Iterable[bytes]) -> Imported:
    """Append the records of an exported log, with their ids and times and in their order.

    Errors: ImportRefusedError that names the line: no such record, another id than its content has, a record that is there with another
    content, an answer to what is not there, or a missing line.
    """
    reading, num_added = Reading(), 0
    with store.database.writing() as connection:
        for number, (at, record) in reading.each(lines, _entry):
            num_added += _append(store, connection, number, record, at)
    return Imported(reading.num_lines, num_added, reading.cut_off)


def import_answers(store: Store, lines: Iterable[str]) -> Imported:
    """Append the answers of an exported table, with their people and showings; their questions must be in the study.

    Errors: ImportRefusedError that names the line.
    """
    num_added = num_read = 0
    with store.database.writing() as connection:
        for number, row in _numbered(read_table(ANSWER_COLUMNS, lines)):
            try:
                records, at = _of_row(store, connection, row)
            except ValueError as error:
                refuse(number, error)
            num_added += sum(_append(store, connection, number, record, at) for record in records)
            num_read += 1
    return Imported(num_read, num_added)


def _numbered(rows: Iterator[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Give rows, and say of an error in the table that nothing was imported."""
    try:
        yield from rows
    except CellError as error:
        raise ImportRefusedError(f"{error}; nothing was imported") from error
    except UnicodeDecodeError as error:
        raise ImportRefusedError(f"the table is not written in UTF-8 ({error}); nothing was imported") from error


def _entry(line: bytes, number: int) -> tuple[float, Record]:
    """Return when a record was appended, and it.

    Errors: ValueError.
    """
    found = object_of(line, ENTRY)
    if found["number"] != number:
        raise ValueError(f"the record has the number {found['number']} where {number} is expected: lines are missing, or out of order")
    if found["record"] not in RECORDS:
        raise ValueError(f"there is no record {found['record']!r}; there are {', '.join(sorted(RECORDS))}")
    if abs(found["at"]) > 1e300:
        raise ValueError(f"at must be seconds since 1970, got {str(found['at'])[:60]}")
    record = RECORDS[found["record"]].of(found["body"])
    if record.id != found["id"]:
        raise ValueError(f"the record has the id {found['id'][:60]!r}, but its content has {record.id!r}: it was changed")
    return found["at"], record


def _append(store: Store, connection: Connection, number: int, record: Record, at: float) -> int:
    """Append a record if it is not there, and return how many were appended."""
    try:
        stored = store.find(type(record), record.id, connection)
        if stored is not None:
            if canonical(stored.body()) != canonical(record.body()):
                raise RecordError(f"the study has another {record.name} with the id {record.id!r}")
            return 0
        _check_context(store, connection, record)
        return len(store.append(connection, [record], at))
    except (KeyError, RecordError) as error:
        refuse(number, error)


def _check_context(store: Store, connection: Connection, record: Record) -> None:
    """Check that what a record speaks of is there and fits.

    Errors: KeyError, RecordError.
    """
    if isinstance(record, Question):
        for name in record.passages:
            store.record(Passage, name, connection)
    elif isinstance(record, Lease):
        question = store.record(Question, record.question, connection)
        if sorted(record.order) != sorted(question.passages):
            raise RecordError(f"a showing has the passages of its question, got {record.order!r}")
    elif isinstance(record, Answer):
        question = store.record(Question, record.question, connection)
        passages = {name: store.record(Passage, name, connection) for name in question.passages}
        check_payload(question, record.outcome, record.payload, passages)
        if record.lease:
            _check_same(record, store.record(Lease, record.lease, connection))
        if record.supersedes:
            _check_same(record, store.record(Answer, record.supersedes, connection))
        standing = standing_answer(connection, record.question, record.person)
        if standing not in (None, record.supersedes):
            raise RecordError(f"this person has another answer to this question that stands, {standing!r}")


def standing_answer(connection: Connection, question: str, person: str) -> str | None:
    """Return the id of a person's answer to a question that stands."""
    statement = select(answers.c.id).where(answers.c.question == question, answers.c.person == person, answers.c.is_current)
    return connection.execute(statement.order_by(answers.c.number.desc()).limit(1)).scalar()


def _check_same(answer: Answer, other: Lease | Answer) -> None:
    if (answer.question, answer.person) != (other.question, other.person):
        raise RecordError(f"an answer and its {other.name} are of one person about one question: {other.id!r} is not")


def _of_row(store: Store, connection: Connection, row: Mapping[str, str]) -> tuple[list[Record], float]:
    """Return the person, the showing and the answer of a row of a table, as far as they are new, and when it was appended.

    Errors: ValueError.
    """
    records = list[Record]()
    person = _person(store, connection, row["person"])
    if isinstance(person, Person):
        records.append(person)
    owner = person if isinstance(person, str) else person.id
    if row["interface"]:
        places, times = _cell(row, "shown"), (_cell(row, "issued"), _cell(row, "expires"), _cell(row, "attempt"))
        shown = {"question": row["question"], "person": owner, "order": places, "interface": row["interface"], "session": row["session"]}
        lease = Lease.of(shown | dict(zip(("issued", "expires", "attempt"), times, strict=True)))
        records.append(lease)
    body = {name: row[name] for name in ("question", "lease", "key", "outcome", "comment", "reason", "artefact", "supersedes")}
    numbers = {name: _cell(row, name) if row[name] else None for name in NUMBER_COLUMNS}
    answer = Answer.of(body | numbers | {"person": owner, "payload": _cell(row, "payload"), "given": _cell(row, "given")})
    if answer.id != row["answer"] or answer.lease != (records[-1].id if row["interface"] else ""):
        raise RecordError("the ids of the answer and its showing do not follow from the row: it was changed")
    appended = _cell(row, "appended")
    if isinstance(appended, bool) or not isinstance(appended, int | float):
        raise RecordError(f"appended must be seconds since 1970, got {row['appended'][:60]!r}")
    return [*records, answer], appended


def _person(store: Store, connection: Connection, handle: str) -> Person | str:
    """Return somebody by their handle: as they are in the study, or as a new rater."""
    new = Person(handle)
    return store.find(Person, new.id, connection) or new


def _cell(row: Mapping[str, str], name: str) -> Any:
    """Return the value of a cell that holds JSON.

    Errors: RecordError.
    """
    try:
        return strict_json(row[name])
    except ValueError as error:
        raise RecordError(f"{name} must be JSON, got {row[name][:60]!r}: {error}") from error
