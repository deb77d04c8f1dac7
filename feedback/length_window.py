"""Judge whether a response is as long as wished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from feedback.source import Source
from feedback.words import words
from text_env.episode import Ending

if TYPE_CHECKING:
    from text_env.episode import Episode

Measure = Literal["tokens", "words", "characters"]


class LengthWindow(Source):
    """Score 1 inside a window of lengths, falling linearly to 0 outside it.

    score = max(0, 1 - d / fade), where d is the distance of the length from the nearest edge of the window (0 inside)

    Args:
        shortest, longest: edges of the window, both inside it, in the measure's unit.
        measure: "tokens" counts those that the agent chose, without the end token; "words" and "characters" count the response's text
            (which is cut before a stop string).
        fade: distance outside the window at which the score reaches 0; 0 = a hard edge.

    The empty response has length 0 and is judged like any other.
    Gamed by: any text of the right length. Under "words", long runs without a space count as one word.
    """

    low: float = 0.0
    high: float = 1.0

    def __init__(self, shortest: int, longest: int, measure: Measure = "words", fade: int = 0) -> None:
        if not 0 <= shortest <= longest:
            raise ValueError(f"the window must satisfy 0 <= shortest <= longest, got {shortest} to {longest}")
        if measure not in get_args(Measure):
            raise ValueError(f"measure must be one of {', '.join(get_args(Measure))}, got {measure!r}")
        if fade < 0:
            raise ValueError(f"fade must be at least 0 {measure}, got {fade}")
        self.shortest = shortest
        self.longest = longest
        self.measure = measure
        self.fade = fade
        self.unit = f"1 inside {shortest} to {longest} {measure}"

    @classmethod
    def example(cls) -> LengthWindow:
        """Return a window of 5 to 20 words."""
        return cls(5, 20, fade=5)

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return how well each response's length fits the window."""
        return [self._fit(self._length(episode)) for episode in episodes]

    def _length(self, episode: Episode) -> int:
        if self.measure == "tokens":
            return int(episode.is_action.sum()) - (episode.ending is Ending.EOS)
        return len(words(episode.response)) if self.measure == "words" else len(episode.response)

    def _fit(self, length: int) -> float:
        distance = max(self.shortest - length, length - self.longest, 0)
        if distance == 0:
            return 1.0
        return max(0.0, 1.0 - distance / self.fade) if self.fade else 0.0
