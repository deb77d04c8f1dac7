"""Define what a study keeps: passages that were written, questions about them, leases to people, and their answers.

All of them are frozen and go into an append-only log; an answer is undone or edited by a later one that supersedes it. Ids are made of the
content, so that the same question asked twice is one question, and a log read into another store keeps its ids.
Preferences are kept as ranked groups of passages, never as left and right: what stood where is the lease's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar


class Kind(StrEnum):
    """Say what is asked for."""

    BINARY = "binary"  # good or bad
    RATE = "rate"  # a whole number on a scale
    COMPARE = "compare"  # which of two is better
    RANK = "rank"  # several in order, ties and gaps allowed
    CRITIQUE = "critique"  # what is right or wrong with it, in words
    CORRECT = "correct"  # the text as it should be
    SPAN = "span"  # which parts are good or bad


class Purpose(StrEnum):
    """Say what an answer is for."""

    TRAIN = "train"  # to learn from
    GOLD = "gold"  # the right answer is known: it tests the person
    REPEAT = "repeat"  # the same person was asked before: it tests whether the answer stays


class Outcome(StrEnum):
    """Say how a showing ended."""

    ANSWERED = "answered"
    TIE = "tie"  # equally good
    ALL_BAD = "all_bad"  # none is acceptable, whichever is better
    ABSTAIN = "abstain"  # looked at, without an opinion
    SKIP = "skip"  # not judged, for a reason; somebody else gets it
    TIMEOUT = "timeout"  # no answer in time
    ERROR = "error"  # the channel failed
    WITHDRAWN = "withdrawn"  # an earlier answer was taken back


class Interface(StrEnum):
    """Say where a person was asked."""

    TERMINAL = "terminal"
    WEB = "web"
    SPEECH = "speech"
    PICTURE = "picture"
    SIMULATED = "simulated"


OPINIONS = frozenset({Outcome.ANSWERED, Outcome.TIE, Outcome.ALL_BAD})
COUNTED = OPINIONS | {Outcome.ABSTAIN}  # what brings a question nearer to the number of answers that it wants
Payload = dict[str, Any]
MOST_RANKED = 6  # passages of one ranking
LONGEST_WORDS = 200_000  # characters of a critique, a comment or a correction
LONGEST_ID = 32  # characters; ids are made here, and a database keeps no longer ones
LARGEST_WHOLE = 2**31 - 1  # the largest number that a database keeps in a column of whole numbers


class RecordError(ValueError):
    """Report a record that is not one: an unknown field, a missing one, or a value out of range."""


@dataclass(frozen=True)
class Record:
    """Turn itself into a JSON object and back; unknown and missing fields are refused, and nothing is coerced."""

    name: ClassVar[str]

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Make a record of a JSON object.

        Errors: RecordError that names the field.
        """
        if not isinstance(body, Mapping):
            raise RecordError(f"{_one(cls)} must be a JSON object, got {type(body).__name__}")
        known = {each.name: each.default is MISSING and each.default_factory is MISSING for each in fields(cls)}
        if unknown := sorted(map(str, set(body) - set(known))):
            raise RecordError(f"{_one(cls)} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")
        if missing := [name for name, is_needed in known.items() if is_needed and name not in body]:
            raise RecordError(f"{_one(cls)} needs the field {missing[0]!r}")
        return cls(**{key: _frozen(value) for key, value in body.items()})

    @cached_property
    def id(self) -> str:
        """Return the name of the record: a hash of what it says."""
        return digest(self.name, self.body())


@dataclass(frozen=True)
class Passage(Record):
    """Hold one text that people judge.

    Args:
        prompt: what was continued. text: what was written.
        ids: its tokens; empty where they are not known (an import).
        judged: first and last character (exclusive) of the part that is asked about; None = all of it.
        policy, version: who wrote it, and after how many updates.
        sampling: settings such as the temperature. seed: of the rollout. ending: why it ended; "" = unknown.
    """

    name: ClassVar[str] = "passage"
    prompt: str
    text: str
    ids: tuple[int, ...] = ()
    judged: tuple[int, int] | None = None
    policy: str = ""
    version: int = 0
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    ending: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt", "text", "policy", "ending"):
            _check_text(self, name)
        _check_number(self, "version", whole=True)
        _check_object(self, "sampling")
        if self.seed is not None and not _is_whole(self.seed):
            raise RecordError(f"seed of a passage must be a whole number or None, got {self.seed!r}")
        if not isinstance(self.ids, tuple) or not all(map(_is_whole, self.ids)):
            raise RecordError(f"ids of a passage must be whole numbers, got {self.ids!r}")
        if self.judged is not None and not self._is_part(self.judged):
            raise RecordError(f"judged must be two places within the {len(self.text)} characters of the text, got {self.judged!r}")

    def _is_part(self, judged: Any) -> bool:
        if not isinstance(judged, tuple) or len(judged) != 2 or not all(map(_is_whole, judged)):
            return False
        return 0 <= judged[0] < judged[1] <= len(self.text)

    @property
    def content(self) -> str:
        """Return a hash of prompt and text alone: the same for the same words, whoever wrote them."""
        return digest("content", {"prompt": self.prompt, "text": self.text, "judged": self.judged})


@dataclass(frozen=True)
class Scale(Record):
    """Hold the steps of a rating.

    Args:
        low, high: the first and the last step.
        words: one for each step, or one for each end, or none.
    """

    name: ClassVar[str] = "scale"
    low: int = 1
    high: int = 5
    words: tuple[str, ...] = ("very bad", "bad", "neither", "good", "very good")

    def __post_init__(self) -> None:
        _check_number(self, "low", whole=True)
        _check_number(self, "high", whole=True)
        if not self.low < self.high <= self.low + 100:
            raise RecordError(f"a scale needs 2 to 101 steps from low to high, got {self.low} to {self.high}")
        _check_texts(self, "words")
        if len(self.words) not in (0, 2, self.high - self.low + 1):
            raise RecordError(
                f"a scale of {self.high - self.low + 1} steps has a word for each, for both ends, or none; got {self.words!r}"
            )

    def word(self, step: int) -> str:
        """Return the word of a step, or "" where it has none."""
        if len(self.words) == 2 and self.high - self.low > 1:
            return {self.low: self.words[0], self.high: self.words[1]}.get(step, "")
        return self.words[step - self.low] if self.words else ""


@dataclass(frozen=True)
class Question(Record):
    """Hold what people are asked about one or more passages.

    Args:
        kind: what is asked for. passages: their ids, in the order in which they were written.
        instructions: how to judge. instructions_version: changes when their meaning does.
        aspects: what to look at.
        allows: outcomes besides an answer that are offered: tie, all_bad, abstain, skip.
        scale: of a rating.
        purpose: see `Purpose`. gold: the payload that is right. repeats: id of the question that was asked before.
        only_for: id of the only person who is asked; "" = everybody.
        least, wanted, most: answers after which it may be used, is no longer given out, and takes no more.
        seconds_to_live: after which what has come is used; None = for ever.
        priority: higher first.
        selected_by: how it was chosen.
        ticket: sets apart questions that would otherwise be one.
    """

    name: ClassVar[str] = "question"
    kind: Kind
    passages: tuple[str, ...]
    instructions: str = ""
    instructions_version: str = "1"
    aspects: tuple[str, ...] = ()
    allows: tuple[str, ...] = ("tie", "all_bad", "abstain", "skip")
    scale: Scale | None = None
    purpose: Purpose = Purpose.TRAIN
    gold: dict[str, Any] | None = None
    repeats: str = ""
    only_for: str = ""
    least: int = 1
    wanted: int = 1
    most: int = 1
    seconds_to_live: float | None = None
    priority: int = 0
    selected_by: str = ""
    ticket: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _member(Kind, self.kind, "kind"))
        object.__setattr__(self, "purpose", _member(Purpose, self.purpose, "purpose"))
        given: Any = self.scale
        if given is not None and not isinstance(given, Scale):
            object.__setattr__(self, "scale", Scale.of(given))
        if self.kind is Kind.RATE and self.scale is None:
            object.__setattr__(self, "scale", Scale())
        self._check_what_is_asked()
        self._check_how_long()
        if self.gold is not None:
            _check_object(self, "gold")
        elif self.purpose is Purpose.GOLD:
            raise RecordError("a question for the purpose gold needs gold: the payload that is right")

    def _check_what_is_asked(self) -> None:
        for name in ("instructions", "instructions_version", "selected_by", "ticket"):
            _check_text(self, name)
        for name in ("passages", "aspects", "allows"):
            _check_texts(self, name)
        for name in self.passages:
            _check_id(self, "a passage", name)
        for name in ("repeats", "only_for"):
            _check_id(self, name, getattr(self, name), may_be_empty=True)
        low, high = {Kind.COMPARE: (2, 2), Kind.RANK: (2, MOST_RANKED)}.get(self.kind, (1, 1))
        if not low <= len(self.passages) <= high or len(set(self.passages)) < len(self.passages):
            raise RecordError(f"a {self.kind} question needs {low} to {high} different passages, got {self.passages!r}")
        if unknown := set(self.allows) - {"tie", "all_bad", "abstain", "skip"}:
            raise RecordError(f"allows may name tie, all_bad, abstain and skip, got {sorted(unknown)[0]!r}")

    def _check_how_long(self) -> None:
        for name in ("least", "wanted", "most", "priority"):
            _check_number(self, name, whole=True, bound=LARGEST_WHOLE)
        if not 1 <= self.least <= self.wanted <= self.most:
            raise RecordError(f"a question needs 1 <= least <= wanted <= most answers, got {self.least}, {self.wanted}, {self.most}")
        if self.seconds_to_live is not None:
            _check_number(self, "seconds_to_live")
            if not self.seconds_to_live > 0:
                raise RecordError(f"seconds_to_live must be above 0, or None for ever, got {self.seconds_to_live}")

    @property
    def allowed(self) -> frozenset[Outcome]:
        """Return the outcomes that a person may choose."""
        offered = {Outcome(name) for name in self.allows} | {Outcome.ANSWERED, Outcome.TIMEOUT, Outcome.ERROR, Outcome.WITHDRAWN}
        return frozenset(offered - ({Outcome.TIE, Outcome.ALL_BAD} if self.kind not in (Kind.COMPARE, Kind.RANK) else set()))


@dataclass(frozen=True)
class Person(Record):
    """Hold somebody who is asked, or who runs the study.

    Args:
        handle: the name that stands in the log, such as "rater-3".
        role: "rater", or "owner" who runs the study.
    """

    name: ClassVar[str] = "person"
    handle: str
    role: str = "rater"

    def __post_init__(self) -> None:
        _check_text(self, "handle")
        if not self.handle.strip() or len(self.handle) > 100 or not self.handle.isprintable():
            raise RecordError(f"a person's handle has 1 to 100 characters that can be printed, got {self.handle!r}")
        if self.role not in ("rater", "owner"):
            raise RecordError(f'the role of a person is "rater" or "owner", got {self.role!r}')

    @cached_property
    def id(self) -> str:
        """Return a hash of the handle, which is one person's."""
        return digest(self.name, {"handle": self.handle})


@dataclass(frozen=True)
class Lease(Record):
    """Hold one showing of a question to a person.

    Args:
        question, person: their ids. session: of the page or the terminal.
        order: ids of the passages as they were shown, first to last.
        interface: where. issued, expires: seconds since 1970 (UTC).
        attempt: how many times this question was shown to this person before.
    """

    name: ClassVar[str] = "lease"
    question: str
    person: str
    order: tuple[str, ...]
    interface: Interface
    issued: float
    expires: float
    attempt: int = 0
    session: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interface", _member(Interface, self.interface, "interface"))
        for name in ("question", "person"):
            _check_id(self, name, getattr(self, name))
        _check_text(self, "session")
        _check_texts(self, "order")
        _check_number(self, "issued")
        _check_number(self, "expires")
        _check_number(self, "attempt", whole=True, bound=LARGEST_WHOLE)

    @cached_property
    def id(self) -> str:
        """Return a hash of question, person and attempt."""
        return digest(self.name, {"question": self.question, "person": self.person, "attempt": self.attempt})


@dataclass(frozen=True)
class Answer(Record):
    """Hold what a person said.

    Args:
        question, person, lease: their ids.
        key: made by the client; the same key from the same person is the same answer.
        outcome: see `Outcome`. payload: what was said, by the question's kind (see `payloads`); empty where the outcome says it all.
        given: seconds since 1970 (UTC). seconds: from showing to answer; None = not measured.
        confidence: 0 to 1, as stated by the person or the channel; None = not stated.
        comment: in words. reason: of a skip.
        artefact: name of the kept raw file, such as a recording.
        supersedes: id of the answer that this one takes the place of.
    """

    name: ClassVar[str] = "answer"
    question: str
    person: str
    lease: str
    key: str
    outcome: Outcome
    given: float
    payload: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    confidence: float | None = None
    comment: str = ""
    reason: str = ""
    artefact: str = ""
    supersedes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", _member(Outcome, self.outcome, "outcome"))
        for name in ("question", "person"):
            _check_id(self, name, getattr(self, name))
        for name in ("lease", "supersedes"):
            _check_id(self, name, getattr(self, name), may_be_empty=True)
        for name in ("key", "comment", "reason", "artefact"):
            _check_text(self, name)
        if not 1 <= len(self.key) <= 100:
            raise RecordError(f"an answer's key has 1 to 100 characters, got {len(self.key)}")
        _check_number(self, "given")
        if self.seconds is not None:
            _check_number(self, "seconds")
        if self.confidence is not None:
            _check_number(self, "confidence")
            if not 0 <= self.confidence <= 1:
                raise RecordError(f"confidence must be between 0 and 1, or None, got {self.confidence!r}")
        _check_object(self, "payload")
        if len(self.comment) > LONGEST_WORDS:
            raise RecordError(f"a comment has at most {LONGEST_WORDS} characters, got {len(self.comment)}")

    @cached_property
    def id(self) -> str:
        """Return a hash of person and key."""
        return digest(self.name, {"person": self.person, "key": self.key})


@dataclass(frozen=True)
class Closing(Record):
    """Hold that a question is no longer asked.

    Args:
        question: its id. reason: such as "cancelled". at: seconds since 1970 (UTC).
    """

    name: ClassVar[str] = "closing"
    question: str
    reason: str
    at: float

    def __post_init__(self) -> None:
        _check_id(self, "question", self.question)
        _check_text(self, "reason")
        _check_number(self, "at")


@dataclass(frozen=True)
class Return(Record):
    """Hold that a person gave a question back without a word, by leaving.

    Args:
        lease: its id. at: seconds since 1970 (UTC).
    """

    name: ClassVar[str] = "return"
    lease: str
    at: float

    def __post_init__(self) -> None:
        _check_id(self, "lease", self.lease)
        _check_number(self, "at")


RECORDS: dict[str, type[Record]] = {each.name: each for each in (Passage, Question, Person, Lease, Answer, Closing, Return)}


def canonical(body: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal bodies have equal texts, 1 and 1.0 among them.

    Errors: RecordError for what JSON cannot hold: NaN, keys that are no text, half a character.
    """
    try:
        text = json.dumps(_even(body), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"a record must be plain JSON: {error}") from error
    return text


def digest(name: str, body: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits that stand for a record."""
    return hashlib.sha256(f"{name}\n{canonical(body)}".encode()).hexdigest()[:LONGEST_ID]


def _even(value: Any) -> Any:
    """Return a value in which a number has one form: whole where it is whole."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"the keys of an object must be text, got {list(value)!r}")
        return {key: _even(each) for key, each in value.items()}
    return [_even(each) for each in value] if isinstance(value, list | tuple) else value


Member = TypeVar("Member", bound=StrEnum)


def _member(kind: type[Member], value: Any, name: str) -> Member:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise RecordError(f"{name} must be one of {', '.join(kind)}, got {value!r}") from None


def _one(record: Record | type[Record]) -> str:
    return f"{'an' if record.name[0] in 'aeiou' else 'a'} {record.name}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_characters(record: Record, name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RecordError(f"{name} of {_one(record)} must be text, got {value!r}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RecordError(f"{name} of {_one(record)} holds half a character (a lone surrogate): {value[:60]!r}") from None


def _check_text(record: Record, name: str) -> None:
    _check_characters(record, name, getattr(record, name))


def _check_texts(record: Record, name: str) -> None:
    value = getattr(record, name)
    if not isinstance(value, tuple):
        raise RecordError(f"{name} of {_one(record)} must be several texts (a tuple; in JSON a list), got {value!r}")
    for each in value:
        _check_characters(record, name, each)


def _check_id(record: Record, name: str, value: Any, may_be_empty: bool = False) -> None:
    _check_characters(record, name, value)
    if not (0 if may_be_empty else 1) <= len(value) <= LONGEST_ID:
        raise RecordError(f"{name} of {_one(record)} must be an id of at most {LONGEST_ID} characters, got {value!r}")


def _check_number(record: Record, name: str, whole: bool = False, bound: float = 1e300) -> None:
    value = getattr(record, name)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not -bound <= value <= bound:
        raise RecordError(f"{name} of {_one(record)} must be a {'whole' if whole else 'finite'} number, got {value!r}")


def _check_object(record: Record, name: str) -> None:
    value = getattr(record, name)
    if not isinstance(value, dict):
        raise RecordError(f"{name} of {_one(record)} must be a JSON object, got {value!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.body()
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
