"""Write a feedback source: an object with a scale that is called with finished episodes."""

from collections.abc import Sequence

from feedback import Source
from text_env import Episode


class ShortWords(Source):
    """Score short words higher: 1 for words of one letter, 0 for words of ten or more."""

    low, high, unit = 0.0, 1.0, "shortness"

    def __call__(self, episodes: Sequence[Episode]) -> list[float | None]:
        """Return one score per episode, in their order; None where there is no word to judge."""
        return [self._score(episode.response.split()) for episode in episodes]

    def _score(self, words: list[str]) -> float | None:
        if not words:
            return None
        mean_length = sum(map(len, words)) / len(words)
        return min(max((10 - mean_length) / 9, 0.0), 1.0)
