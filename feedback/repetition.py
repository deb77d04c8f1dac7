"""Judge how much a response repeats itself, by its n-grams (distinct-n: Li et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from feedback.source import Source
from feedback.words import words

if TYPE_CHECKING:
    from text_env.episode import Episode

Gram = Literal["words", "tokens"]


class DistinctNGrams(Source):
    """Score the share of a response's n-grams that are distinct: 1 where nothing is repeated, towards 0 where all is.

    score = (number of distinct n-grams) / (number of n-grams)
    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models" (distinct-n, there over a
    corpus; here within one response).

    Args:
        n: length of the n-grams.
        of: "words" (in lower case, without punctuation) or "tokens" (the ids; for scripts without spaces).

    A response with fewer than n words has no n-gram, repeats nothing and scores 1, the empty one too.
    Gamed by: very short responses and rare or made-up words. Long texts score lower whatever their quality: combine with `LengthWindow`.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share distinct"

    def __init__(self, n: int = 2, of: Gram = "words") -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if of not in get_args(Gram):
            raise ValueError(f'of must be "words" or "tokens", got {of!r}')
        self.n = n
        self.of = of

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the share of distinct n-grams of each response."""
        return [_distinct_share(_units(episode, self.of), self.n) for episode in episodes]


class Repetition(Source):
    """Score the share of a response's n-grams that are repeats, from 0 (none) towards 1: the penalty view of `DistinctNGrams`.

    score = 1 - (number of distinct n-grams) / (number of n-grams). Subtract it: `Sentiment() - 0.2 * Repetition()`.
    Arguments and edges are those of `DistinctNGrams`; a response with fewer than n words, the empty one too, scores 0.
    Gamed by: what games `DistinctNGrams`.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share repeated"

    def __init__(self, n: int = 2, of: Gram = "words") -> None:
        self._distinct = DistinctNGrams(n, of)
        self.n = n
        self.of = of

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the share of repeated n-grams of each response."""
        return [1.0 - share for share in self._distinct(episodes)]


def _units(episode: Episode, of: Gram) -> Sequence[object]:
    return words(episode.response) if of == "words" else episode.ids[episode.is_action].tolist()


def _distinct_share(units: Sequence[object], n: int) -> float:
    count = len(units) - n + 1
    if count < 1:
        return 1.0
    return len({tuple(units[start : start + n]) for start in range(count)}) / count
