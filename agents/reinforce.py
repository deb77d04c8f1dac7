"""Learn by REINFORCE: make the tokens of better responses likelier (Williams 1992).

    gradient of E[return] = E[ sum over t of (G_t - b) * gradient of log pi(a_t | s_t) ]

G_t is what token t still earns, b a baseline that does not depend on the response: none, the batch's mean, or the mean of the
others (Kool et al. 2019). Distance from a reference is charged per token as a reward, or per prefix as a loss.

Left out: several steps on one rollout (that is PPO), division of advantages by their standard deviation (it changes the
weight of prompts), and a learned value function (that is actor-critic).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.losses import entropy_bonus_loss, importance_weights, kl_loss, kl_terms, policy_gradient_loss
from agents.learning.returns import discount_weights, hold_last, leave_one_out_baseline, mean_baseline, returns_to_go
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class ReinforceConfig:
    """Hold the settings of REINFORCE."""

    learning_rate: float = 5e-5  # of Adam; fits 100M parameters (LOG.md); models of a few million bear 3e-4
    baseline: Literal["none", "mean", "leave_one_out"] = "leave_one_out"  # per group where prompts are shared, else per batch
    discount: float = 1.0  # per token; below 1 later tokens matter less, in the objective itself
    kl_weight: float = 0.05  # score per nat of drift from the reference; 0 = free
    kl_as: Literal["reward", "k2", "k3", "exact"] = "reward"  # the others are losses; exact = over the whole vocabulary
    entropy_weight: float = 0.0  # score per nat of entropy per token; 0 = no bonus
    importance_cap: float = 2.0  # most weight of a token whose sampler was less precise than the learner; inf = no cap
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class Reinforce:
    """Learn by REINFORCE.

    Args:
        policy: what writes, and is trained.
        config: settings.
    """

    def __init__(self, policy: Policy, config: ReinforceConfig | None = None) -> None:
        self.policy = policy
        self.config = ReinforceConfig() if config is None else config
        self.optimizer = adam((policy.parameters(), self.config.learning_rate))

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
        now = self.policy.evaluate(
            rollout.tokens,
            rollout.prompt_lengths,
            rollout.is_action,
            rollout.masks,
            exact_kl=config.kl_as == "exact" and config.kl_weight > 0,
        )
        counts = like(batch.counts, now.logprobs)
        weights = importance_weights(now.logprobs, like(rollout.logprobs, now.logprobs), config.importance_cap)
        assert batch.advantages is not None
        loss = policy_gradient_loss(now.logprobs, like(batch.advantages, now.logprobs), counts, batch.num_episodes, weights)
        if config.kl_as != "reward" and config.kl_weight > 0:
            terms = now.kl if now.kl is not None else kl_terms(now.logprobs, like(batch.reference_logprobs, now.logprobs), config.kl_as)
            loss = loss + config.kl_weight * kl_loss(terms, counts, batch.num_episodes)
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
        batch = Batch.of(self.policy, scored, config.kl_weight if config.kl_as == "reward" else 0.0, config.rows_per_backward)
        batch = replace(batch, advantages=self.advantages(batch))
        metrics = take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward)
        self.policy.updated()
        return describe(rollout) | metrics

    def advantages(self, batch: Batch) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return what each token still earned beyond the baseline: [B, T]."""
        is_action, everyone = batch.rollout.is_action, np.ones(len(batch.rollout), dtype=bool)
        returns = returns_to_go(batch.rewards, is_action, np.zeros(len(batch.rollout)), self.config.discount)
        comparable = hold_last(returns, is_action)
        baseline = np.zeros_like(returns)
        if self.config.baseline == "mean":
            baseline = mean_baseline(comparable, everyone, batch.rollout.group)
        elif self.config.baseline == "leave_one_out":
            baseline = leave_one_out_baseline(comparable, everyone, batch.rollout.group)
        return (returns - baseline) * discount_weights(is_action, self.config.discount)
