"""Judge a short answer by the words that it shares with references, as SQuAD does (Rajpurkar et al. 2016).

Left out: scripts without spaces, whose answers are one word a run; use `Chrf` there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from feedback.references import references_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

ARTICLES = {
    "en": ("a", "an", "the"),
    "fr": ("le", "la", "les", "l'", "un", "une", "des", "du"),
    "es": ("el", "la", "los", "las", "un", "una", "unos", "unas"),
    "de": ("der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines"),
}


class TokenF1(Source):
    """Score how many words a response shares with a reference, from 0 to 1, whatever their order.

    score = 2 P R / (P + R),   P = m / (words of the response),   R = m / (words of the reference)

    m counts the words that both have, each as often as the one that has it less often. Of several references the best one counts. `parts`
    holds precision and recall. Before, texts are put into lower case and into one form of each letter (Unicode's NFKC), then signs
    (Unicode's punctuation and symbols) and articles are taken out. For ASCII this is the normalisation of SQuAD's own script, which knows
    no other signs and articles: "3.14" is "314" there and here.
    Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1.

    Args:
        articles: "en", "fr", "es" or "de", or the words to take out; () = none. One that ends in an apostrophe, as "l'", is taken from the
            beginning of a word.

    Where nothing is left of one of both texts, the score is 1 if nothing is left of the other either, else 0: an empty response scores 0
    unless a reference is nothing but articles and signs. It abstains where the prompt has no references.
    Cost: about 30 microseconds for two texts of five words.
    Gamed by: a list of likely answers, of which each word that is right pays: two candidates of one word, one of them right, score 0.67.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "F1 of words"

    def __init__(self, articles: str | Sequence[str] = "en") -> None:
        if isinstance(articles, str) and articles not in ARTICLES:
            raise ValueError(f"articles must be one of {', '.join(ARTICLES)}, or a list of words, got {articles!r}")
        self.articles = articles if isinstance(articles, str) else tuple(articles)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the F1 of each response with precision and recall; None where its prompt has no references."""
        articles = ARTICLES[self.articles] if isinstance(self.articles, str) else self.articles
        return [
            _best(answer_words(episode.response, articles), [_kept_words(reference, articles) for reference in references])
            if (references := references_of(episode))
            else None
            for episode in episodes
        ]


def answer_words(answer: str, articles: tuple[str, ...] = ARTICLES["en"]) -> tuple[str, ...]:
    """Return what is compared of an answer: its words in lower case, without signs and articles.

    >>> answer_words("The  Café, l’été!")
    ('café', 'lété')
    >>> answer_words("L’été, les cafés", ARTICLES["fr"])
    ('été', 'cafés')
    """
    plain = unicodedata.normalize("NFKC", answer).casefold().replace("\u2019", "'")
    plain = _elided(articles).sub("", plain).translate(_SIGNS)
    return tuple(word for word in plain.split() if word not in articles)


class _Signs(dict[int, int | None]):
    """Take signs out by `str.translate`, looking each character up once."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PS" else code
        return self[code]


_SIGNS = _Signs()


@lru_cache(maxsize=64)
def _elided(articles: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds those articles that end in an apostrophe, in front of a word."""
    short = [re.escape(article) for article in articles if article.endswith("'")]
    return re.compile(rf"(?<!\w)(?:{'|'.join(short)})(?=\w)" if short else r"(?!)")


@lru_cache(maxsize=4096)
def _kept_words(reference: str, articles: tuple[str, ...]) -> tuple[str, ...]:
    return answer_words(reference, articles)


def _best(response: tuple[str, ...], references: Sequence[tuple[str, ...]]) -> Judgement:
    return max((_compared(response, reference) for reference in references), key=lambda judgement: judgement.score or 0.0)


def _compared(response: tuple[str, ...], reference: tuple[str, ...]) -> Judgement:
    if not response or not reference:
        precision = recall = float(response == reference)
    else:
        common = (Counter(response) & Counter(reference)).total()
        precision, recall = common / len(response), common / len(reference)
    score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Judgement(score, rater="TokenF1", parts={"precision": precision, "recall": recall})
