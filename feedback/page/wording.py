"""Prepare what models wrote for a page: control characters visible, words numbered, differences marked.

Nothing here makes HTML; the templates escape all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from feedback.study.records import Passage
from text_env.rendering import harmless

# Scripts without spaces between words are cut into characters.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\s\u3040-\u30ff\u3400-\u9fff]+")
_PIECE = re.compile(r"\s+|[^\s]+")
MOST_COMPARED = 3000  # words and gaps of one text; comparing takes time that grows with their product


@dataclass(frozen=True)
class Piece:
    """Hold a part of a text. Where `number` is given it is a word, else what lies between words; `differs` from the other text."""

    text: str
    number: int | None = None
    differs: bool = False


def shown(text: str) -> str:
    r"""Return a text as a page shows it: what a browser would obey or hide is visible, line ends are one character.

    >>> shown("a\r\nb\x00\u202e")
    'a\nb␀\\u202e'
    """
    return harmless(text.replace("\r\n", "\n"))


def judged(passage: Passage) -> tuple[str, str, str]:
    """Return what stands before the judged part, that part, and what stands behind it."""
    start, end = passage.judged or (0, len(passage.text))
    return shown(passage.text[:start]), shown(passage.text[start:end]), shown(passage.text[end:])


def words(passage: Passage) -> list[tuple[int, int]]:
    """Return first and last character (exclusive) of every word of the judged part."""
    start, end = passage.judged or (0, len(passage.text))
    return [found.span() for found in _WORD.finditer(passage.text, start, end)]


def numbered(passage: Passage) -> list[Piece]:
    """Return the judged part in words and what lies between them."""
    start, end = passage.judged or (0, len(passage.text))
    pieces, place = list[Piece](), start
    for number, (first, last) in enumerate(words(passage)):
        if place < first:
            pieces.append(Piece(shown(passage.text[place:first])))
        pieces.append(Piece(shown(passage.text[first:last]), number))
        place = last
    return [*pieces, Piece(shown(passage.text[place:end]))] if place < end else pieces


def differences(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts in pieces that say where they differ, word by word; very long texts are left whole.

    >>> [piece.text for piece in differences("a small dog", "a big dog")[0] if piece.differs]
    ['small']
    """
    left, right = _PIECE.findall(shown(one)), _PIECE.findall(shown(other))
    if max(len(left), len(right)) > MOST_COMPARED:
        return [Piece(shown(one))], [Piece(shown(other))]
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, first, last, start, end in SequenceMatcher(None, left, right).get_opcodes():
        for side, text in zip(sides, ("".join(left[first:last]), "".join(right[start:end])), strict=True):
            if text:
                side.append(Piece(text, differs=kind != "equal"))
    return sides


def excerpt(text: str, length: int = 160) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(shown(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
