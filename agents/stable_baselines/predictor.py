"""Give any of our agents Stable-Baselines3's `predict`, so that its `evaluate_policy`, its recorders and its callbacks take it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from agents.agent import Agent
from agents.stable_baselines.language_policy import greedy


class Predictor:
    """Predict as a recurrent policy of Stable-Baselines3 does; its `state` is the agent's memory. Made by `as_sb3`.

    Args:
        agent: any agent.
        env: asked for masks where none are given.
        seed: of the memory that a call without a state begins with; None takes the agent's next.
    """

    def __init__(self, agent: Agent, env: VecEnv | None = None, seed: int | None = None) -> None:
        self.agent = agent
        self.env = env
        self.seed = seed

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
        action_masks: npt.NDArray[Any] | None = None,
    ) -> tuple[npt.NDArray[np.int64], Any]:
        """Choose a token for each row, or for the one row of a single environment.

        Args:
            observation: `input_ids`, `attention_mask`, `response_mask`, each [N, L] or [L].
            state: what the call before returned; None begins a memory.
            episode_start: [N] rows whose episode has just begun.
            deterministic: choose the most probable token. An error where the agent has no policy with a temperature.
            action_masks: [N, V] tokens that may be chosen; None asks the environment where there is one.
        """
        is_single = np.ndim(observation["input_ids"]) == 1
        rows = {name: np.atleast_2d(values) for name, values in observation.items()}
        num_rows = len(rows["input_ids"])
        if state is None:
            state, fresh = self.agent.start(num_rows, self.seed), np.ones(num_rows, dtype=bool)
        else:
            fresh = np.zeros(num_rows, dtype=bool) if episode_start is None else np.asarray(episode_start, dtype=bool).reshape(num_rows)
        if action_masks is None and self.env is not None:
            action_masks = np.stack(self.env.env_method("action_masks"))
        masks = None if action_masks is None else np.asarray(action_masks, dtype=bool).reshape(num_rows, -1)
        with self._greedy() if deterministic else nullcontext():
            decision = self.agent.act(rows, state, fresh, np.ones(num_rows, dtype=bool), masks)
        return (decision.tokens[0] if is_single else decision.tokens), state

    def _greedy(self) -> Any:
        policy = getattr(self.agent, "policy", None)
        if not hasattr(policy, "temperature"):
            raise ValueError(f"{type(self.agent).__name__} has no temperature, so it only draws: pass deterministic=False")
        return greedy(policy)


def as_sb3(agent: Agent, env: VecEnv | None = None, seed: int | None = None) -> Predictor:
    """Return an object with Stable-Baselines3's `predict`: `evaluate_policy(as_sb3(agent), TextGenVecEnv(...), deterministic=False)`.

    Args:
        agent: any agent.
        env: the environment of a task with masks, which Stable-Baselines3's `evaluate_policy` does not ask for.
        seed: decides the tokens that are drawn; None takes the agent's next.
    """
    return Predictor(agent, env, seed)
