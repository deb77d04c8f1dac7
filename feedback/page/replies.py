"""Turn what stands in a form into an answer's outcome and payload, and an earlier answer back into what stands in the form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feedback.page.wording import words
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Answer, Kind, Outcome, Passage, Payload, RecordError

LETTERS = "ABCDEF"  # what the first, second ... passage is called on the page
LONGEST_DAY = 86_400.0  # seconds; a longer time to answer is a clock's mistake
Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Filled:
    """Hold what stands in a question's form.

    Args:
        choice: the button that was pressed: a step, good, bad, a, b, tie, all_bad, abstain or send. "" = none.
        text: of a critique or a correction. comment: beside any answer.
        places: of a ranking, by the place where the passage was shown, counted from 0.
        marks: of words, by their number: True = good.
    """

    choice: str = ""
    text: str | None = None
    comment: str = ""
    places: dict[int, int] = field(default_factory=dict)
    marks: dict[int, bool] = field(default_factory=dict)


def filled_by_form(fields: Fields) -> Filled:
    """Read the fields of a form.

    Errors: RecordError for a place or a word that is no number, and for a word that is marked twice.
    """
    marks = {_whole(number, "a marked word"): True for number in fields.get("good", ())}
    for number in fields.get("bad", ()):
        if marks.setdefault(_whole(number, "a marked word"), False):
            raise RecordError("one word is marked both good and bad: take one of its two marks away")
    places = {at: _whole(_one(fields, f"place-{at}"), "a place") for at in range(len(LETTERS)) if _one(fields, f"place-{at}")}
    text = _lines(_one(fields, "text")) if "text" in fields else None
    return Filled(_one(fields, "choice"), text, _lines(_one(fields, "comment")), places, marks)


def filled_by_answer(answer: Answer, showing: Showing) -> Filled:
    """Return the form in which an earlier answer would be given again."""
    at = {passage.id: place for place, passage in enumerate(showing.passages)}
    payload, choice = answer.payload, "" if answer.outcome in (Outcome.ANSWERED, Outcome.SKIP) else str(answer.outcome)
    groups: list[list[str]] = payload.get("groups", [])
    if answer.outcome is Outcome.ANSWERED:
        choice = _choice(showing, payload)
    places = {at[name]: place for place, group in enumerate(groups, 1) for name in group}
    marks = {number: good for number, good in _marked(showing.passages[0], payload.get("spans", []))}
    return Filled(choice, payload.get("text"), answer.comment, places if showing.question.kind is Kind.RANK else {}, marks)


def reply(showing: Showing, filled: Filled, fields: Fields) -> Reply:
    """Return what a form says of the question that was shown.

    Errors: RecordError that says what is missing or wrong.
    """
    outcome, payload = _said(showing, filled)
    return Reply(outcome, payload, seconds=seconds_taken(fields), comment=filled.comment.strip())


def skipped(fields: Fields) -> Reply:
    """Return a skip with its reason.

    Errors: RecordError where no reason is given.
    """
    reason, words_for_it = _one(fields, "reason").strip(), _lines(_one(fields, "reason-text")).strip()
    if not reason and not words_for_it:
        raise RecordError("say why you skip this question: choose a reason, or write one")
    return Reply(Outcome.SKIP, seconds=seconds_taken(fields), reason=": ".join(part for part in (reason, words_for_it) if part))


def _said(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    if filled.choice == "abstain":
        return Outcome.ABSTAIN, {}
    if not filled.choice:
        raise RecordError("choose an answer")
    return READERS[showing.question.kind](showing, filled)


def _said_binary(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    return Outcome.ANSWERED, {"good": _among(filled.choice, {"good": True, "bad": False})}


def _said_rating(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    return Outcome.ANSWERED, {"step": _whole(filled.choice, "a rating")}


def _said_comparison(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    if filled.choice in ("tie", "all_bad"):
        return Outcome(filled.choice), {}
    first, second = ([passage.id] for passage in showing.passages)
    return Outcome.ANSWERED, {"groups": _among(filled.choice, {"a": [first, second], "b": [second, first]})}


def _said_ranking(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    groups = [
        [showing.passages[at].id for at, given in sorted(filled.places.items()) if given == place and at < len(showing.passages)]
        for place in sorted(set(filled.places.values()))
    ]
    named = sum(map(len, groups))
    if filled.choice == "all_bad":
        return Outcome.ALL_BAD, {"groups": groups} if named > 1 else {}
    _among(filled.choice, {"send": True})
    if named < 2:
        raise RecordError("give a place to at least two texts, or skip the question")
    if len(groups) == 1:
        if named < len(showing.passages):
            raise RecordError("texts of one place are equally good; give another place to at least one text, or place all of them")
        return Outcome.TIE, {}
    return Outcome.ANSWERED, {"groups": groups}


def _said_words(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    _among(filled.choice, {"send": True})
    return Outcome.ANSWERED, {"text": filled.text or ""}


def _said_spans(showing: Showing, filled: Filled) -> tuple[Outcome, Payload]:
    _among(filled.choice, {"send": True})
    places, spans = words(showing.passages[0]), list[dict[str, Any]]()
    last = None
    for number, good in sorted(filled.marks.items()):
        if not 0 <= number < len(places):
            raise RecordError(f"the text has {len(places)} words; there is no word {number}")
        start, end = places[number]
        if spans and last == number - 1 and spans[-1]["good"] == good:
            spans[-1]["end"] = end
        else:
            spans.append({"start": start, "end": end, "good": good})
        last = number
    if not spans:
        raise RecordError("mark at least one word, or choose that you cannot say")
    return Outcome.ANSWERED, {"spans": spans}


READERS: dict[Kind, Callable[[Showing, Filled], tuple[Outcome, Payload]]] = {
    Kind.BINARY: _said_binary,
    Kind.RATE: _said_rating,
    Kind.COMPARE: _said_comparison,
    Kind.RANK: _said_ranking,
    Kind.CRITIQUE: _said_words,
    Kind.CORRECT: _said_words,
    Kind.SPAN: _said_spans,
}


def _choice(showing: Showing, payload: Payload) -> str:
    if showing.question.kind is Kind.BINARY:
        return "good" if payload["good"] else "bad"
    if showing.question.kind is Kind.RATE:
        return str(payload["step"])
    if showing.question.kind is Kind.COMPARE:
        return "a" if payload["groups"][0] == [showing.passages[0].id] else "b"
    return "send"


def _marked(passage: Passage, spans: Sequence[Mapping[str, Any]]) -> list[tuple[int, bool]]:
    """Return the words that lie in spans."""
    return [
        (number, bool(span["good"]))
        for number, (start, end) in enumerate(words(passage))
        for span in spans
        if span["start"] <= start and end <= span["end"]
    ]


def _among(choice: str, offered: Mapping[str, Any]) -> Any:
    if choice not in offered:
        raise RecordError(f"the choice must be one of {', '.join(offered)}, got {choice[:40]!r}")
    return offered[choice]


def _one(fields: Fields, name: str) -> str:
    return fields[name][-1] if fields.get(name) else ""


def _lines(text: str) -> str:
    """Return a text with its own line ends: forms send two characters for each."""
    return text.replace("\r\n", "\n")


def _whole(value: str, what: str) -> int:
    if not (value.isascii() and value.lstrip("-").isdigit() and len(value) < 8):
        raise RecordError(f"{what} must be a whole number, got {value[:40]!r}")
    return int(value)


def seconds_taken(fields: Fields) -> float | None:
    """Return the time to answer that the page measured; None where it measured none, or none that can be."""
    try:
        seconds = float(_one(fields, "seconds"))
    except ValueError:
        return None
    return round(seconds, 3) if math.isfinite(seconds) and 0 <= seconds <= LONGEST_DAY else None
