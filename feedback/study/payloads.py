"""Check what people said, by the kind of the question: exact fields, exact types, nothing coerced.

binary    {"good": true}
rate      {"step": 4}
compare   {"groups": [["id of the better passage"], ["id of the worse"]]}
rank      {"groups": [["best"], ["second", "as good as the second"], ["last"]]}; passages that are not named were not ranked
critique  {"text": "too long"}
correct   {"text": "the text as it should be"}
span      {"spans": [{"start": 0, "end": 5, "good": true}]}: characters of the passage, not overlapping

"All bad" may hold groups too: which was better although none was good. Other outcomes have no payload; a tie means all passages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from feedback.study.records import LONGEST_WORDS, Kind, Outcome, Passage, Payload, Question, RecordError


def check_payload(question: Question, outcome: Outcome, payload: Payload, passages: Mapping[str, Passage]) -> None:
    """Check that an outcome is offered, and that the payload is what the question's kind wants.

    Args:
        passages: those of the question, by id.

    Errors: RecordError that names the value and the expectation.
    """
    if outcome not in question.allowed:
        offered = ", ".join(sorted(question.allowed))
        raise RecordError(f"the outcome {outcome} is not offered by this {question.kind} question; it offers {offered}")
    if outcome == Outcome.ANSWERED:
        CHECKS[question.kind](question, payload, passages)
    elif payload and outcome == Outcome.ALL_BAD:
        _check_groups(question, payload, passages)
    elif payload:
        raise RecordError(f"the outcome {outcome} has no payload, got {payload!r}")


def _fields(payload: Payload, *names: str) -> list[Any]:
    if set(payload) != set(names):
        raise RecordError(f"the payload must have exactly {', '.join(names)}; got {', '.join(sorted(map(str, payload))) or 'nothing'}")
    return [payload[name] for name in names]


def _check_binary(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    (good,) = _fields(payload, "good")
    if not isinstance(good, bool):
        raise RecordError(f"good must be true or false, got {good!r}")


def _check_rating(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    (step,) = _fields(payload, "step")
    scale = question.scale
    assert scale is not None
    if isinstance(step, bool) or not isinstance(step, int) or not scale.low <= step <= scale.high:
        raise RecordError(f"a rating must be a whole number from {scale.low} to {scale.high}, got {step!r}")


def _check_groups(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    (groups,) = _fields(payload, "groups")
    if not isinstance(groups, list) or not all(isinstance(group, list) and group for group in groups):
        raise RecordError(f"groups must be a list of lists of passages, best first, got {groups!r}")
    named = [passage for group in groups for passage in group]
    if not all(isinstance(passage, str) for passage in named) or not named:
        raise RecordError(f"groups must hold the ids of passages, which are text, got {groups!r}")
    if len(set(named)) < len(named) or not set(named) <= set(question.passages):
        raise RecordError(f"groups must name passages of the question, each at most once, got {groups!r}")
    if question.kind is Kind.COMPARE and len(named) != 2:
        raise RecordError(f"a comparison names both passages, got {groups!r}")
    if len(named) == 1:
        raise RecordError("a ranking names at least two passages, got one: skip it instead")


def _check_answered_groups(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    _check_groups(question, payload, passages)
    if len(payload["groups"]) < 2:
        raise RecordError("an answer prefers something: for equally good passages the outcome is a tie")


def _check_words(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    (text,) = _fields(payload, "text")
    if not isinstance(text, str) or len(text) > LONGEST_WORDS:
        shown = f"{len(text)} characters" if isinstance(text, str) else repr(text)
        raise RecordError(f"text must have at most {LONGEST_WORDS} characters, got {shown}")
    if question.kind is Kind.CRITIQUE and not text.strip():
        raise RecordError("a critique needs words: abstain or skip to say nothing")


def _check_spans(question: Question, payload: Payload, passages: Mapping[str, Passage]) -> None:
    (spans,) = _fields(payload, "spans")
    length = len(passages[question.passages[0]].text)
    end = 0
    if not isinstance(spans, list) or not spans:
        raise RecordError(f"spans must be a list with at least one span, got {spans!r}: abstain where nothing stands out")
    for span in spans:
        if not isinstance(span, dict) or set(span) != {"start", "end", "good"} or not isinstance(span["good"], bool):
            raise RecordError(f"a span has start, end and good (true or false), got {span!r}")
        places = (span["start"], span["end"])
        if any(isinstance(place, bool) or not isinstance(place, int) for place in places) or not end <= places[0] < places[1] <= length:
            raise RecordError(f"spans must be in order, not overlap, and lie within the {length} characters of the passage, got {span!r}")
        end = places[1]


CHECKS: dict[Kind, Callable[[Question, Payload, Mapping[str, Passage]], None]] = {
    Kind.BINARY: _check_binary,
    Kind.RATE: _check_rating,
    Kind.COMPARE: _check_answered_groups,
    Kind.RANK: _check_answered_groups,
    Kind.CRITIQUE: _check_words,
    Kind.CORRECT: _check_words,
    Kind.SPAN: _check_spans,
}
