"""Define what every agent can do, and what it decides at a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from agents.learning.collect import Env
    from agents.learning.rollout import Rollout

Observation = Mapping[str, npt.NDArray[Any]]
BoolArray = npt.NDArray[np.bool_]


class Decision(NamedTuple):
    """Hold what an agent decided for every row of a vector environment.

    Args:
        tokens: [N] int64, the next token; 0 in rows that are not active.
        logprobs: [N] float32, nats, the log-probability of that token under the distribution that it was drawn from.
        values: [N] float32, the expected return before the token; None where the agent estimates none.
    """

    tokens: npt.NDArray[np.int64]
    logprobs: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32] | None = None


@runtime_checkable
class Agent(Protocol):
    """Write through a vector environment, and learn from what it wrote.

    The memory belongs to the caller, so that several rollouts can go on side by side. What is inside is the agent's own.
    """

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return a memory for `num_rows` rows; the seed decides everything that is drawn with it."""
        ...

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Choose a token for each active row.

        Args:
            observation: what the environment returned: `input_ids`, `attention_mask`, `response_mask`, each [N, L].
            memory: from `start`.
            fresh: [N] rows whose episode has just begun.
            active: [N] rows that still write; the others get token 0.
            action_mask: [N, V] tokens that may be chosen; None means all.
        """
        ...

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn from finished episodes and return what is worth logging."""
        ...


@runtime_checkable
class Imitator(Protocol):
    """Learn from episodes that somebody else wrote, whatever their scores: what an agent that does has besides the methods of `Agent`.

    policy: what is trained, as in `agents.policy.protocol`.
    """

    policy: Any

    def demonstrations(self, env: Env, num_episodes: int, seed: int | None = None) -> Rollout:
        """Return the episodes of an update, which `train` gives it in place of its own."""
        ...
