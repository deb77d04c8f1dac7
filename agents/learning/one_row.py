"""Show a single environment as a vector environment of one row that is never reset by itself."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


class OneRow:
    """Give `gym.make`'s environment, wrappers included, the reset and step of a vector environment with one row."""

    num_envs = 1

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        self.single_action_space = env.action_space
        self.single_observation_space = env.observation_space

    @property
    def unwrapped(self) -> Any:
        """Return the environment without its wrappers; its episodes and judgements are lists of length 1."""
        return self.env.unwrapped

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Start the row again; the only reset mask there can be is [True]."""
        observation, info = self.env.reset(seed=seed)
        return _rows(observation), _rows(info)

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Take one step with the only action."""
        observation, reward, terminated, truncated, info = self.env.step(int(actions[0]))
        return _rows(observation), np.array([reward], dtype=np.float64), np.array([terminated]), np.array([truncated]), _rows(info)


def _rows(mapping: dict[str, Any]) -> dict[str, Any]:
    """Give every entry a leading axis of length 1."""
    return {name: np.asarray(value)[None] for name, value in mapping.items()}
