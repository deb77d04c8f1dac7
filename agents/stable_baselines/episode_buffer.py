"""Give Stable-Baselines3 minibatches of whole episodes instead of single states.

A transformer reads a state's whole text. Shuffled one by one, the states of an episode are spread over all minibatches, and its text goes
through the model once for each; together they are one text (see merging.py).
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples

PER_STATE = ("actions", "values", "log_probs", "advantages", "returns")


class EpisodeRolloutBuffer(DictRolloutBuffer):
    """Shuffle episodes, not states: `PPO(CausalLMPolicy, env, rollout_buffer_class=EpisodeRolloutBuffer)`.

    Every state comes once in each pass, in minibatches of about `batch_size` states. What an episode wrote before the rollout began, or
    will write after it, belongs to other rollouts as it always does. The order is drawn from the action space's generator, which the
    algorithm's seed decides.
    """

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:  # type: ignore[override]
        """Yield minibatches of whole episodes; None = all of them at once."""
        assert self.full
        if not self.generator_ready:
            self.observations = {name: self.swap_and_flatten(values) for name, values in self.observations.items()}
            for name in PER_STATE:
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        number = self._episode_numbers()
        order = self.action_space.np_random.permutation(number[-1] + 1)
        states = np.argsort(order[number], kind="stable")  # episodes in a new order, each of them in its own
        size = len(states)
        num_batches = max(1, math.ceil(size / (batch_size or size)))
        ends = np.flatnonzero(np.diff(order[number][states], append=-1)) + 1
        cuts = np.searchsorted(ends, np.arange(1, num_batches) * size / num_batches)
        for part in np.split(states, np.unique(ends[cuts])):
            if len(part):
                yield self._get_samples(part)

    def _episode_numbers(self) -> npt.NDArray[np.int64]:
        """Return the number of the episode that each state belongs to, rows one behind the other: [T * N]."""
        starts = self.episode_starts.T.astype(bool)  # [N, T]
        starts[:, 0] = True
        return starts.reshape(-1).cumsum() - 1
