"""Turn a regular expression, a JSON schema or a list of words into a finite automaton over bytes.

outlines-core compiles the expression (Willard & Louf 2023, "Efficient Guided Generation for Large Language Models") and writes a
JSON schema as one. It is given the 256 bytes as its vocabulary, not the tokens: over bytes the automaton is small, and what tokens do to
it is computed from it by arrays, see `constraint`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from text_env.episode import IntArray

MAX_STATES = 20_000
_ASCII = {"d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]", "s": r"[ \t\n\r\f\x0B]", "S": r"[^ \t\n\r\f\x0B]"}
_REPETITION = re.compile(r"\{\d+(,\d*)?\}")
# Keywords that the automaton keeps, and those that say nothing about the text.
_KEPT = {"type", "properties", "required", "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "enum", "const"}
_KEPT |= {"anyOf", "additionalProperties", "$ref", "$defs", "definitions"}
_SAY_NOTHING = {"$schema", "$id", "title", "description", "default", "examples"}


@dataclass(frozen=True, eq=False)
class Automaton:
    """Hold a deterministic automaton over bytes.

    Args:
        steps: [S + 1, 256], the state after each byte; S, the last one, is the state that nothing leads out of.
        is_final: [S + 1], whether the text so far is a whole one. start: the state of the empty text.
    """

    steps: IntArray
    is_final: np.ndarray[Any, np.dtype[np.bool_]]
    start: int


def automaton_of(expression: str, shown: str) -> Automaton:
    """Compile an expression in the syntax of Rust's regex crate, which must match the whole text.

    Args:
        shown: what to call it in messages.
    """
    try:
        from outlines_core import Index, Vocabulary
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'constraints on the text need outlines-core: pip install "textgen-gym[constraints]"', name=error.name
        ) from error
    end = 256
    try:
        # Without \z the first of several ways to match wins and the others are dropped: a|ab would lose ab. And a text that may be empty
        # has no start of its own beside \z, so a letter comes first, which is read here.
        index = Index(rf"a(?:{expression})\z", Vocabulary(end, {bytes([byte]): [byte] for byte in range(end)}))
    except ValueError as error:
        raise ValueError(
            f"{shown} cannot be compiled: {error}. Look-around, references to groups and word boundaries are not regular; "
            "a pattern that matches no text has no automaton"
        ) from error
    edges = {state: {byte: to for byte, to in row.items() if byte != end} for state, row in index.get_transitions().items()}
    start = edges.pop(index.get_initial_state())[ord("a")]
    finals = set(index.get_final_states())
    states = sorted({start, *edges, *finals, *(to for row in edges.values() for to in row.values())})
    if len(states) > MAX_STATES:
        raise ValueError(f"{shown} needs {len(states)} states, more than {MAX_STATES}: repeat less, or leave lengths open")
    number = {state: place for place, state in enumerate(states)}
    steps = np.full((len(states) + 1, 256), len(states), dtype=np.int64)
    for state, row in edges.items():
        steps[number[state], list(row)] = [number[to] for to in row.values()]
    is_final = np.asarray([state in finals for state in states] + [False])
    return Automaton(steps, is_final, number[start])


def rust_syntax(pattern: str) -> str:
    r"""Return a pattern of Python's `re` in the syntax of Rust's regex crate; `\d`, `\w` and `\s` mean ASCII, as under `re.ASCII`.

    Errors: ValueError for a pattern that `re` refuses, and for what is not regular or means something else there: groups that begin with
    `(?` other than `(?:` and `(?P<name>`, possessive repetition, and `\b`, `\A`, `\Z`.
    """
    if not isinstance(pattern, str):
        raise ValueError(f"pattern must be a regular expression as a text, got {pattern!r}")
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of sets in sets, which `re` may read otherwise one day
            re.compile(pattern, re.ASCII)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    out, place = [], 0
    while place < len(pattern):
        piece, place = _class(pattern, place) if pattern[place] == "[" else _outside(pattern, place)
        out.append(piece)
    return "".join(out)


def _outside(pattern: str, place: int) -> tuple[str, int]:
    """Return the piece that stands here outside a character class, and where the next one begins."""
    here = pattern[place]
    if here == "\\":
        return _escape(pattern, place), place + 2
    if here == "(" and pattern.startswith("(?", place) and not pattern.startswith(("(?:", "(?P<"), place):
        raise ValueError(
            f"pattern {pattern!r} has a group {pattern[place : place + 4]!r}: only (...), (?:...) and (?P<name>...) are regular"
        )
    if here in "^$":
        raise ValueError(f"pattern {pattern!r} has {here!r} at character {place}: the whole response is matched anyway, so leave it out")
    repetition = _REPETITION.match(pattern, place)
    if here in "*+?" or repetition:
        piece = repetition[0] if repetition else here
        if pattern.startswith("+", place + len(piece)):
            raise ValueError(f"pattern {pattern!r} has a possessive repetition {piece + '+'!r}: leave the second + out")
        return piece, place + len(piece)
    if here == "{":
        if re.match(r"\{,\d+\}", pattern[place:]):
            return "{0", place + 1
        return r"\{", place + 1
    return here, place + 1


def _class(pattern: str, place: int) -> tuple[str, int]:
    """Return the character class that begins here, and where it ends."""
    out, place = ["["], place + 1
    if pattern.startswith("^", place):
        out, place = ["[^"], place + 1
    begun = place
    while pattern[place] != "]" or place == begun:
        here = pattern[place]
        if here == "\\":
            out.append(_escape(pattern, place))
            place += 2
            continue
        out.append("\\" + here if here in "[]&~^" else here)  # Rust nests classes and has operators of sets
        place += 1
    return "".join([*out, "]"]), place + 1


def _escape(pattern: str, place: int) -> str:
    letter = pattern[place + 1]
    if letter in _ASCII:
        return _ASCII[letter]
    if letter in "bBAZN" or (letter.isdigit()):
        raise ValueError(f"pattern {pattern!r} has {pattern[place : place + 2]!r}, which is not regular or not supported: write it without")
    return r"\x0B" if letter == "v" else pattern[place : place + 2] if ord(letter) < 128 else letter


def schema_expression(schema: Any) -> str:
    """Return the expression of the JSON texts that a schema allows, with at most one space where JSON allows white space.

    Errors: ValueError for what is no schema, and for a keyword that the expression would not keep.
    """
    try:
        content = json.loads(schema) if isinstance(schema, str) else schema
        text = json.dumps(content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"json_schema must be a dictionary or its JSON text: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"json_schema must be a dictionary or its JSON text, got {schema!r}")
    _check_schema(content)
    try:
        from outlines_core.json_schema import build_regex_from_schema
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'constraints on the text need outlines-core: pip install "textgen-gym[constraints]"', name=error.name
        ) from error
    try:
        return str(build_regex_from_schema(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"json_schema {text} cannot be written as a regular expression: {error}") from error


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    unknown = sorted(set(schema) - _KEPT - _SAY_NOTHING)
    if unknown:
        raise ValueError(
            f"json_schema has keywords {unknown}, which would not be kept; kept are {', '.join(sorted(_KEPT))} "
            "(write a range of numbers as an enum, a pattern of a text by pattern=)"
        )
    for keyword in ("items", "additionalProperties"):
        _check_schema(schema.get(keyword))
    for keyword in ("properties", "$defs", "definitions"):
        for part in schema.get(keyword, {}).values():
            _check_schema(part)
    for keyword in ("anyOf", "prefixItems"):
        for part in schema.get(keyword, ()):
            _check_schema(part)


def word_list_pattern(words: Sequence[str]) -> str:
    """Return the pattern of texts out of these words, one space between two; a space may come first, as after a prompt.

    Errors: ValueError for a single text, no words, a word that is empty or has white space.
    """
    if isinstance(words, str):
        raise ValueError(f"word_list must be a list of words, got the text {words!r}: write word_list={words.split()!r}")
    if not words or any(not isinstance(word, str) or not word or any(letter.isspace() for letter in word) for word in words):
        raise ValueError(f"word_list must be words without white space, got {list(words)!r}")
    any_word = "|".join(re.escape(word) for word in sorted(set(words)))
    return f" ?(?:{any_word})(?: (?:{any_word}))*"
