"""Judge as a simulated person would whose liking another source says: noisily, and sometimes not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.simulated.annotator import Annotator
from feedback.simulated.keyed_noise import content_keys
from feedback.simulated.presets import preset as find_preset
from feedback.simulated.replies_table import OUTCOMES
from feedback.simulated.tastes import as_taste, features_of, utilities_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode


class SimulatedPerson(Source):
    """Score by the rating of a simulated person.

    score = 2 * (step - 1) / (steps - 1) - 1, where the step is what the annotator gives for the taste's score, brought to its own scale

    The noise is keyed by the seed, the person and what is judged: the same text gets the same rating, in whatever batch, order or process.

    Args:
        taste: what the person likes: a source with a bounded scale, its import path, or a function f(prompt, response) from -1 to 1.
        preset: what kind of person: the name of a preset (`feedback.simulated.PRESETS`), or an `Annotator`.
        seed: of the noise.
        steps: of the rating, from 2 to 101.
        rates_anew: whether another rating is drawn each time the same text is judged.

    It abstains where the taste does, and where the person skips, has left or does not answer in time. `parts` holds the taste's score.
    `time`, the number of episodes judged before, goes on with each batch unless `is_frozen`; a person who tires or drifts goes by it.
    An empty response is rated as the taste scores it.
    Gamed by: whatever games the taste.
    """

    low, high, unit = -1.0, 1.0, "rating"

    def __init__(
        self,
        taste: Any = "feedback.sentiment:Sentiment",
        preset: str | Annotator = "vader-human",
        seed: int = 0,
        steps: int = 9,
        rates_anew: bool = False,
    ) -> None:
        if not 2 <= steps <= 101:
            raise ValueError(f"a rating has 2 to 101 steps, got {steps}")
        self.taste = as_taste(taste)
        self.annotator = find_preset(preset, seed)
        if self.annotator.anchor:
            raise ValueError("an anchor needs the rating before, and the episodes of a batch have no order: rate by Annotator.rate")
        self.steps = steps
        self.rates_anew = rates_anew
        self.time = 0
        self.is_frozen = False
        self._asked: dict[int, int] = {}

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the rating of each episode, as a score."""
        if not episodes:
            return []
        utilities, steps = utilities_of(self.taste, episodes, self.annotator.points)
        keys = content_keys((episode.prompt.text, episode.response, "") for episode in episodes)
        features = features_of([episode.response for episode in episodes], steps)
        again = np.array([self._asked.get(key, 0) for key in keys.tolist()], dtype=np.int64)
        said = self.annotator.rate(utilities, keys, features, steps=(1, self.steps), repetition=again, time=self.time)
        if not self.is_frozen:
            self.time += len(episodes)
            if self.rates_anew:
                self._asked.update({key: self._asked.get(key, 0) + 1 for key in set(keys.tolist())})
        scores = 2.0 * (said.value - 1.0) / (self.steps - 1.0) - 1.0
        return [
            Judgement(
                None if np.isnan(score) else float(score),
                rater=self.annotator.name,
                seconds=None if np.isnan(seconds) else float(seconds),
                parts={} if np.isnan(utility) else {"taste": float(utility / self.annotator.points), str(OUTCOMES[code]): 1.0},
            )
            for score, seconds, utility, code in zip(scores, said.seconds, utilities, said.codes.tolist(), strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the time, and how often each text was judged."""
        return {"time": self.time, "asked": [[key, count] for key, count in self._asked.items()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.time = int(state["time"])
        self._asked = {int(key): int(count) for key, count in state["asked"]}
