"""Read critiques by rules: a number, how sure it is, and the words that it rests on.

The order of the rules, each of which only sees what those before it left:
1. At most 20,000 characters are read, in Unicode's compatible form (NFKC).
2. An explicit rating ("7/10", "4 stars", "+1", "A-") is the value; of several the last one. Words then only fill the aspects.
3. A text of another alphabet, or with more foreign than English function words, has no opinion words. Its emoji count.
4. Clauses are cut at the ends of sentences and at "but" and "although". In each, the longest phrase of the lexicon is taken, then VADER's
   words. What stands before it modifies it, from right to left: "very", "a bit", "too", "less", "not", "could be", "the last one was".
5. Everyday matters ("a great lunch") and questions ("can it do good things?") are no opinions about a text.
6. Praise that the text itself shows to be sarcastic is turned round.
7. All opinions and emoji are put together; without any, the rules abstain.

Left out: knowledge of the world (most sarcasm), what a question implies, spelling errors, and every language but English.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from feedback.encoding import critique_lexicon as lexicon
from feedback.encoding.critique_emoji import find_signs
from feedback.encoding.critique_language import EVERYDAY, is_foreign, is_question
from feedback.encoding.critique_opinions import Opinion, is_known, opinions_in, strengthened
from feedback.encoding.critique_ratings import Rating, find_ratings
from feedback.encoding.critique_sarcasm import Judged, find_sarcasm
from feedback.encoding.critique_words import Clause, phrase, split_clauses
from feedback.encoding.encoded import Aspect, Encoded

MAX_CHARACTERS = 20_000
LINKS = lexicon.AFTER_CONTRAST | lexicon.CONCESSIONS
AFTER_CONTRAST, BEFORE_CONTRAST, CONCESSION, VERDICT, FIRST_IMPRESSION = 1.3, 0.75, 0.7, 1.5, 0.5
HEDGED = 0.75
MOST_QUOTES = 5
NEAR = 5  # words from a general opinion to the noun that says what it is about
STRONGEST = 0.97  # a single word is never the last one: praise can be taken back
_ADDRESS = re.compile(r"\b(?:https?://|www\.)\S+")
CERTAINTY = {"rating": 0.95, "sign": 0.8, "own": 0.75, "vader": 0.4}


class Evidence(NamedTuple):
    """Hold one piece of evidence: what it is about, its value from -1 to 1, its weight, its words and where they stand, and its kind."""

    aspect: str
    value: float
    weight: float
    quote: str
    start: int
    kind: str


class CritiqueRules:
    """Encode critiques by rules (the module says which, and in which order).

    With p = sum of -w ln(1 - v) over praise of value v and weight w, and n likewise over blame:

    value = (p - n) / (p + n) * (1 - exp(-p - n))

    so one opinion has its own value, several of the same direction add up without leaving [-1, 1], and the value never falls when praise
    grows stronger. An aspect's polarity is the first factor and its strength the second, over its own opinions.
    Confidence: 0.95 for a rating, 0.8 for emoji, 0.75 for the lexicon, 0.4 for words that only VADER knows; less where opinions
    contradict each other, after "I think" or "maybe", and for sarcasm. These figures order the rules; they are not calibrated.

    Cost: linear in the text up to 20,000 characters, constant beyond. The first call loads VADER's lexicon.
    Gamed by: any praise, true or not.
    """

    name = "critique_rules"

    def __call__(self, text: str) -> Encoded:
        """Return what one critique says; never raises on a string.

        Errors: TypeError for anything else.
        """
        if not isinstance(text, str):
            raise TypeError(f"a critique must be a string, got {type(text).__name__}: leave out the answers that have no text")
        whole = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()  # half of a character (a lone surrogate) becomes "?"
        read = _ADDRESS.sub(" ", unicodedata.normalize("NFKC", whole)[:MAX_CHARACTERS])
        cut = f"; read only the first {MAX_CHARACTERS:,} of {len(text):,} characters" if len(text) > MAX_CHARACTERS else ""
        ratings = find_ratings(read)
        clauses = split_clauses(read, LINKS, lexicon.CONCESSIONS, is_known)
        foreign = is_foreign(read, [word.norm for clause in clauses for word in clause.words])
        judged: list[Judged] = [] if foreign else [(clause, _about_text(clause, opinions_in(clause))) for clause in clauses]
        sarcasm = find_sarcasm(read, judged)
        evidence = sorted([*_signs(read, sarcasm), *_weighed(read, judged, sarcasm)], key=lambda piece: piece.start)
        aspects = _aspects(evidence)
        if ratings:
            return self._rated(ratings[-1], evidence, aspects, cut)
        if not evidence:
            reason = "not in English" if foreign else "no word, sign or rating that judges a text"
            return Encoded(None, 0.0, f"abstained: {reason}{cut}", self.name)
        polarity, strength = _put_together(evidence)
        confidence = max(CERTAINTY[piece.kind] for piece in evidence) * (0.4 + 0.6 * abs(polarity) if strength else 0.8)
        confidence *= (0.8 if _is_hedged(clauses) else 1.0) * (0.7 if sarcasm else 1.0)
        return Encoded(polarity * strength, confidence, f"{_explained(aspects, sarcasm)}{cut}", self.name, aspects)

    def encode_all(self, texts: Sequence[str]) -> list[Encoded]:
        """Return what each critique says; each is read on its own."""
        return [self(text) for text in texts]

    def _rated(self, rating: Rating, evidence: Sequence[Evidence], aspects: tuple[Aspect, ...], cut: str) -> Encoded:
        """Return an explicit rating; words that say the opposite cost confidence, not value."""
        polarity, strength = _put_together(evidence)
        words = f"; the words alone {polarity * strength:+.2f}" if evidence else ""
        confidence = CERTAINTY["rating"] * (0.85 if rating.value * polarity * strength < -0.1 else 1.0)
        return Encoded(rating.value, confidence, f'rating {rating.value:+.2f} ("{rating.text}"){words}{cut}', self.name, aspects)


def _about_text(clause: Clause, opinions: Sequence[Opinion]) -> list[Opinion]:
    """Return the opinions of a clause that can be about a text."""
    norms = [word.norm for word in clause.words]
    is_elsewhere = EVERYDAY.intersection(norms) and not lexicon.TEXTS.intersection(norms)
    if (is_elsewhere or is_question(norms, clause.ending)) and all(each.aspect == "overall" for each in opinions):
        return []
    return list(opinions)


def _side(opinion: Opinion, clause: Clause) -> str:
    """Return what an opinion is about; for a general one the side of the text that the nearest noun names, if one is near."""
    if opinion.aspect != "overall":
        return opinion.aspect
    near = range(max(opinion.first - NEAR, 0), min(opinion.last + NEAR, len(clause.words)))
    nouns = [number for number in near if clause.words[number].norm in _noun_aspects()]
    nearest = min(nouns, key=lambda number: abs(number - opinion.first), default=None)
    return "overall" if nearest is None else _noun_aspects()[clause.words[nearest].norm]


@cache
def _noun_aspects() -> dict[str, str]:
    return {noun: aspect for aspect, nouns in lexicon.ASPECT_NOUNS.items() for noun in nouns.split()}


def _signs(text: str, sarcasm: str) -> list[Evidence]:
    """Return the emoji of a text as evidence; under sarcasm the happy ones say nothing."""
    signs = [sign for sign in find_signs(text) if not (sarcasm and sign.value > 0)]
    return [Evidence("overall", sign.value, 1.0, sign.text, sign.start, "sign") for sign in signs]


def _weighed(text: str, judged: Sequence[Judged], sarcasm: str) -> list[Evidence]:
    """Return the opinions of a text as evidence, praise turned round under sarcasm."""
    evidence = [Evidence("overall", -0.5, 1.0, sarcasm, 0, "own")] if sarcasm else []
    for number, (clause, opinions) in enumerate(judged):
        follows = [other for other, _ in judged[number + 1 : number + 2] if other.sentence == clause.sentence]
        weight = _weight(clause, bool(follows and follows[0].link in lexicon.AFTER_CONTRAST))
        power = 1.0 + 0.15 * min(clause.ending.count("!"), 3)
        power *= HEDGED if _is_hedged([clause]) else 1.0
        for each in opinions:
            value = strengthened(each.value, power)
            value = -0.8 * value if sarcasm and value > 0 else value
            kind = "own" if each.is_own else "vader"
            evidence.append(Evidence(_side(each, clause), value, weight, text[each.start : each.end], each.start, kind))
    return evidence


def _weight(clause: Clause, is_before_contrast: bool) -> float:
    norms = tuple(word.norm for word in clause.words[:4])
    weight = BEFORE_CONTRAST if is_before_contrast else 1.0
    if clause.link:
        weight *= AFTER_CONTRAST if clause.link in lexicon.AFTER_CONTRAST else CONCESSION
    if any(norms[: len(start)] == start for start in map(phrase, lexicon.FIRST_IMPRESSIONS)):
        weight *= FIRST_IMPRESSION
    if any(norms[: len(start)] == start for start in map(phrase, lexicon.VERDICTS)):
        weight *= VERDICT
    return weight


def _is_hedged(clauses: Sequence[Clause]) -> bool:
    return any(word.norm in lexicon.CLAUSE_HEDGES for clause in clauses for word in clause.words)


def _put_together(evidence: Sequence[Evidence]) -> tuple[float, float]:
    """Return the polarity (-1 to 1) and the strength (0 to 1) of some evidence; their product is its value."""
    praise = -sum(piece.weight * math.log1p(-min(piece.value, STRONGEST)) for piece in evidence if piece.value > 0)
    blame = -sum(piece.weight * math.log1p(-min(-piece.value, STRONGEST)) for piece in evidence if piece.value < 0)
    total = praise + blame
    return ((praise - blame) / total, -math.expm1(-total)) if total else (0.0, 0.0)


def _aspects(evidence: Sequence[Evidence]) -> tuple[Aspect, ...]:
    """Return what is said about each side of the text, in the order of the lexicon."""
    aspects = []
    for name in lexicon.OPINIONS:
        pieces = [piece for piece in evidence if piece.aspect == name]
        if pieces:
            polarity, strength = _put_together(pieces)
            certainty = max(CERTAINTY[piece.kind] for piece in pieces)
            aspects.append(Aspect(name, polarity, strength, certainty, tuple(piece.quote for piece in pieces)))
    return tuple(aspects)


def _explained(aspects: Sequence[Aspect], sarcasm: str) -> str:
    parts = []
    for aspect in aspects:
        quotes = ", ".join(f'"{word}"' for word in aspect.words[:MOST_QUOTES])
        more = f" and {len(aspect.words) - MOST_QUOTES} more" if len(aspect.words) > MOST_QUOTES else ""
        parts.append(f"{aspect.name} {aspect.polarity * aspect.strength:+.2f} ({quotes}{more})")
    return "; ".join(parts) + (f'; read as sarcasm because of "{sarcasm}"' if sarcasm else "")
