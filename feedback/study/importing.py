"""Read a study's log, a table of its answers, or preferences that were gathered elsewhere, and append what is not there yet.

An import is one transaction: it is there whole, or a bad line has refused all of it. Importing the same again changes nothing.
Nothing that is read is executed; every value is checked as if a stranger had written it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, select

from feedback.study.cells import CellError, read_table
from feedback.study.exporting import ANSWER_COLUMNS
from feedback.study.payloads import check_payload
from feedback.study.records import (
    RECORDS,
    Answer,
    Kind,
    Lease,
    Outcome,
    Passage,
    Payload,
    Person,
    Question,
    Record,
    RecordError,
    canonical,
    digest,
)
from feedback.study.store import Store
from feedback.study.tables import answers

ENTRY: dict[str, type | tuple[type, ...]] = {"number": int, "at": (int, float), "record": str, "id": str, "body": dict}
SHOWING_COLUMNS = ("interface", "session", "attempt", "issued", "expires", "shown")
NUMBER_COLUMNS = ("seconds", "confidence")


class ImportRefusedError(ValueError):
    """Report the line for which nothing was imported."""


@dataclass(frozen=True)
class Imported:
    """Hold what an import did.

    Args:
        num_lines: that were read. num_added: records that were not there.
        cut_off: the beginning of a last line that was not written to its end, and is ignored; "" = there was none.
    """

    num_lines: int
    num_added: int
    cut_off: str = ""


def import_log(store: Store, lines: Iterable[bytes]) -> Imported:
    """Append the records of an exported log, with their ids and times and in their order.

    Errors: ImportRefusedError that names the line: no such record, another id than its content has, a record that is there with another
    content, an answer to what is not there, or a missing line.
    """
    reading, num_added = _Reading(), 0
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
                _refuse(number, error)
            num_added += sum(_append(store, connection, number, record, at) for record in records)
            num_read += 1
    return Imported(num_read, num_added)


def import_preferences(store: Store, lines: Iterable[bytes], person: str = "import") -> Imported:
    """Append comparisons in TRL's format (prompt, chosen, rejected) as the answers of one person.

    Errors: ImportRefusedError that names the line.
    """
    return _import_judgements(store, lines, person, _comparison)


def import_kto(store: Store, lines: Iterable[bytes], person: str = "import") -> Imported:
    """Append judgements in TRL's format (prompt, completion, label) as the answers of one person.

    Errors: ImportRefusedError that names the line.
    """
    return _import_judgements(store, lines, person, _judgement)


def strict_json(text: str | bytes) -> Any:
    """Read JSON as the standard has it: no NaN, no name twice in an object.

    Errors: ValueError.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("too many brackets within each other") from None


Found = TypeVar("Found")


class _Reading:
    """Read lines, count them, and note a last one that was not written to its end."""

    def __init__(self) -> None:
        self.num_lines, self.cut_off = 0, ""

    def each(self, lines: Iterable[bytes], read: Callable[[bytes, int], Found]) -> Iterator[tuple[int, Found]]:
        """Give the number of each line and what was read from it.

        Errors: ImportRefusedError.
        """
        rest = iter(lines)
        for number, line in enumerate(rest, 1):
            try:
                found = read(line, number)
            except ValueError as error:
                if line.endswith(b"\n") or _is_json(line) or next(rest, None) is not None:
                    _refuse(number, error)
                self.cut_off = line[:80].decode("utf-8", "replace")
                return
            self.num_lines = number
            yield number, found


def _is_json(line: bytes) -> bool:
    """Return whether a line is whole: no beginning of an object is JSON."""
    try:
        json.loads(line)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice!r} twice")
    return found


def _refuse(number: int, error: object) -> NoReturn:
    reason = error.args[0] if isinstance(error, KeyError) else error
    raise ImportRefusedError(f"line {number}: {reason}; nothing was imported") from (error if isinstance(error, Exception) else None)


def _numbered(rows: Iterator[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Give rows, and say of an error in the table that nothing was imported."""
    try:
        yield from rows
    except CellError as error:
        raise ImportRefusedError(f"{error}; nothing was imported") from error


def _object(line: bytes, fields: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Return a JSON object that has exactly these fields.

    Errors: ValueError.
    """
    found = strict_json(line.decode("utf-8"))
    if not isinstance(found, dict) or set(found) != set(fields):
        got = f"{', '.join(sorted(found)) or 'nothing'}" if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"expected an object with exactly {', '.join(fields)}; got {got[:200]}")
    for name, kind in fields.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool) is not (kind is bool):
            raise ValueError(f"{name} must be of another type, got {str(found[name])[:60]!r}")
    return found


def _entry(line: bytes, number: int) -> tuple[float, Record]:
    """Return when a record was appended, and it.

    Errors: ValueError.
    """
    found = _object(line, ENTRY)
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
        _refuse(number, error)


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
        standing = _standing(connection, record.question, record.person)
        if standing not in (None, record.supersedes):
            raise RecordError(f"this person has another answer to this question that stands, {standing!r}")


def _standing(connection: Connection, question: str, person: str) -> str | None:
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


Judged = tuple[list[Passage], Kind, Payload]


def _comparison(line: bytes, number: int) -> Judged:
    found = _object(line, {"prompt": str, "chosen": str, "rejected": str})
    better, worse = (Passage(found["prompt"], found[name]) for name in ("chosen", "rejected"))
    if better == worse:
        raise ValueError("chosen and rejected are the same text")
    return [better, worse], Kind.COMPARE, {"groups": [[better.id], [worse.id]]}


def _judgement(line: bytes, number: int) -> Judged:
    found = _object(line, {"prompt": str, "completion": str, "label": bool})
    return [Passage(found["prompt"], found["completion"])], Kind.BINARY, {"good": found["label"]}


def _import_judgements(store: Store, lines: Iterable[bytes], handle: str, read: Callable[[bytes, int], Judged]) -> Imported:
    reading, num_added = _Reading(), 0
    with store.database.writing() as connection:
        person = Person(handle)
        person = store.find(Person, person.id, connection) or person
        num_added += len(store.append(connection, [person]))
        for _, (passages, kind, payload) in reading.each(lines, read):
            num_added += _say(store, connection, person, passages, kind, payload)
    return Imported(reading.num_lines, num_added, reading.cut_off)


def _say(store: Store, connection: Connection, person: Person, passages: list[Passage], kind: Kind, payload: Payload) -> int:
    """Append a judgement, unless this person has said the same; return how many records were appended.

    Who has said the opposite before is asked once more, as it were: both stand, under two questions.
    """
    names = tuple(sorted(passage.id for passage in passages))  # an order that does not tell which one is better
    key = f"import {digest('judgement', {'passages': names, 'kind': str(kind), 'payload': payload})}"
    said = Answer(names[0], person.id, "", key, Outcome.ANSWERED, store.clock(), payload)
    if store.find(Answer, said.id, connection) is not None:
        return 0
    num_before = 0
    while True:
        question = Question(kind, names, selected_by="import", ticket=f"import {num_before}" if num_before else "")
        if _standing(connection, question.id, person.id) is None:
            break
        num_before += 1
    answer = Answer(question.id, person.id, "", key, Outcome.ANSWERED, said.given, payload)
    return len(store.append(connection, [*passages, question, answer]))
