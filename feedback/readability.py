"""Judge how easy a text is to read, by the lengths of its sentences and words (Flesch 1948; Kincaid et al. 1975).

Left out: a dictionary of pronunciations (syllables are counted by a rule) and of abbreviations ("Mr. Smith" ends a sentence).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from feedback.source import Source
from feedback.words import words
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s|$)|\n\s*\n")
VOWELS = re.compile(r"[aeiouy]+")
SILENT = re.compile(
    r"(?<=[^aeiouy])e$|(?<=[^aeiouytd])ed$|(?<=[^aeiouyscxzgh])es$"  # made, jumped, names
    r"|(?<=[aeiouy][^aeiouyl])e(?=(?:ly|ments?|ful|ness|less)$)|(?<=ic)a(?=lly$)"  # statement, basically
)
SPOKEN_END = re.compile(r"[^aeiouyl]le[ds]?$")  # table, handled
APART = re.compile(r"(?<![tscgx])i[ao]|[tcs]iat|(?<!q)ua[lt]|uou|iet|[lf]ier|creat|eo(?!u)|[aeiouy]ing|ism")  # via, create, being


class FleschReadingEase(Source):
    """Score how easy a response is to read, from 0 (very hard) to 100 (very easy).

    score = 206.835 - 1.015 (words / sentences) - 84.6 (syllables / words), held between 0 and 100

    90 and more is for children of eleven, 60 to 70 plain English, 30 and less for graduates. `parts` holds the lengths and the score before
    it was held. Words are those of `feedback.words`; sentences end with ".", "!", "?" or "…" before a space, and with an empty line; for
    syllables see `syllables`.
    Source: Flesch 1948, "A new readability yardstick".

    A response without a word, the empty one too, scores 0. English only: other languages have other constants.
    Cost: about 30 microseconds for 24 words.
    Gamed by: short words and full stops: "I am. I do. So it is." scores 100. It knows nothing of sense.
    """

    low: float = 0.0
    high: float = 100.0
    unit: str = "points of reading ease"

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the reading ease of each response."""
        return [self._judged(episode.response) for episode in episodes]

    def _judged(self, response: str) -> Judgement:
        lengths = mean_lengths(response)
        if lengths is None:
            return Judgement(self.low, rater="FleschReadingEase")
        ease = 206.835 - 1.015 * lengths[0] - 84.6 * lengths[1]
        return Judgement(min(max(ease, self.low), self.high), rater="FleschReadingEase", parts=_parts(lengths, "ease", ease))


class FleschKincaidGrade(Source):
    """Score the school year that a response is written for, from 0 (easy) to 18 (hard). Subtract it where easy is better.

    score = 0.39 (words / sentences) + 11.8 (syllables / words) - 15.59, held between 0 and 18

    Years are those of schools in the United States. Words, sentences, syllables and `parts` are those of `FleschReadingEase`.
    Source: Kincaid et al. 1975, "Derivation of new readability formulas for Navy enlisted personnel".

    It abstains where there is no word, as in the empty response: neither end of the scale would be right.
    Cost: about 30 microseconds for 24 words.
    Gamed by: one sentence without an end, or long words, upwards; "I am. I do." downwards.
    """

    low: float = 0.0
    high: float = 18.0
    unit: str = "school years"

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the grade of each response, None where it has no word."""
        return [self._judged(episode.response) for episode in episodes]

    def _judged(self, response: str) -> Judgement | None:
        lengths = mean_lengths(response)
        if lengths is None:
            return None
        grade = 0.39 * lengths[0] + 11.8 * lengths[1] - 15.59
        return Judgement(min(max(grade, self.low), self.high), rater="FleschKincaidGrade", parts=_parts(lengths, "grade", grade))


def mean_lengths(text: str) -> tuple[float, float] | None:
    """Return words per sentence and syllables per word, None for a text without words."""
    sentences = [found for piece in SENTENCE_END.split(text) if (found := words(piece))]
    if not sentences:
        return None
    count = sum(len(sentence) for sentence in sentences)
    return count / len(sentences), sum(syllables(word) for sentence in sentences for word in sentence) / count


@lru_cache(maxsize=16_384)
def syllables(word: str) -> int:
    """Count the syllables of an English word by a rule.

    One for each run of vowels (a, e, i, o, u, y; accents do not matter), and one more where vowels are spoken apart (`APART`); none for a
    silent "e", "es" or "ed" at the end, unless it stands behind a consonant and "l", and none for some inside; at least one. It agrees with
    the pronouncing dictionary of CMU about 91 % of its 117,000 words, many of them names, and about 97 % of the words of manuals.

    >>> [syllables(word) for word in ("table", "made", "wanted", "jumped", "nation", "being", "the", "3")]
    [2, 1, 2, 1, 2, 2, 1, 1]
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFD", word.casefold()) if letter.isalpha())
    spoken = plain if SPOKEN_END.search(plain) else SILENT.sub("", plain)
    return max(1, len(VOWELS.findall(spoken)) + len(APART.findall(spoken)))


def _parts(lengths: tuple[float, float], name: str, unclipped: float) -> dict[str, float]:
    return {"words per sentence": lengths[0], "syllables per word": lengths[1], name: unclipped}
