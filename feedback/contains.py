"""Judge whether a response contains given words or matches a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode


class Contains(Source):
    """Score the share of the given words that occur in the response, from 0 to 1.

    score = (number of words that occur at least once) / (number of words)

    Args:
        words: what to look for; phrases are allowed. One string counts as one word. For "any of these", use `Matches("cat|dog")`.
        whole_words: True finds "cat" in "a cat." but not in "concatenate"; False finds it in both.
        ignore_case: True compares without regard to upper and lower case.

    An empty response contains nothing and scores 0.
    Gamed by: a bare list of the words; how often they occur and whether they make sense is not judged.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share of the words found"

    def __init__(self, words: str | Sequence[str], whole_words: bool = True, ignore_case: bool = True) -> None:
        self.words = (words,) if isinstance(words, str) else tuple(words)
        self.whole_words = whole_words
        self.ignore_case = ignore_case
        if not self.words:
            raise ValueError("words must name at least one word, got none")
        for word in self.words:
            if not isinstance(word, str) or not word.strip():
                raise ValueError(f"words must be non-empty strings, got {word!r}")
        # lookarounds, not \b: a word may begin or end with a sign, as "C++" does
        edges = (r"(?<!\w)", r"(?!\w)") if whole_words else ("", "")
        flags = re.IGNORECASE if ignore_case else re.NOFLAG
        self._patterns = [re.compile(edges[0] + re.escape(word) + edges[1], flags) for word in self.words]

    @classmethod
    def example(cls) -> Contains:
        """Return one that looks for two words."""
        return cls(("cat", "dog"))

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the share of the words that each response contains."""
        return [sum(1 for pattern in self._patterns if pattern.search(episode.response)) / len(self._patterns) for episode in episodes]


class Matches(Source):
    """Score 1 if a regular expression matches somewhere in the response, else 0.

    Args:
        pattern: Python's syntax, flags inside it: `(?i)` ignores case. `^...$` spans the response, `(?s)` lets a dot match line ends.

    The empty response is matched like any other: `^$` scores it 1.
    Gamed by: the shortest text that matches. A pattern with nested repetitions such as `(a+)+$` may take exponential time.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "1 if matched"

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern must be a regular expression, got {pattern!r}: {error}") from error
        self.pattern = pattern

    @classmethod
    def example(cls) -> Matches:
        """Return one that looks for either of two words."""
        return cls(r"(?i)\b(cat|dog)s?\b")

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return 1 for each response that the pattern matches, else 0."""
        return [float(self._pattern.search(episode.response) is not None) for episode in episodes]
