"""Turn what a person said into a number for each passage they were shown, by rules, with the reason.

kind      value of a passage, from -1 (bad) to 1 (good)
binary    good: 1, bad: -1
rate      2 * (step - low) / (high - low) - 1
compare   the better one 1, the other -1; a tie 0 and 0; both bad -1 and -1, whichever was preferred
rank      from 1 (first) to -1 (last) in equal steps over the places; tied ones share the mean of theirs; who was left out has no value
critique  what an encoder of critiques makes of the words (`CritiqueRules`)
correct   2 * ratio - 1, where ratio is the share of the words that stayed (difflib's, of both texts)
span      (good - bad) / marked, in characters

A skip, an abstention, a timeout and an error are no values at all: None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from feedback.encoding.encoded import Encoded
from feedback.study.records import OPINIONS, Answer, Kind, Outcome, Passage, Question

Critic = Callable[[str], Encoded]


@dataclass(frozen=True)
class Preference:
    """Hold that one passage was preferred to another, by their ids; `is_tie`: neither was."""

    better: str
    worse: str
    is_tie: bool = False


def encode_answer(question: Question, answer: Answer, passages: Mapping[str, Passage], critic: Critic) -> dict[str, Encoded]:
    """Return what an answer says of each passage of its question, by id.

    Args:
        passages: those of the question, by id. critic: makes a number of a critique.

    Not checked: that the answer fits the question, which the queue has done.
    """
    if answer.outcome not in OPINIONS:
        reason = f"{answer.outcome}: {answer.reason}" if answer.reason else str(answer.outcome)
        return {name: Encoded(None, 0.0, reason, "rules") for name in question.passages}
    trust = 1.0 if answer.confidence is None else answer.confidence
    if question.kind is Kind.CRITIQUE:
        said = critic(answer.payload["text"])
        return {question.passages[0]: said if said.value is None else replace(said, confidence=said.confidence * trust)}
    return {name: Encoded(value, 0.0 if value is None else trust, why, "rules") for name, value, why in _values(question, answer, passages)}


def preferences(question: Question, answer: Answer) -> list[Preference]:
    """Return every pair that a comparison or a ranking decides; nothing for other kinds, and where everything was bad."""
    if question.kind not in (Kind.COMPARE, Kind.RANK) or answer.outcome not in (Outcome.ANSWERED, Outcome.TIE):
        return []
    if answer.outcome is Outcome.TIE:
        groups: list[list[str]] = [list(question.passages)]
    else:
        groups = answer.payload["groups"]
    found = []
    for number, group in enumerate(groups):
        found += [Preference(one, other, is_tie=True) for place, one in enumerate(group) for other in group[place + 1 :]]
        found += [Preference(one, other) for later in groups[number + 1 :] for one in group for other in later]
    return found


def character_scores(passage: Passage, answer: Answer) -> npt.NDArray[np.float64]:
    """Return 1 for each character that was marked good, -1 for bad, 0 for none: [characters of the passage]."""
    scores = np.zeros(len(passage.text))
    for span in answer.payload["spans"]:
        scores[span["start"] : span["end"]] = 1.0 if span["good"] else -1.0
    return scores


def _values(question: Question, answer: Answer, passages: Mapping[str, Passage]) -> list[tuple[str, float | None, str]]:
    if answer.outcome is Outcome.TIE:
        return [(name, 0.0, "as good as the others") for name in question.passages]
    if answer.outcome is Outcome.ALL_BAD:
        return [(name, -1.0, "none was acceptable") for name in question.passages]
    if question.kind in (Kind.COMPARE, Kind.RANK):
        return _by_place(question, answer.payload["groups"])
    name, payload = question.passages[0], answer.payload
    value, why = _ALONE[question.kind](question, answer, passages[name], payload)
    return [(name, value, why)]


def _by_place(question: Question, groups: list[list[str]]) -> list[tuple[str, float | None, str]]:
    total = sum(map(len, groups))
    found: dict[str, tuple[float, str]] = {}
    before = 0
    for group in groups:
        place = before + (len(group) - 1) / 2
        for name in group:
            found[name] = (1.0 - 2.0 * place / (total - 1), f"place {place + 1:g} of {total}")
        before += len(group)
    return [(name, *found.get(name, (None, "was not ranked"))) for name in question.passages]


def _binary(question: Question, answer: Answer, passage: Passage, payload: dict[str, Any]) -> tuple[float, str]:
    return (1.0, "good") if payload["good"] else (-1.0, "bad")


def _rating(question: Question, answer: Answer, passage: Passage, payload: dict[str, Any]) -> tuple[float, str]:
    scale, step = question.scale, payload["step"]
    assert scale is not None
    word = scale.word(step)
    return 2.0 * (step - scale.low) / (scale.high - scale.low) - 1.0, f"{step} of {scale.high}" + (f", {word}" if word else "")


def _correction(question: Question, answer: Answer, passage: Passage, payload: dict[str, Any]) -> tuple[float, str]:
    before, after = passage.text.split(), payload["text"].split()
    ratio = SequenceMatcher(None, before, after, autojunk=False).ratio()
    return 2.0 * ratio - 1.0, "left as it is" if before == after else f"{ratio:.0%} of the words stayed"


def _spans(question: Question, answer: Answer, passage: Passage, payload: dict[str, Any]) -> tuple[float, str]:
    scores = character_scores(passage, answer)
    good, bad = int((scores > 0).sum()), int((scores < 0).sum())
    return (good - bad) / (good + bad), f"{good} characters marked good, {bad} bad"


_ALONE: dict[Kind, Callable[[Question, Answer, Passage, dict[str, Any]], tuple[float, str]]] = {
    Kind.BINARY: _binary,
    Kind.RATE: _rating,
    Kind.CORRECT: _correction,
    Kind.SPAN: _spans,
}
