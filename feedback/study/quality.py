"""Say how good the answers of a study are: who agrees with others, with themselves and with what is known; who turns the scale round.

A unit is one passage in one question (of a comparison, only the first passage: the second one's value is its mirror image); its values
are those of `feedback.encoding.answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import Interval, Level, alpha_interval, correlation_interval, share_interval
from feedback.aggregation.annotator_detection import FEWEST_SHARED, one_by_one, shift_between_halves
from feedback.encoding.answers import encode_answer
from feedback.encoding.encoded import Encoded
from feedback.study.queueing import gold_is_met
from feedback.study.records import COUNTED, OPINIONS, Answer, Kind, Outcome, Passage, Person, Purpose, Question
from feedback.study.store import Store

Unit = tuple[str, str]
LEVELS: dict[Kind, Level] = {Kind.BINARY: "nominal", Kind.COMPARE: "nominal", Kind.RATE: "ordinal", Kind.RANK: "ordinal"}
LONGEST_PAUSE = 300.0  # seconds between two answers; after a longer one somebody was away
DEVIATIONS = 3.0  # standard errors by which the second half of a person's answers must lie off the first


@dataclass(frozen=True)
class PersonQuality:
    """Hold how good one person's answers are.

    Args:
        num_answers: opinions that stand. num_skips, num_abstentions: besides. per_hour: answers in an hour of work, pauses left out;
            None for fewer than two.
        gold: share of the questions with a known answer that were met, and how many of how many.
        retest: share of the repeated questions that were answered as before.
        with_others: correlation with the mean of the others on the same units, those left out who turned the scale round. num_shared:
            units.
        shift: by how much the person's distance from the others grew from the first half of the shared units to the second, in units of
            the value; None where it cannot be told.
        is_inverted: the whole interval of `with_others` lies below 0. is_drifting: `shift` is more than three standard errors.
    """

    handle: str
    role: str
    num_answers: int
    num_skips: int
    num_abstentions: int
    per_hour: float | None
    gold: Interval
    num_gold: int
    retest: Interval
    num_repeated: int
    with_others: Interval
    num_shared: int
    shift: float | None
    is_inverted: bool
    is_drifting: bool


@dataclass(frozen=True)
class KindQuality:
    """Hold how far people agree on the questions of one kind; `num_units` were judged by two or more."""

    kind: Kind
    level: Level
    alpha: Interval
    num_units: int


@dataclass(frozen=True)
class VersionOpinion:
    """Hold what people thought of what one version of a policy wrote.

    Args:
        version: number of updates before it. mean: of the values of all answers about single texts, from -1 to 1. error: one standard
            error of it; None for a single answer.
    """

    policy: str
    version: int
    mean: float
    error: float | None
    num_answers: int


@dataclass(frozen=True)
class StudyQuality:
    """Hold how good the answers of a study are, and what they say of each version of each policy."""

    people: tuple[PersonQuality, ...]
    kinds: tuple[KindQuality, ...]
    versions: tuple[VersionOpinion, ...]


def figure(interval: Interval) -> str:
    """Return a figure with its interval, as text."""
    if interval.value is None:
        return "-"
    return f"{interval.value:.2f}" + ("" if interval.low is None else f" ({interval.low:.2f} to {interval.high:.2f})")


def remark(person: PersonQuality) -> str:
    """Say what stands out."""
    if person.is_inverted:
        return "may have turned the scale round"
    if person.is_drifting:
        assert person.shift is not None
        return f"drifts by {person.shift:+.2f} against the others"
    if person.gold.high is not None and person.gold.high < 0.5:
        return "misses most known answers"
    return ""


@dataclass(frozen=True)
class _Said:
    """Hold one answer that stands, with its question and the value of each of its units."""

    answer: Answer
    question: Question
    values: Mapping[Unit, float]


@dataclass(frozen=True)
class _Heard:
    """Hold the opinions that stand, the other outcomes by person, the people, and the passages by id."""

    said: list[_Said]
    others: dict[str, list[Outcome]]
    people: list[Person]
    passages: dict[str, Passage]


def study_quality(store: Store, critic: Callable[[str], Encoded] | None = None) -> StudyQuality:
    """Look at all answers of a study that stand.

    Args:
        critic: makes a number of a critique; None = by rules.
    """
    heard = _heard(store, critic)
    table = _table(heard.said)
    found: dict[str, PersonQuality] = {}

    def inverted(left_out: frozenset[str]) -> dict[str, float]:
        nonlocal found
        table_without = {unit: {name: value for name, value in given.items() if name not in left_out} for unit, given in table.items()}
        found = {person.id: _person(person, heard, table_without) for person in heard.people}
        return {name: each.with_others.value or 0.0 for name, each in found.items() if each.is_inverted}

    one_by_one(inverted)  # the last call is that without all of them
    people = tuple(sorted(found.values(), key=lambda each: each.handle))
    return StudyQuality(people, tuple(_kinds(heard.said)), tuple(_versions(heard)))


def rate_per_hour(times: Sequence[float]) -> float | None:
    """Return how many answers came in an hour of work; gaps longer than a pause count as one pause.

    >>> rate_per_hour([0.0, 10.0, 20.0])
    360.0
    """
    if len(times) < 2:
        return None
    ordered = sorted(times)
    seconds = sum(min(after - before, LONGEST_PAUSE) for before, after in pairwise(ordered))
    return None if seconds <= 0 else (len(times) - 1) * 3600 / seconds


def _heard(store: Store, critic: Callable[[str], Encoded] | None) -> _Heard:
    if critic is None:
        from feedback.encoding import CritiqueRules

        critic = CritiqueRules()
    records: dict[str, Answer] = {}
    questions: dict[str, Question] = {}
    passages: dict[str, Passage] = {}
    people: list[Person] = []
    for entry in store.entries():
        record = entry.record
        if isinstance(record, Answer):
            records.pop(record.supersedes, None)
            if record.outcome is not Outcome.WITHDRAWN:
                records[record.id] = record
        elif isinstance(record, Question):
            questions[record.id] = record
        elif isinstance(record, Passage):
            passages[record.id] = record
        elif isinstance(record, Person):
            people.append(record)
    said, others = [], dict[str, list[Outcome]]()
    for answer in records.values():
        question = questions[answer.question]
        if answer.outcome not in OPINIONS:
            others.setdefault(answer.person, []).append(answer.outcome)
            continue
        encoded = encode_answer(question, answer, passages, critic)
        asked = question.repeats or question.id
        counted = question.passages[:1] if question.kind is Kind.COMPARE else question.passages
        values = {(asked, name): encoded[name].value for name in counted}
        said.append(_Said(answer, question, {unit: value for unit, value in values.items() if value is not None}))
    return _Heard(said, others, people, passages)


def _table(said: list[_Said]) -> dict[Unit, dict[str, float]]:
    """Return the value that each person gave each unit, repetitions left out."""
    table: dict[Unit, dict[str, float]] = {}
    for each in said:
        if each.question.purpose is not Purpose.REPEAT:
            for unit, value in each.values.items():
                table.setdefault(unit, {})[each.answer.person] = value
    return table


def _person(person: Person, heard: _Heard, table: dict[Unit, dict[str, float]]) -> PersonQuality:
    name, others = person.id, heard.others.get(person.id, [])
    said = [each for each in heard.said if each.answer.person == name]
    gold = [gold_is_met(each.question, each.answer) for each in said if each.question.purpose is Purpose.GOLD]
    num_gold, hits = len(gold), sum(met is True for met in gold)
    first = {each.question.id: each.answer for each in said}
    repeated = [(first[each.question.repeats], each.answer) for each in said if each.question.repeats in first]
    same = sum((before.outcome, before.payload) == (after.outcome, after.payload) for before, after in repeated)
    own, theirs = _beside_others(said, table, name)
    with_others = correlation_interval(own.tolist(), theirs.tolist())
    shift, in_errors = shift_between_halves(own - theirs)
    is_inverted = len(own) >= FEWEST_SHARED and with_others.high is not None and with_others.high < 0
    return PersonQuality(
        handle=person.handle,
        role=person.role,
        num_answers=len(said),
        num_skips=others.count(Outcome.SKIP),
        num_abstentions=sum(outcome in COUNTED for outcome in others),
        per_hour=rate_per_hour([each.answer.given for each in said]),
        gold=share_interval(hits, num_gold),
        num_gold=num_gold,
        retest=share_interval(same, len(repeated)),
        num_repeated=len(repeated),
        with_others=with_others,
        num_shared=len(own),
        shift=shift,
        is_inverted=is_inverted,
        is_drifting=abs(in_errors) > DEVIATIONS,
    )


def _beside_others(
    said: list[_Said], table: dict[Unit, dict[str, float]], name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a person's values of units that others judged too, in the order in which they were given, and the others' means."""
    own, theirs = [], []
    for each in sorted(said, key=lambda each: each.answer.given):
        for unit, value in each.values.items():
            rest = [given for person, given in table.get(unit, {}).items() if person != name]
            if rest and each.question.purpose is not Purpose.REPEAT:
                own.append(value)
                theirs.append(sum(rest) / len(rest))
    return np.array(own), np.array(theirs)


def _kinds(said: list[_Said]) -> list[KindQuality]:
    found = []
    for kind in Kind:
        table = {unit: given for unit, given in _table([each for each in said if each.question.kind is kind]).items() if len(given) > 1}
        if table:
            level = LEVELS.get(kind, "interval")
            found.append(KindQuality(kind, level, alpha_interval(_as_array(table), level), len(table)))
    return found


def _versions(heard: _Heard) -> list[VersionOpinion]:
    """Return what people thought of each version, of answers about single texts: those among several are relative."""
    values: dict[tuple[str, int], list[float]] = {}
    for each in heard.said:
        if len(each.question.passages) == 1 and each.question.purpose is Purpose.TRAIN:
            passage = heard.passages[each.question.passages[0]]
            values.setdefault((passage.policy, passage.version), []).extend(each.values.values())
    return [
        VersionOpinion(
            policy,
            version,
            float(np.mean(of)),
            float(np.std(of, ddof=1) / np.sqrt(len(of))) if len(of) > 1 else None,
            len(of),
        )
        for (policy, version), of in sorted(values.items())
        if of
    ]


def _as_array(table: dict[Unit, dict[str, float]]) -> npt.NDArray[np.float64]:
    people = sorted({person for given in table.values() for person in given})
    array = np.full((len(people), len(table)), np.nan)
    for column, given in enumerate(table.values()):
        for person, value in given.items():
            array[people.index(person), column] = value
    return array
