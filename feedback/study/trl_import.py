"""Read preferences and judgements in TRL's formats as the answers of a named person."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from feedback.study.importing import standing_answer
from feedback.study.json_lines import Imported, Reading, object_of
from feedback.study.records import Answer, Kind, Outcome, Passage, Payload, Person, Question, digest
from feedback.study.store import Store

Judged = tuple[list[Passage], Kind, Payload]


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


def _comparison(line: bytes, number: int) -> Judged:
    found = object_of(line, {"prompt": str, "chosen": str, "rejected": str})
    better, worse = (Passage(found["prompt"], found[name]) for name in ("chosen", "rejected"))
    if better == worse:
        raise ValueError("chosen and rejected are the same text")
    return [better, worse], Kind.COMPARE, {"groups": [[better.id], [worse.id]]}


def _judgement(line: bytes, number: int) -> Judged:
    found = object_of(line, {"prompt": str, "completion": str, "label": bool})
    return [Passage(found["prompt"], found["completion"])], Kind.BINARY, {"good": found["label"]}


def _import_judgements(store: Store, lines: Iterable[bytes], handle: str, read: Callable[[bytes, int], Judged]) -> Imported:
    reading, num_added = Reading(), 0
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
        if standing_answer(connection, question.id, person.id) is None:
            break
        num_before += 1
    answer = Answer(question.id, person.id, "", key, Outcome.ANSWERED, said.given, payload)
    return len(store.append(connection, [*passages, question, answer]))
