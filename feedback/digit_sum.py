"""Judge the digits of a response by their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode

DIGITS = "0123456789"


class DigitSum(Source):
    """Score how large the digits of a response are, from 0 to 1.

    score = (sum of the digits) / (9 * number of digits)

    Only the digits 0 to 9 count; a response without one, the empty one included, scores 0. Cost: microseconds.
    Gamed by: a single 9; without a constraint on the response it says nothing of how many digits there are.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "mean digit, in nines"

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return how large the digits of each response are."""
        found = [[int(letter) for letter in episode.response if letter in DIGITS] for episode in episodes]
        return [sum(digits) / (9 * len(digits)) if digits else 0.0 for digits in found]
