"""Charge a response that the token budget cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback.source import Source
from text_env.episode import Ending

if TYPE_CHECKING:
    from text_env.episode import Episode


class Unfinished(Source):
    """Score -penalty where the token budget ended the response, 0 where an end token or a stop string did. Add it to another source.

    Args:
        penalty: what being cut off costs, at least 0, in the unit of the source that it is added to.

    The empty response is judged by its ending like any other.
    Gamed by: ending at once, which is never charged; combine with `LengthWindow`.
    """

    high: float = 0.0
    unit: str = "penalty"

    def __init__(self, penalty: float = 1.0) -> None:
        if not (math.isfinite(penalty) and penalty >= 0):
            raise ValueError(f"penalty must be a finite number of at least 0, got {penalty}; it is subtracted")
        self.penalty = float(penalty)
        self.low = -self.penalty

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return -penalty for each response that was cut off, else 0."""
        return [-self.penalty if episode.ending is Ending.LENGTH else 0.0 for episode in episodes]
