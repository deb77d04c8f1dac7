"""Find what a clause of a critique praises and blames, and how much, from the words and from those that change their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from feedback.encoding import critique_lexicon as lexicon
from feedback.encoding.critique_words import PAUSE, Clause, Word, phrase

BE = frozenset(("be", "been", "is", "are", "was", "were"))
MODALS = frozenset(("could", "should", "would", "might", "may", "must", "needs", "need", "can"))
OBLIGING = frozenset(("should", "must", "needs", "need"))
REFUSALS = frozenset((("no",), ("nope",), ("nah",), ("not", "really"), ("not", "quite"), ("not", "at", "all")))
NEGATING = lexicon.NEGATORS | lexicon.LACKS | lexicon.AVOIDS
MODIFYING = NEGATING | lexicon.WISHES | lexicon.CLAUSE_HEDGES | lexicon.INTENSIFIERS.keys() | lexicon.HEDGES.keys()
NEGATION_REACH = 4  # words without an opinion between a negation and what it negates
LOUD = 1.3  # capitals and drawn-out words strengthen like "much"
LONGEST_PHRASE = 5
TOO = -0.5  # "too ...", of something that is neither good nor bad
SUBJECT_ENDS = frozenset((PAUSE, "this", "it", "now"))  # what comes after them is no longer about another text
SUGGESTED = "suggested"


class Entry(NamedTuple):
    """Hold what the lexicon says of a phrase; value None: it looks like an opinion and is none."""

    aspect: str
    value: float | None
    is_comparative: bool = False
    is_own: bool = True  # not from VADER's lexicon


class Opinion(NamedTuple):
    """Hold one piece of praise or blame.

    Args:
        value: -1 to 1. start, end: characters of the text that say so, with what modifies it.
        first, last: numbers of the opinion's words in its clause, [first, last).
        negator: the word that negates it, "" where none does.
        is_own: False where only VADER's lexicon knows the word.
    """

    aspect: str
    value: float
    start: int
    end: int
    first: int
    last: int
    negator: str = ""
    is_own: bool = True


def strengthened(value: float, power: float) -> float:
    """Return the value with strength 1 - (1 - |value|)^power: bounded, stronger for a power above 1, weaker below, same sign."""
    strength = 1 - (1 - abs(value)) ** power
    return strength if value >= 0 else -strength


def is_known(word: str) -> bool:
    """Return whether the rules know a word, VADER's words included."""
    return word in _vocabulary() or word in _valences()


def opinions_in(clause: Clause) -> list[Opinion]:
    """Return the opinions of a clause in its order."""
    words = clause.words
    found: list[Opinion] = []
    at, floor = 0, 0
    while at < len(words):
        match = _match(words, at)
        if match is None:
            at += 1
            continue
        length, entry = match
        if entry.value is not None:
            opinion = _judged(words, at, length, floor, entry, found[-1] if found else None)
            if opinion is not None:
                found.append(opinion)
        if entry.value is not None or length > 1:
            floor = at + length
        at += length
    return sorted([*found, *_unsaid(words, found)], key=lambda opinion: opinion.first)


def _match(words: Sequence[Word], at: int) -> tuple[int, Entry] | None:
    """Return the longest phrase of the lexicon that begins at a word, with its number of words."""
    norm = words[at].norm
    if norm == PAUSE:
        return None
    norms = tuple(word.norm for word in words[at : at + LONGEST_PHRASE])
    for length in range(len(norms), 0, -1):
        entry = _phrases().get(norms[:length])
        if entry is not None and not (length == 1 and norm in lexicon.INTENSIFIERS and _begins_opinion(words, at + 1)):
            return length, entry
    following = norms[1] if len(norms) > 1 else PAUSE
    if norm == "too" and following != PAUSE and following not in MODALS:
        return _too_much(words, at)
    if norm in lexicon.PREFERRING and following in lexicon.OTHERS:
        return 2, Entry("overall", -0.5)
    if norm in _valences() and norm not in MODIFYING:
        return 1, Entry("overall", _valences()[norm], is_own=False)
    return None


def _begins_opinion(words: Sequence[Word], at: int) -> bool:
    """Return whether an opinion begins at a word or behind the intensifiers there; a long run of those counts as one."""
    end = at
    while end < min(at + LONGEST_PHRASE, len(words)) and words[end].norm in lexicon.INTENSIFIERS:
        end += 1
    if end == at + LONGEST_PHRASE or (end < len(words) and _match(words, end) is not None):
        return True
    return end > at and (words[end - 1].norm,) in _phrases()


def _too_much(words: Sequence[Word], at: int) -> tuple[int, Entry]:
    """Return what "too ..." says: blame, whatever it is too much of."""
    match = _match(words, at + 1) if words[at + 1].norm != "too" else None
    if match is None or match[1].value is None:
        return 2, Entry(_excesses().get(words[at + 1].norm, "overall"), TOO)
    length, entry = match
    value = entry.value or 0.0
    return length + 1, entry._replace(value=strengthened(value, 1.4) if value < 0 else TOO * 0.7)


def _judged(words: Sequence[Word], at: int, length: int, floor: int, entry: Entry, before: Opinion | None) -> Opinion | None:
    """Return the opinion that an entry becomes through the words around it; None where it is about another text."""
    window = _after_pause(words[floor:at])
    if before is not None and [word.norm for word in window] in (["or"], ["nor"]) and before.negator:
        window = [Word(before.negator, words[at].start, words[at].end), *window]  # "not clear or useful"
    assert entry.value is not None
    value, negator, is_comparative, used = _modified(entry, window, _if_follows(words, at + length))
    if any(word.is_loud for word in words[at : at + length]):
        value = strengthened(value, LOUD)
    last = at + length
    if negator and [word.norm for word in words[last : last + 2]] == ["at", "all"]:
        value, last = strengthened(value, 1.6), last + 2
    if _subject_is_another(words[max(at - 8, 0) : at]):
        if not is_comparative:
            return None
        value = value if _object_is_another(words[last : last + 5]) else -0.9 * value
    start = window[-used].start if used else words[at].start
    return Opinion(entry.aspect, value, start, words[last - 1].end, at, last, negator, entry.is_own)


def _modified(entry: Entry, window: Sequence[Word], has_if: bool) -> tuple[float, str, bool, int]:
    """Return a value after the words before it, read from right to left.

    Returns: the value, what negated it, whether it compares, and how many words back the first word is that matters.
    """
    assert entry.value is not None
    value, negator, is_comparative = entry.value, "", entry.is_comparative
    is_adjacent, has_be, has_been, distance, used = True, False, False, 0, 0
    for back, word in enumerate(reversed(window), start=1):
        norm = word.norm
        power = (lexicon.INTENSIFIERS.get(norm) or lexicon.HEDGES.get(norm)) if is_adjacent else None
        if power is not None:
            value = strengthened(value, power * (LOUD if word.is_loud else 1))
        elif norm in ("more", "less") and is_adjacent:
            is_comparative = True
            value = strengthened(value, 1.2) if norm == "more" else negated(value, "no")
        elif norm == "neither" and negator == "nor":
            pass  # one negation in two words
        elif norm in NEGATING and distance <= NEGATION_REACH:
            value, negator, is_adjacent = negated(value, norm), norm, True
        elif norm in lexicon.WISHES:
            value, negator = -0.4 if value > 0 else value, SUGGESTED
        elif norm in MODALS and has_be and not negator and entry.is_own:
            value, negator = _suggested(value, norm, is_comparative or has_been, has_if)
        else:
            is_adjacent, distance = False, distance + 1
            has_be, has_been = has_be or norm in BE, has_been or norm == "been"
            continue
        used = back
    return value, negator, is_comparative, used


def _suggested(value: float, modal: str, is_comparative: bool, has_if: bool) -> tuple[float, str]:
    """Return the value of what is said to be possible or due: "could be better" is blame, "could be useful" is faint praise."""
    if modal in OBLIGING or is_comparative or has_if:
        return (-(0.2 + 0.3 * value) if value > 0 else 0.2 if is_comparative else 0.7 * value), SUGGESTED
    return 0.6 * value, ""


def negated(value: float, negator: str) -> float:
    """Return the value of a negated opinion: milder than its opposite, and the milder, the more extreme it is ("not perfect").

    The absence of something bad ("no mistakes") is worth 0.5.
    """
    if value > 0:
        return -value * (1.25 - 0.9 * value)
    if value == 0:
        return -0.4  # "not okay"
    if negator in lexicon.ABSENCE or negator in lexicon.AVOIDS:
        return 0.5
    return -value * (0.9 + 0.6 * value)


def _unsaid(words: Sequence[Word], found: Sequence[Opinion]) -> Iterator[Opinion]:
    """Yield blame that no opinion word says: "no", "lacks an ending", "not long and detailed enough"."""
    norms = [word.norm for word in words]
    length = norms.index(PAUSE) if PAUSE in norms else len(norms)
    if tuple(norms[:length]) in REFUSALS:
        yield Opinion("overall", -0.5, words[0].start, words[length - 1].end, 0, length)
    negating = {(opinion.first - back, opinion.negator) for opinion in found for back in range(2 * NEGATION_REACH)}
    judged = {number for opinion in found for number in range(opinion.last, opinion.last + 3)}
    for at, norm in enumerate(norms):
        if norm in lexicon.LACKS and (at, norm) not in negating:
            yield Opinion("overall", -0.45, words[at].start, words[at].end, at, at + 1)
        if norm == "enough" and "not" in norms[max(at - 4, 0) : at] and at not in judged:
            start = norms.index("not", max(at - 4, 0))
            yield Opinion("overall", -0.4, words[start].start, words[at].end, start, at + 1)


def _after_pause(words: Sequence[Word]) -> list[Word]:
    """Return the words behind the last sign among them."""
    pauses = [number for number, word in enumerate(words) if word.norm == PAUSE]
    return list(words[pauses[-1] + 1 :] if pauses else words)[-2 * NEGATION_REACH :]


def _if_follows(words: Sequence[Word], at: int) -> bool:
    return any(word.norm == "if" for word in words[at : at + 3])


def _subject_is_another(words: Sequence[Word]) -> bool:
    """Return whether the words before an opinion are about another text, such as "the previous answer was"."""
    is_another = False
    for word, following in pairwise([*words, Word(PAUSE, 0, 0)]):
        if word.norm in lexicon.OTHERS and (following.norm in lexicon.TEXTS or following.norm in BE):
            is_another = True
        elif word.norm in SUBJECT_ENDS:
            is_another = False
    return is_another and not any(word.norm in ("than", "prefer", "like") for word in words)


def _object_is_another(words: Sequence[Word]) -> bool:
    norms = [word.norm for word in words]
    return "than" in norms and any(norm in lexicon.OTHERS for norm in norms)


@cache
def _phrases() -> dict[tuple[str, ...], Entry]:
    """Return the lexicon by its phrases."""
    table = {phrase(text): Entry("overall", None) for text in _listed(lexicon.NO_OPINION)}
    for is_comparative, kind in ((False, lexicon.OPINIONS), (True, lexicon.COMPARATIVES)):
        for aspect, by_value in kind.items():
            for value, texts in by_value.items():
                for text in _listed(texts):
                    table[phrase(text)] = Entry(aspect, value, is_comparative)
    return table


@cache
def _vocabulary() -> frozenset[str]:
    words = {word for known in _phrases() for word in known}
    return frozenset(words | MODIFYING)


@cache
def _excesses() -> dict[str, str]:
    return {word: aspect for aspect, words in lexicon.EXCESSES.items() for word in words.split()}


@cache
def _valences() -> dict[str, float]:
    """Return VADER's words with a valence from -1 to 1, without the weakest."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    valences = {word: valence / 4 for word, valence in SentimentIntensityAnalyzer().lexicon.items() if word.isalpha()}
    return {word: valence for word, valence in valences.items() if abs(valence) >= 0.2}


def _listed(texts: str) -> Iterable[str]:
    """Yield the phrases of a comma-separated list, verbs after "~" in their regular forms."""
    for text in texts.split(","):
        written = " ".join(text.split())
        if not written.startswith("~"):
            yield written
            continue
        verb, _, rest = written[1:].partition(" ")
        stem = verb[:-1] if verb.endswith("e") else verb
        stem = verb[:-1] + "i" if verb.endswith("y") and verb[-2] not in "aeo" else stem
        base = verb if verb.endswith(("e", "y")) else stem
        ending_s = "es" if verb.endswith(("s", "sh", "ch", "x")) or stem.endswith("i") else "s"
        third = stem + ending_s if stem.endswith("i") else base + ending_s
        for form in (verb, third, stem + "ed", (verb if verb.endswith("y") else stem) + "ing"):
            yield f"{form} {rest}".strip()
