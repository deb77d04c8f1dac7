"""Judge how far a JSON response agrees with a JSON reference, field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode


class JsonFields(Source):
    """Score the share of a reference's fields that the response's JSON object has, from 0 to 1; the best of several references counts.

    score = mean over the reference's fields of s,   s = |a and b| / |a or b| for two lists (as sets), else 1 if a = b, and 0 if not

    References are JSON objects as texts; nothing agrees with another one. A prompt without any leaves the source without opinion.
    A response that is no JSON object, the empty one included, scores 0; fields that the reference does not have are not judged.
    Cost: microseconds.
    Gamed by: values that are most common in the references, whatever the prompt says; further fields of any content.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share of fields that agree"

    def __call__(self, episodes: Sequence[Episode]) -> list[float | None]:
        """Return how far each response agrees with its prompt's references."""
        return [self._score(episode) for episode in episodes]

    def _score(self, episode: Episode) -> float | None:
        if not episode.prompt.references:
            return None
        references = [each for text in episode.prompt.references if (each := _object(text))]
        response = _object(episode.response)
        if response is None:
            return 0.0
        scores = [sum(_agreement(response.get(name), value) for name, value in each.items()) / len(each) for each in references]
        return max(scores, default=0.0)


def _object(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _agreement(given: Any, wanted: Any) -> float:
    if not isinstance(wanted, list) or not isinstance(given, list):
        return float(type(given) is type(wanted) and given == wanted)
    ours, theirs = ({json.dumps(item, sort_keys=True) for item in items} for items in (given, wanted))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0
