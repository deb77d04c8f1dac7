"""Judge how much of a response is copied from its prompt, by n-grams (novel n-grams: See et al. 2017) or by its longest run.

Left out: copying of what is reordered or rephrased, and the fragments of Grusky et al. 2018, which these two bracket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from feedback.source import Source
from feedback.words import words
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode, Prompt

Measure = Literal["n-grams", "longest run"]
Gram = Literal["words", "tokens"]
Unit = str | int


class Copying(Source):
    """Score the share of a response that stands in its prompt word for word, from 0 (all is new) to 1. Subtract it.

    "n-grams":      score = (n-grams of the response that stand in the prompt) / (n-grams of the response)
    "longest run":  score = (words of the longest run that also stands in the prompt) / (words of the response)

    1 - score of the n-grams is the share of novel n-grams of See et al. 2017, "Get To The Point: Summarization with Pointer-Generator
    Networks". `parts` holds the length of the longest run.

    Args:
        measure: "n-grams" or "longest run".
        n: length of the n-grams; the runs have no such bound.
        of: "words" (in lower case, without punctuation) or "tokens" (the ids; for scripts without spaces).

    A response with fewer than n words has no n-gram, copies none and scores 0, the empty one too.
    Cost: about 0.3 ms for a prompt of 100 words and a response of 30; it grows with the sum of both lengths times a logarithm.
    Gamed by: a changed word every n words; responses shorter than n words. What the prompt asks to repeat is charged as well.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share copied"

    def __init__(self, measure: Measure = "n-grams", n: int = 3, of: Gram = "words") -> None:
        if measure not in get_args(Measure):
            raise ValueError(f'measure must be "n-grams" or "longest run", got {measure!r}')
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if of not in get_args(Gram):
            raise ValueError(f'of must be "words" or "tokens", got {of!r}')
        self.measure = measure
        self.n = n
        self.of = of

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return how much of each response is copied, with the length of the longest run."""
        sources: dict[Prompt, list[Unit]] = {}  # many episodes of a batch share a prompt
        for episode in episodes:
            if episode.prompt not in sources:
                sources[episode.prompt] = words(episode.prompt.text) if self.of == "words" else episode.prompt.ids.tolist()  # type: ignore[assignment]
        return [self._judged(episode, sources[episode.prompt]) for episode in episodes]

    def _judged(self, episode: Episode, source: list[Unit]) -> Judgement:
        written: Sequence[Unit] = words(episode.response) if self.of == "words" else episode.ids[episode.is_action].tolist()
        longest = _longest_run(source, written)
        share_in_run = longest / len(written) if written else 0.0
        score = share_in_run if self.measure == "longest run" else _share_copied(source, written, self.n)
        return Judgement(score, rater="Copying", parts={"longest run": float(longest)})


def _grams(units: Sequence[Unit], n: int) -> list[tuple[Unit, ...]]:
    return [tuple(units[start : start + n]) for start in range(len(units) - n + 1)]


def _share_copied(source: Sequence[Unit], written: Sequence[Unit], n: int) -> float:
    grams, known = _grams(written, n), set(_grams(source, n))
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def _longest_run(source: Sequence[Unit], written: Sequence[Unit]) -> int:
    """Return the length of the longest run of both, by bisection: where a run of n is common, so are those of n - 1."""
    certain, too_long = 0, min(len(source), len(written)) + 1
    while too_long - certain > 1:
        middle = (certain + too_long) // 2
        if set(_grams(source, middle)).isdisjoint(_grams(written, middle)):
            too_long = middle
        else:
            certain = middle
    return certain
