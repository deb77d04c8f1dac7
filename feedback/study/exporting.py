"""Write a study for others: its whole log, its answers, and the tables that learners and aggregators read.

log          JSON Lines, one record a line with its number and time; what `importing` reads back without loss
answers      CSV, one row for each answer of each person, those that were superseded or taken back included
preferences  JSON Lines with prompt, chosen and rejected, as TRL's DPO trainer reads them
kto          JSON Lines with prompt, completion and label, as TRL's KTO trainer reads them
labels       CSV with worker, task and label, as crowd-kit reads them
pairs        CSV with worker, left, right and label (the better one's id, tie, or all_bad), as crowd-kit reads them

The same log gives the same bytes. Invitations and sessions are not in the log, so they are in none of these.
What was found all bad is nobody's chosen text, even where one was called better. Pairs with two prompts have no place in preferences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from feedback.study.cells import table_lines
from feedback.study.records import OPINIONS, Answer, Kind, Lease, Outcome, Passage, Person, Purpose, Question, canonical
from feedback.study.store import AT_ONCE, Store
from feedback.study.tables import answers, log

ANSWER_COLUMNS = (
    *("answer", "person", "question", "kind", "purpose", "outcome", "payload", "is_current", "given", "seconds", "confidence"),
    *("comment", "reason", "artefact", "key", "supersedes", "appended", "lease", "interface", "session", "attempt", "issued", "expires"),
    *("shown", "prompt", "texts"),
)
LABEL_COLUMNS = ("worker", "task", "label")
PAIR_COLUMNS = ("worker", "left", "right", "label")


@dataclass(frozen=True)
class Selection:
    """Choose answers.

    Args:
        purposes: of their questions. Gold and repeats test people; they are not for learning.
        people: handles; none = everybody.
        kinds: of their questions; none = all.
        since: seconds since 1970 (UTC); None = from the beginning.
    """

    purposes: tuple[Purpose, ...] = (Purpose.TRAIN,)
    people: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    since: float | None = None


@dataclass(frozen=True)
class Said:
    """Hold an answer with what it is about.

    Args:
        appended: when it was put into the log. is_current: whether it is neither superseded nor taken back.
        handle: the person's. passages: of the question, in its order. lease: None where it was not shown here (an import).
    """

    answer: Answer
    appended: float
    is_current: bool
    question: Question
    handle: str
    passages: tuple[Passage, ...]
    lease: Lease | None


def log_lines(store: Store) -> Iterator[str]:
    """Give the whole log."""
    for number, entry in enumerate(store.entries(), 1):  # not the database's numbers, which may have gaps
        record = entry.record
        yield canonical({"number": number, "at": entry.at, "record": record.name, "id": record.id, "body": record.body()}) + "\n"


def answer_lines(store: Store, selection: Selection) -> Iterator[str]:
    """Give a table of all answers, in their order."""
    return table_lines(ANSWER_COLUMNS, (_row(said) for said in chosen(store, selection)))


def preference_lines(store: Store, selection: Selection) -> Iterator[str]:
    """Give what people prefer: of comparisons, of each pair of a ranking, and of a correction over what it corrects."""
    for said in _opinions(store, selection):
        for prompt, better, worse in _preferred(said):
            yield canonical({"prompt": prompt, "chosen": better, "rejected": worse}) + "\n"


def kto_lines(store: Store, selection: Selection, good_from: int | None = None) -> Iterator[str]:
    """Give single texts as good or bad.

    Args:
        good_from: the first step of a rating that is called good; those below are called bad.

    Errors: ValueError for a rating while `good_from` is None.
    """
    for said in _opinions(store, selection):
        payload, (first, *_) = said.answer.payload, said.passages
        if said.question.kind is Kind.BINARY:
            is_good = payload["good"]
        elif said.question.kind is Kind.RATE:
            if good_from is None:
                raise ValueError("this study holds ratings: say by good_from which step is the first that is called good")
            is_good = payload["step"] >= good_from
        else:
            continue
        yield canonical({"prompt": first.prompt, "completion": first.text, "label": is_good}) + "\n"


def label_lines(store: Store, selection: Selection) -> Iterator[str]:
    """Give one label for each answer to a question of good and bad (these words), to a rating (its step) or to a comparison.

    A comparison's label is 1 or 2, the better one's place in the question, or tie, or all_bad.
    """
    rows = ((said.handle, said.question.id, label) for said in _opinions(store, selection) if (label := _label(said)) is not None)
    return table_lines(LABEL_COLUMNS, rows)


def pair_lines(store: Store, selection: Selection) -> Iterator[str]:
    """Give each pair of passages that was judged, left and right as they were shown."""
    return table_lines(PAIR_COLUMNS, (row for said in _opinions(store, selection) for row in _pairs(said)))


ANSWER_FORMATS: dict[str, Callable[[Store, Selection], Iterator[str]]] = {
    "answers": answer_lines,
    "preferences": preference_lines,
    "kto": kto_lines,
    "labels": label_lines,
    "pairs": pair_lines,
}


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write a file that is there whole or not at all; return its size in bytes."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path.stat().st_size


def chosen(store: Store, selection: Selection) -> Iterator[Said]:
    """Give the answers of a selection in the order in which they came, all from one state of the study."""
    statement = select(answers.c.id, answers.c.number, answers.c.is_current, log.c.at).join(log, log.c.id == answers.c.id)
    with store.database.reading() as connection:
        after = 0
        while True:
            page = statement.where(answers.c.number > after).order_by(answers.c.number).limit(AT_ONCE)
            rows = connection.execute(page).all()
            if not rows:
                return
            for row in rows:
                said = _said(store, connection, row)
                if _is_chosen(said, selection):
                    yield said
            after = rows[-1].number


def _said(store: Store, connection: Connection, row: Any) -> Said:
    answer = store.record(Answer, row.id, connection)
    question = store.record(Question, answer.question, connection)
    person = store.find(Person, answer.person, connection)
    return Said(
        answer,
        row.at,
        row.is_current,
        question,
        answer.person if person is None else person.handle,
        tuple(store.record(Passage, name, connection) for name in question.passages),
        store.find(Lease, answer.lease, connection) if answer.lease else None,
    )


def _is_chosen(said: Said, selection: Selection) -> bool:
    return (
        said.question.purpose in selection.purposes
        and (not selection.people or said.handle in selection.people)
        and (not selection.kinds or said.question.kind in selection.kinds)
        and (selection.since is None or said.answer.given >= selection.since)
    )


def _opinions(store: Store, selection: Selection) -> Iterator[Said]:
    return (said for said in chosen(store, selection) if said.is_current and said.answer.outcome in OPINIONS)


def _row(said: Said) -> list[str]:
    answer, lease = said.answer, said.lease
    shown = ["", "", "", "", "", ""]
    if lease is not None:
        shown = [lease.interface, lease.session, *map(_number, (lease.attempt, lease.issued, lease.expires)), canonical(lease.order)]
    return [
        *(answer.id, said.handle, answer.question, said.question.kind, said.question.purpose, answer.outcome, canonical(answer.payload)),
        *("true" if said.is_current else "false", _number(answer.given), _number(answer.seconds), _number(answer.confidence)),
        *(answer.comment, answer.reason, answer.artefact, answer.key, answer.supersedes, _number(said.appended), answer.lease, *shown),
        *(said.passages[0].prompt, canonical([passage.text for passage in said.passages])),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else canonical(value)


def _preferred(said: Said) -> Iterator[tuple[str, str, str]]:
    """Give prompts with two texts, the better one first."""
    if said.answer.outcome is not Outcome.ANSWERED:
        return
    if said.question.kind is Kind.CORRECT:
        (wrong,) = said.passages
        if said.answer.payload["text"] != wrong.text:
            yield wrong.prompt, said.answer.payload["text"], wrong.text
        return
    by_id = dict(zip(said.question.passages, said.passages, strict=True))
    for better, worse in _ordered(said.answer.payload.get("groups", [])):
        one, other = by_id[better], by_id[worse]
        if one.prompt == other.prompt and one.text != other.text:
            yield one.prompt, one.text, other.text


def _ordered(groups: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Give each pair of which one is better, that one first."""
    for above, below in combinations(groups, 2):
        yield from ((better, worse) for better in above for worse in below)


def _label(said: Said) -> str | None:
    answer, kind = said.answer, said.question.kind
    if kind is Kind.BINARY:
        return "good" if answer.payload["good"] else "bad"
    if kind is Kind.RATE:
        return str(answer.payload["step"])
    if kind is not Kind.COMPARE:
        return None
    if answer.outcome is not Outcome.ANSWERED:
        return str(answer.outcome)
    return str(1 + said.question.passages.index(answer.payload["groups"][0][0]))


def _pairs(said: Said) -> Iterator[tuple[str, str, str, str]]:
    if said.question.kind not in (Kind.COMPARE, Kind.RANK):
        return
    places = said.question.passages if said.lease is None else said.lease.order
    groups = said.answer.payload.get("groups", [])
    better = {frozenset(pair): pair[0] for pair in _ordered(groups)}
    ranked = {name for group in groups for name in group} or set(places)
    for left, right in combinations([name for name in places if name in ranked], 2):
        label = better.get(frozenset((left, right)), "tie")
        yield said.handle, left, right, str(said.answer.outcome) if said.answer.outcome is Outcome.ALL_BAD else label
