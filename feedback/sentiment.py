"""Judge how positive a text sounds, with the VADER lexicon and rules (Hutto & Gilbert 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode

Part = Literal["response", "text"]


class Sentiment(Source):
    """Score how positive a text sounds, from -1 (negative) to 1 (positive).

    score = s / sqrt(s^2 + 15), where s is the sum of the valences of the words (7,520 words and emoticons, each rated by ten
    people from -4 to 4), corrected for negation, intensifiers, capitals, "but" and exclamation marks; rounded to 4 digits.
    Source: Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text".

    Args:
        of: "response" judges what the agent wrote, "text" judges the prompt and the response together.

    A text without a word of the lexicon, the empty one included, scores 0. Each text is judged on its own.
    Cost: about 55 microseconds for 24 words; it grows with the square of the length, to about a second for 4,000 words.
    Gamed by: repeating praise ("great great great"), which reaches 0.99 in about ten words. It knows nothing of irony or of sense.
    """

    low: float = -1.0
    high: float = 1.0
    unit: str = "compound sentiment"

    def __init__(self, of: Part = "response") -> None:
        if of not in get_args(Part):
            raise ValueError(f'of must be "response" or "text", got {of!r}')
        self.of = of
        self._analyzer = _analyzer()  # here and not at import: a package that is listed reads no lexicon

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the compound sentiment of each episode."""
        judge = self._analyzer.polarity_scores
        return [float(judge(episode.text if self.of == "text" else episode.response)["compound"]) for episode in episodes]

    def __reduce__(self) -> tuple[type[Sentiment], tuple[Part]]:
        """Copy and pickle the arguments, not the lexicon."""
        return Sentiment, (self.of,)


@cache
def _analyzer() -> Any:
    """Load the lexicon once in a process; judging reads it only, so threads may share it."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
