"""Score the members of a group by how often a simulated annotator prefers them to each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.simulated.annotator import Annotator
from feedback.simulated.keyed_noise import content_keys, fold, text_key, uniform_of
from feedback.simulated.presets import preset as find_preset
from feedback.simulated.tastes import as_taste, features_of, in_sets, utilities_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from feedback.simulated.keyed_noise import KeyArray
    from text_env.episode import Episode, IntArray


class Compared(Source):
    """Score each response by its share of wins over the other responses to the same prompt, as a simulated annotator judges pairs.

    score = (wins + ties / 2) / pairs that were judged. It says nothing of how good a response is beyond that, as people's comparisons do.

    Pairs without a verdict (skipped, not answered, both bad) are left out; a response without any judged pair abstains, as does one that is
    alone. Two equal texts are a tie that nobody is asked about. What is shown first is drawn, keyed as the noise is.

    Args:
        taste: what the annotator likes: a source with a bounded scale, its import path, or a function f(prompt, response) from -1 to 1.
        preset: what kind of annotator: the name of a preset (`feedback.simulated.PRESETS`), or an `Annotator`.
        seed: of the noise, and of which pairs are chosen.
        pairs_per_group: most pairs that are asked about in a group, drawn at random; None = all.
        group_size: that of the environment, so that groups which have the same prompt stay apart; None = all responses of a batch to one
            prompt are a group, whose pairs grow with the square of their number.

    `num_comparisons` counts the pairs that were asked about. `time`, how many there were before a batch, is what a person who tires goes
    by; neither goes on while `is_frozen`. Environments for it have a group size and deferred scoring.
    An empty response is compared as any other.
    Gamed by: whatever games the taste.
    """

    low, high, unit = 0.0, 1.0, "share of wins"
    is_comparative = True

    def __init__(
        self,
        taste: Any = "feedback.sentiment:Sentiment",
        preset: str | Annotator = "vader-human",
        seed: int = 0,
        pairs_per_group: int | None = None,
        group_size: int | None = None,
    ) -> None:
        if pairs_per_group is not None and pairs_per_group < 1:
            raise ValueError(f"pairs_per_group must be at least 1, or None for all, got {pairs_per_group}")
        if group_size is not None and group_size < 2:
            raise ValueError(f"group_size must be at least 2, or None for all responses to a prompt, got {group_size}")
        self.taste = as_taste(taste)
        self.annotator = find_preset(preset, seed)
        self.pairs_per_group = pairs_per_group
        self.group_size = group_size
        self.time = 0
        self.is_frozen = False

    @property
    def num_comparisons(self) -> int:
        """Return how many pairs were asked about."""
        return self.time

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return each episode's share of wins within its group."""
        if not episodes:
            return []
        keys = content_keys((episode.prompt.text, episode.response, "") for episode in episodes)
        groups: dict[tuple[str, int], list[int]] = {}
        for number, episode in enumerate(episodes):
            part = 0 if self.group_size is None else episode.index // self.group_size
            groups.setdefault((episode.prompt.text, part), []).append(number)
        chosen = [self._pairs(np.array(members), keys) for members in groups.values() if len(members) > 1]
        pairs = np.concatenate([np.zeros((0, 2), dtype=np.int64), *chosen])
        values = self._values(pairs, keys, episodes)
        judged = ~np.isnan(values)
        wins = np.zeros(len(episodes))
        counts = np.bincount(pairs[judged].ravel(), minlength=len(episodes))
        np.add.at(wins, pairs[judged, 0], values[judged])
        np.add.at(wins, pairs[judged, 1], 1.0 - values[judged])
        return [
            Judgement(float(won / count) if count else None, rater=self.annotator.name, parts={"pairs": float(count)})
            for won, count in zip(wins, counts, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return how many pairs were asked about."""
        return {"time": self.time}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.time = int(state["time"])

    def _pairs(self, members: IntArray, keys: KeyArray) -> IntArray:
        """Return the pairs of a group that are judged: [K, 2] numbers of episodes."""
        pairs = members[np.array(list(itertools.combinations(range(len(members)), 2)))]
        if self.pairs_per_group is None or len(pairs) <= self.pairs_per_group:
            return pairs
        chance = self._drawn("pairs", keys[pairs])
        return pairs[np.argsort(chance, kind="stable")[: self.pairs_per_group]]

    def _values(self, pairs: IntArray, keys: KeyArray, episodes: Sequence[Episode]) -> Any:
        """Return 1 where the first of a pair was preferred, 0 where the second, 0.5 for a tie, NaN where nothing was said: [K]."""
        utilities, steps = utilities_of(self.taste, episodes, self.annotator.points)
        features = features_of([episode.response for episode in episodes], steps)
        shown_first = np.where((self._drawn("side", keys[pairs]) < 0.5) == (keys[pairs[:, 0]] < keys[pairs[:, 1]]), 1, -1)
        said = self.annotator.compare(utilities[pairs], keys[pairs], in_sets(features, pairs), shown_first=shown_first, time=self.time)
        if not self.is_frozen:
            self.time += int((keys[pairs[:, 0]] != keys[pairs[:, 1]]).sum())
        return said.value

    def _drawn(self, part: str, keys: KeyArray) -> Any:
        """Return a number for each pair of keys [K, 2], whatever their order: [K]."""
        return uniform_of(fold(self.annotator.key, text_key(part), *np.sort(keys, axis=1).T))
