"""Say which words a question's answer can be spoken with, and what each of them means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from feedback.study.records import Kind, Outcome, Question, Scale

SPOKEN = frozenset({Kind.BINARY, Kind.RATE, Kind.COMPARE})  # kinds whose answer is a command
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
UNDO, YES, NO = "undo", "yes", "no"
BINARY = {
    "good": ("good", "it is good", "this is good", "yes", "thumbs up"),
    "bad": ("bad", "it is bad", "this is bad", "no", "thumbs down"),
}
COMPARE = {
    "a": ("first", "the first", "first is better", "the first is better", "the first one", "a is better"),
    "b": ("second", "the second", "second is better", "the second is better", "the second one", "b is better"),
}
OTHERS = {
    Outcome.TIE: ("equal", "they are equal", "equally good"),
    Outcome.ALL_BAD: ("both bad", "both are bad", "none is good"),
    Outcome.ABSTAIN: ("cannot say", "i cannot say", "i do not know"),
    Outcome.SKIP: ("skip", "skip this question"),
}
WORDS = re.compile(r"[a-z']+|-?\d+")


@dataclass(frozen=True)
class Commands:
    """Hold what can be said: for each meaning the phrases for it, in lower case. No phrase has two meanings."""

    phrases: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", MappingProxyType(dict(self.phrases)))
        said = [phrase for each in self.phrases.values() for phrase in each]
        if not said or not all(self.phrases.values()):
            raise ValueError(f"every meaning needs a phrase, got {dict(self.phrases)!r}")
        if twice := {phrase for phrase in said if said.count(phrase) > 1}:
            raise ValueError(f"a phrase has one meaning; {min(twice)!r} has several")
        if wrong := [phrase for phrase in said if normal(phrase) != phrase]:
            raise ValueError(f"a phrase is of words in lower case, got {wrong[0]!r}")

    @cached_property
    def meanings(self) -> Mapping[str, str]:
        """Return what each phrase means."""
        return MappingProxyType({phrase: meaning for meaning, each in self.phrases.items() for phrase in each})

    def meaning(self, text: str) -> str | None:
        """Return what a text means; None where it is not exactly one of the phrases."""
        return self.meanings.get(normal(text))

    def without(self, meaning: str) -> Commands | None:
        """Return what else can be said; None where that is nothing."""
        rest = {name: each for name, each in self.phrases.items() if name != meaning}
        return Commands(rest) if rest else None


def commands_for(question: Question) -> Commands | None:
    """Return what can be said to a question; None where its answer is no command.

    A meaning is the value of the page's button: a step, good, bad, a, b, tie, all_bad or abstain; beside these skip and undo.

    >>> commands_for(Question(Kind.COMPARE, ("x", "y"))).meaning("The second is better.")
    'b'
    """
    if question.kind not in SPOKEN:
        return None
    phrases: dict[str, tuple[str, ...]] = {**(BINARY if question.kind is Kind.BINARY else COMPARE)}
    if question.kind is Kind.RATE:
        assert question.scale is not None
        phrases = _ratings(question.scale)
    offered = {str(outcome): said for outcome, said in OTHERS.items() if outcome in question.allowed}
    taken = {phrase for said in phrases.values() for phrase in said}
    offered = {meaning: tuple(phrase for phrase in said if phrase not in taken) for meaning, said in offered.items()}
    return Commands(phrases | {meaning: said for meaning, said in offered.items() if said} | {UNDO: ("undo", "take that back")})


def _ratings(scale: Scale) -> dict[str, tuple[str, ...]]:
    steps = range(scale.low, scale.high + 1)
    worded = {step: normal(scale.word(step)) for step in steps}
    phrases = {}
    for step in steps:
        number, word = in_words(step), worded[step]
        said = [number, f"rating {number}"]
        if word and word not in said and list(worded.values()).count(word) == 1 and scale.word(step).isascii():
            said.append(word)
        phrases[str(step)] = tuple(said)
    numbers = {phrase: meaning for meaning, said in phrases.items() for phrase in said[:2]}
    return {step: tuple(phrase for phrase in said if numbers.get(phrase, step) == step) for step, said in phrases.items()}


def normal(text: str) -> str:
    """Return a text as phrases are written: lower case, without punctuation, numbers in words.

    >>> normal("I can't say: 42!")
    "i can't say forty two"
    """
    return " ".join(
        in_words(int(word)) if word.lstrip("-").isdigit() and len(word) < 6 else word for word in WORDS.findall(text.casefold())
    )


def in_words(number: int) -> str:
    """Return a whole number as it is said.

    >>> in_words(-21), in_words(100), in_words(2026)
    ('minus twenty one', 'one hundred', 'two thousand twenty six')
    """
    if number < 0:
        return f"minus {in_words(-number)}"
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            return f"{in_words(number // size)} {name}" + (f" {in_words(rest)}" if rest else "")
    if number < 20:
        return (*ONES, *TEENS)[number]
    return TENS[number // 10 - 2] + (f" {ONES[number % 10]}" if number % 10 else "")


CONFIRMATION = Commands({YES: ("yes", "yes that is right", "correct"), NO: ("no", "no that is wrong", "wrong", "again")})
