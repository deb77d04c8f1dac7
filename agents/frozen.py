"""Write by a policy and never change it: the reference policy itself, the floor that every learning agent has to rise above.

It is charged for its tokens and its questions to the feedback as the others are, and reports what they report of a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.agent import BoolArray, Decision, Observation
from agents.learning.rollout import Rollout
from agents.learning.step import describe
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class FrozenConfig:
    """Hold no setting: there is nothing to choose."""


class Frozen:
    """Write, and learn nothing.

    Args:
        policy: what writes.
        config: for the same signature as the other agents.
    """

    def __init__(self, policy: Policy, config: FrozenConfig | None = None) -> None:
        self.policy = policy
        self.config = FrozenConfig() if config is None else config

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Change nothing; return what the rollout shows."""
        return describe(rollout)
