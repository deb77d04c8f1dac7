"""Cut a critique into clauses of words that the rules can look up."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

PAUSE = ","  # stands for every sign inside a clause, over which no negation reaches

_TOKEN = re.compile(
    r"(?P<word>[^\W_]+(?:['\u2019][^\W_]+)*)|(?P<end>[.!?\u2026\u3002]+(?=[\s\"')\]*_]|$)|[!?]+|\n)|(?P<pause>[.,;:()]|\s[-\u2013\u2014]+\s|\u2014)"
)
_LONG_DRAWN = re.compile(r"(.)\1{2,}")
_LEFT_OUT = frozenset(("a", "an", "the", "my", "our", "your", "its", "their", "his", "her", "any", "some", "whole", "entire"))
_WHOLE = {"never": ("not",), "cannot": ("can", "not"), "ca": ("can",), "wo": ("will",)}
_WHOLE |= {word + "nt": (word, "not") for word in ("do", "does", "did", "is", "was", "are", "would", "could", "should", "has", "have")}
_WHOLE |= {"cant": ("can", "not"), "wont": ("will", "not"), "ain": ("is",)}
_PAIRS = {("kind", "of"): "kinda", ("sort", "of"): "sorta", ("far", "from"): "farfrom", ("anything", "but"): "anythingbut"}
_PAIRS |= {("free", "of"): "no", ("free", "from"): "no", ("nor", "not"): "nor"}
_PAIRS |= {("if", "only"): "wish", ("instead", "of"): "not", ("rather", "than"): "not", ("no", "longer"): "not"}


class Word(NamedTuple):
    """Hold a word as it is looked up, where it stands in the text, and whether it is in capitals or drawn out ("sooo")."""

    norm: str
    start: int
    end: int
    is_loud: bool = False


class Clause(NamedTuple):
    """Hold the words of a clause, what starts it, and how its sentence ends.

    Args:
        link: the word of contrast or concession before it, such as "but"; "" where a sentence begins.
        ending: signs at the end of the sentence, such as "!!".
        sentence: number of the sentence, from 0.
    """

    words: tuple[Word, ...]
    link: str
    ending: str
    sentence: int


def split_clauses(text: str, links: frozenset[str], short_links: frozenset[str], is_known: Callable[[str], bool]) -> list[Clause]:
    """Return the clauses of a text; time grows linearly with its length.

    Args:
        links: words that start a clause of their own. short_links: those whose clause ends at the next comma ("although").
        is_known: whether a word is in the lexicon; decides how a drawn-out word is spelt ("goood", "sooo").
    """
    clauses: list[Clause] = []
    is_shouted = text.isupper()  # then capitals say nothing
    parts: list[tuple[str, list[Word]]] = [("", [])]
    sentence = 0
    for match in _TOKEN.finditer(text):
        if match["word"]:
            for word in _read(match, is_known, is_shouted):
                words = parts[-1][1]
                pair = _PAIRS.get((words[-1].norm, word.norm)) if words else None
                if pair is not None:
                    words[-1] = Word(pair, words[-1].start, word.end, words[-1].is_loud or word.is_loud)
                elif word.norm in links:
                    parts.append((word.norm, []))
                else:
                    words.append(word)
        elif match["end"]:
            clauses += [Clause(tuple(words), link, match[0], sentence) for link, words in parts if words]
            parts = [("", [])]
            sentence += 1
        elif parts[-1][0] in short_links:
            parts.append(("", []))
        elif parts[-1][1]:
            parts[-1][1].append(Word(PAUSE, match.start(), match.end()))
    return clauses + [Clause(tuple(words), link, "", sentence) for link, words in parts if words]


@cache
def phrase(text: str) -> tuple[str, ...]:
    """Return the words of a phrase as `split_clauses` would write them."""
    return tuple(
        word.norm for clause in split_clauses(text, frozenset(), frozenset(), lambda _: True) for word in clause.words if word.norm != PAUSE
    )


def _read(match: re.Match[str], is_known: Callable[[str], bool], is_shouted: bool) -> list[Word]:
    """Return what a word of the text is looked up as: none, one, or two as for "isn't"."""
    raw = match[0]
    is_loud = raw.isupper() and len(raw) > 2 and not is_shouted
    norm = raw.casefold().replace("\u2019", "'")
    if _LONG_DRAWN.search(norm) and not norm.isdigit():
        is_loud = True
        double, single = _LONG_DRAWN.sub(r"\1\1", norm), _LONG_DRAWN.sub(r"\1", norm)
        norm = double if is_known(double) or not is_known(single) else single
    stem, apostrophe, rest = norm.partition("'")
    norms = [*_WHOLE.get(stem, (stem,))]
    if apostrophe and rest == "t" and stem.endswith("n"):
        norms = [*_WHOLE.get(stem[:-1], (stem[:-1],)), "not"]
    elif rest == "d":
        norms.append("would")
    return [Word(each, match.start(), match.end(), is_loud) for each in norms if each not in _LEFT_OUT]
