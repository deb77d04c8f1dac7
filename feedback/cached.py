"""Remember what a source said, so that the same text is judged once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from feedback.source import Source, as_feedback
from text_env.scoring import Judge

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback, Judgement


class Cached(Source):
    """Remember what a source said of the last `size` episodes and ask it only about others, all of them in one call.

    Two episodes are the same if their prompt (text, ids, references, id), response, token ids, chosen tokens and ending are; their
    numbers are not looked at. The same episode twice in one batch is asked about once. A source with randomness in it repeats its first
    answer. A source that compares the members of a batch, or that drifts, cannot be cached. A copy starts empty. Threads may share one.

    `hits` counts the episodes that were answered without asking, `misses` those that were asked about.
    """

    def __init__(self, source: Feedback | str, size: int = 10_000) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 episode, got {size}")
        self.source = as_feedback(source)
        if Judge(self.source).is_comparative:
            raise ValueError(f"{Judge(self.source).name} compares the members of a batch, so its scores cannot be cached")
        if getattr(self.source, "is_frozen", True) is False:
            raise ValueError(
                f"{Judge(self.source).name} judges otherwise as time goes on, so its scores cannot be cached: cache its sources"
            )
        self.size = size
        self.low, self.high, self.unit = self.source.low, self.source.high, self.source.unit
        self._hits = self._misses = 0
        self._held: OrderedDict[Hashable, Judgement] = OrderedDict()
        self._lock = threading.Lock()  # held while looking up and storing, never while the source judges

    @classmethod
    def example(cls) -> Cached:
        """Return a cached sentiment."""
        from feedback.sentiment import Sentiment

        return cls(Sentiment())

    @property
    def hits(self) -> int:
        """Return how many episodes were answered without asking the source."""
        return self._hits

    @property
    def misses(self) -> int:
        """Return how many episodes the source was asked about."""
        return self._misses

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return each episode's judgement, remembered or new."""
        keys = [_identity(episode) for episode in episodes]
        with self._lock:
            known = {key: self._held[key] for key in keys if key in self._held}
        unknown = {key: episode for key, episode in zip(keys, episodes, strict=True) if key not in known}
        known.update(zip(unknown, Judge(self.source).ask(list(unknown.values())), strict=True))
        with self._lock:
            self._hits += len(keys) - len(unknown)
            self._misses += len(unknown)
            for key in keys:
                self._held[key] = known[key]
                self._held.move_to_end(key)
            while len(self._held) > self.size:
                self._held.popitem(last=False)
        return [known[key] for key in keys]

    def __reduce__(self) -> tuple[type[Cached], tuple[Feedback, int]]:
        """Copy and pickle the source and the size, not what is remembered."""
        return Cached, (self.source, self.size)


def _identity(episode: Episode) -> Hashable:
    prompt = episode.prompt
    return (
        (prompt.text, prompt.ids.tobytes(), prompt.references, prompt.id),
        (episode.response, episode.ids.tobytes(), episode.is_action.tobytes(), episode.ending),
    )
