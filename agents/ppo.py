"""Learn by proximal policy optimisation: several steps on one rollout, none of which is paid for going far (Schulman et al. 2017).

    maximise E[ sum over t of min(ratio_t * A_t, clip(ratio_t, 1 - clip, 1 + clip) * A_t) ],  ratio_t = pi(a_t | s_t) / pi_old(a_t | s_t)
    A_t = d_t + mixing * A_{t+1},  d_t = r_t + V_{t+1} - V_t     (Schulman et al. 2016)

pi_old is the learner's own policy before the first step, so the ratio is 1 there; a sampler of lower precision is made up for by
importance weights, capped at 2. The critic has a learning rate of its own. Drift from the reference is charged per token as a reward, and
its weight may be steered to a target (Ziegler et al. 2019).

Left out: division of advantages by their standard deviation (it changes the weight of prompts), an entropy bonus (exploration is the
temperature's), discounting, and one shared learning rate with a weight for the critic's loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.epochs import look, measure_update, rows_at_once, take_steps
from agents.learning.kl_control import KLControl
from agents.learning.losses import clipped_gains, clipped_value_loss, episode_mean, importance_weights, kl_rewards
from agents.learning.returns import gae
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, measure
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class PPOConfig:
    """Hold the settings of PPO."""

    learning_rate: float = 1e-5  # of the policy, by Adam; lower than REINFORCE's for several steps; models of a few million bear 1e-4
    critic_learning_rate: float = 1e-3  # of the value head, by Adam
    epochs: int = 4  # times that each episode is used; 1 with one minibatch = actor-critic
    minibatch_size: int = 64  # episodes per step
    clip: float = 0.2  # how far a ratio may leave 1 before a token's gradient is 0; Schulman et al. 2017
    value_clip: float | None = None  # most that one rollout may gain by moving a value, in score; None = no clipping
    mixing: float = 0.95  # 0 = one step, all on the critic; 1 = whole return, no bias from the critic
    kl_weight: float = 0.05  # score per nat of drift from the reference, charged as a reward; 0 = free
    kl_target: float | None = None  # nats per response that kl_weight is steered to; None = kl_weight stays
    stop_kl: float = 0.02  # nats per token between old and new policy where the steps on a rollout end; inf = never


class PPO:
    """Learn by PPO.

    Args:
        policy: what writes, and is trained; made with value_head=True.
        config: settings.
    """

    def __init__(self, policy: Policy, config: PPOConfig | None = None) -> None:
        self.policy = policy
        self.config = PPOConfig() if config is None else config
        value_parameters = list(policy.value_parameters())
        if not value_parameters:
            raise ValueError("PPO needs a policy that estimates values: make it with value_head=True")
        self.optimizer = adam((policy.parameters(), self.config.learning_rate), (value_parameters, self.config.critic_learning_rate))
        self.kl = KLControl(self.config.kl_weight, self.config.kl_target)
        self.shuffling = torch.Generator().manual_seed(0)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row, and the critic say what it expects."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the loss of policy and critic on a part of a minibatch."""
        config, rollout = self.config, batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        assert batch.advantages is not None and batch.old_logprobs is not None and batch.old_values is not None and now.values is not None
        counts, advantages = like(batch.counts, now.logprobs), like(batch.advantages, now.logprobs)
        old_logprobs, old_values = like(batch.old_logprobs, now.logprobs), like(batch.old_values, now.values)
        weights = importance_weights(old_logprobs, like(rollout.logprobs, now.logprobs))
        gains = clipped_gains(now.logprobs, old_logprobs, advantages, config.clip, config.clip)
        loss = -episode_mean(weights * gains, counts, batch.num_episodes)
        targets = old_values + advantages
        return loss + clipped_value_loss(now.values, old_values, targets, counts, batch.num_tokens, config.value_clip), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take several steps on the episodes that were scored, or cut from outside; without any, take none and say so.

        KL, entropy and ratios are those of the policy before the first step, on the tokens that it wrote; those named "update" and the
        share of clipped tokens compare the policy after the last step with it.
        """
        config = self.config
        counted = rollout.take(np.flatnonzero(rollout.is_scored | rollout.is_truncated))
        if len(counted) == 0:
            return describe(rollout) | {"skipped": 1.0}
        batch = Batch.of(self.policy, counted, 0.0, rows_at_once(counted))
        old = look(self.policy, batch)
        rewards = kl_rewards(counted.rewards, old.logprobs, batch.reference_logprobs, counted.is_action, self.kl.weight)
        advantages = gae(rewards, old.values, counted.is_action, counted.bootstrap, 1.0, config.mixing)
        batch = replace(batch, rewards=rewards, advantages=advantages, old_logprobs=old.logprobs, old_values=old.values)
        metrics = measure(batch, old.logprobs, old.entropy) | {"kl_weight": self.kl.weight}
        metrics |= take_steps(
            self.loss, batch, self.optimizer, self.shuffling, config.epochs, config.minibatch_size, config.stop_kl
        ) | measure_update(batch, look(self.policy, batch), config.clip, config.clip)
        self.kl.observe(metrics["kl_nats_per_response"], batch.num_episodes)
        self.policy.updated()
        return describe(rollout) | metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the present weight of the penalty, and the state of the generator that shuffles."""
        return {"kl": self.kl.state_dict(), "shuffling": self.shuffling.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a weight of the penalty and a generator."""
        self.kl.load_state_dict(state["kl"])
        self.shuffling.set_state(state["shuffling"])
