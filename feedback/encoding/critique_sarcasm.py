"""Catch the sarcasm that shows in the words: praise that the same critique takes back. What needs knowledge of the world is not caught."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from feedback.encoding import critique_lexicon as lexicon
from feedback.encoding.critique_emoji import find_sarcastic_sign
from feedback.encoding.critique_opinions import Opinion
from feedback.encoding.critique_words import PAUSE, Clause, phrase

Judged = tuple[Clause, Sequence[Opinion]]
STRONG_PRAISE = 0.7
FAILURE = -0.45
MOST_WORDS = 4  # between praise and what it praises: "nice job of completely ignoring"
OPENERS = frozenset(("oh", "wow", "just", "yeah", "gee", "ah"))
_SIGNED = re.compile(r"(?:^|\s)/s\b")


def find_sarcasm(text: str, judged: Sequence[Judged]) -> str:
    """Return what shows that the praise in a text is meant the other way round, "" where nothing does.

    It is, in this order: "/s"; a sign like rolling eyes beside praise; a set phrase ("thanks for nothing"); praise of a failure in one
    breath ("nice job ignoring the question"); praise that is doubled or begins with "oh" or "wow", and short strong praise alone, before a
    sentence that only blames ("Great, just great. It ignored the question.").

    Args:
        judged: the clauses of the text with the opinions in each, in its order.
    """
    signed = _SIGNED.search(text)
    if signed:
        return signed[0].strip()
    has_praise = any(opinion.value > 0 for _, opinions in judged for opinion in opinions)
    sign = find_sarcastic_sign(text)
    if sign and has_praise:
        return sign
    said = _set_phrase(judged)
    if said or not has_praise:
        return said
    for clause, opinions in judged:
        praised = _praised_failure(clause, opinions, text) or _opened_praise(clause, opinions, text)
        if praised:
            return praised
    return _praise_before_failure(judged, text)


def _set_phrase(judged: Sequence[Judged]) -> str:
    for clause, _ in judged:
        norms = [word.norm for word in clause.words if word.norm != PAUSE]
        for start in range(len(norms)):
            for cue in _cues().get(norms[start], ()):
                if tuple(norms[start : start + len(cue)]) == cue:
                    return " ".join(cue)
    return ""


def _praised_failure(clause: Clause, opinions: Sequence[Opinion], text: str) -> str:
    """Return praise whose object is a failure: "love how it never gets to the point"."""
    for praise, blame in pairwise(opinions):
        between = [word.norm for word in clause.words[praise.last : blame.first]]
        praising = {word.norm for word in clause.words[praise.first : praise.last]}
        is_linked = bool(lexicon.PRAISE_CONNECTORS & praising.union(between[:1]))
        is_general = praise.value > 0 and praise.aspect == "overall" and praise.is_own
        if is_general and blame.value < 0 and is_linked and PAUSE not in between and len(between) <= MOST_WORDS:
            return text[praise.start : blame.end]
    return ""


def _praise_before_failure(judged: Sequence[Judged], text: str) -> str:
    """Return praise without an object that stands before blame without praise."""
    for number, (clause, opinions) in enumerate(judged[:-1]):
        following, blames = judged[number + 1]
        is_praise_alone = bool(opinions) and all(_is_empty_praise(opinion) for opinion in opinions) and _only_praises(clause, opinions)
        has_failed = bool(blames) and all(blame.value <= FAILURE for blame in blames)
        if is_praise_alone and has_failed and following.sentence == clause.sentence + 1 and not following.link:
            return text[opinions[0].start : opinions[-1].end]
    return ""


def _opened_praise(clause: Clause, opinions: Sequence[Opinion], text: str) -> str:
    """Return strong praise that is called out before blame: "oh great, the same again", "great, another error"."""
    if not opinions or opinions[0].value < STRONG_PRAISE or all(each.value >= 0 for each in opinions):
        return ""
    norms = [word.norm for word in clause.words]
    is_called = norms[0] in OPENERS and opinions[0].first <= 2
    is_called |= opinions[0].first == 0 and norms[opinions[0].last : opinions[0].last + 2] == [PAUSE, "another"]
    return text[clause.words[0].start : opinions[0].end] if is_called else ""


def _is_empty_praise(opinion: Opinion) -> bool:
    return opinion.aspect == "overall" and opinion.value >= STRONG_PRAISE and not opinion.negator


def _only_praises(clause: Clause, opinions: Sequence[Opinion]) -> bool:
    """Return whether a clause has hardly a word beside its praise, which therefore praises nothing in particular."""
    judging = sum(opinion.last - opinion.first for opinion in opinions)
    return sum(word.norm not in OPENERS and word.norm != PAUSE for word in clause.words) - judging <= 0


@cache
def _cues() -> dict[str, list[tuple[str, ...]]]:
    """Return the set phrases by their first word."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for text in lexicon.SARCASTIC_CUES.split(","):
        cue = phrase(text)
        table.setdefault(cue[0], []).append(cue)
    return table
