"""Learn by REINFORCE with a leave-one-out baseline, the whole response being one action (Ahmadian et al. 2024, arXiv:2402.14740).

    gradient of E[R] = E[ (R_i - mean of R_j over the other responses to the prompt) * gradient of log pi(response_i | prompt) ]
    R = score - kl_weight * (log pi(response | prompt) - log reference(response | prompt))

The penalty is inside the reward, over the whole response, so it is part of what the baseline compares; its weight may be steered to a
target (Ziegler et al. 2019). A response whose group has no other is compared with the other groups.

Left out: credit for single tokens and discounting, which one action has no place for (REINFORCE has both), and division by the standard
deviation of the group (that is GRPO).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.kl_control import KLControl
from agents.learning.losses import entropy_bonus_loss, importance_weights, policy_gradient_loss
from agents.learning.returns import leave_one_out_baseline
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class RLOOConfig:
    """Hold the settings of RLOO."""

    learning_rate: float = 5e-5  # of Adam; fits 100M parameters (LOG.md); models of a few million bear 3e-4
    kl_weight: float = 0.05  # score per nat of drift from the reference, charged as a reward; 0 = free
    kl_target: float | None = None  # nats per response that kl_weight is steered to; None = kl_weight stays
    entropy_weight: float = 0.0  # score per nat of entropy per token; 0 = no bonus
    importance_cap: float = 2.0  # most weight of a response whose sampler was less precise than the learner; inf = no cap
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class RLOO:
    """Learn by RLOO.

    Args:
        policy: what writes, and is trained.
        config: settings.
    """

    def __init__(self, policy: Policy, config: RLOOConfig | None = None) -> None:
        self.policy = policy
        self.config = RLOOConfig() if config is None else config
        self.optimizer = adam((policy.parameters(), self.config.learning_rate))
        self.kl = KLControl(self.config.kl_weight, self.config.kl_target)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the loss of a part of a batch, whose gradient is minus that of the objective."""
        config, rollout = self.config, batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        counts = like(batch.counts, now.logprobs)
        ours, sampler = (  # [B, 1], of whole responses
            torch.where(counts, logprobs, 0.0).sum(1, keepdim=True) for logprobs in (now.logprobs, like(rollout.logprobs, now.logprobs))
        )
        weights = importance_weights(ours, sampler, config.importance_cap)
        assert batch.advantages is not None
        advantages = like(batch.advantages[:, :1], now.logprobs)
        loss = policy_gradient_loss(ours, advantages, torch.ones_like(ours, dtype=torch.bool), batch.num_episodes, weights)
        if config.entropy_weight > 0:
            loss = loss + config.entropy_weight * entropy_bonus_loss(now.entropy, counts, batch.num_tokens)
        return loss, now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take one step on the episodes that were scored; without any, take none and say so.

        KL, entropy and ratios are those of the policy before the step, on the tokens that it wrote.
        """
        config = self.config
        scored = rollout.take(np.flatnonzero(rollout.is_scored))
        if len(scored) == 0:
            return describe(rollout) | {"skipped": 1.0}
        batch = Batch.of(self.policy, scored, self.kl.weight, config.rows_per_backward)
        batch = replace(batch, advantages=self.advantages(batch))
        metrics = take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward)
        metrics["kl_weight"] = self.kl.weight
        self.kl.observe(metrics["kl_nats_per_response"], batch.num_episodes)
        self.policy.updated()
        return describe(rollout) | metrics

    def advantages(self, batch: Batch) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return by how much each response was better than the others, the same for all its tokens: [B, T]."""
        returns = batch.rewards.sum(axis=1)
        baseline = leave_one_out_baseline(returns, np.ones(len(returns), dtype=bool), batch.rollout.group)
        return np.where(batch.rollout.is_action, (returns - baseline)[:, None], 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the present weight of the penalty."""
        return {"kl": self.kl.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a weight of the penalty."""
        self.kl.load_state_dict(state["kl"])
