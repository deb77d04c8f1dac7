"""Learn by group-relative policy optimisation: each response against the others to its prompt (Shao et al. 2024, arXiv:2402.03300).

    maximise E[ sum over t of min(ratio_t * A, clip(ratio_t, 1 - clip_below, 1 + clip_above) * A) ],   A_i = R_i - mean of the group's R

It is PPO without a critic: every token of a response has the advantage of the whole. The defaults follow the gradient of the expected
return, scaled by (n - 1) / n for groups of n, because the mean contains the response itself. Two choices of the original do not, and are
fields: division by the group's standard deviation, and by the length of each response (Liu et al. 2025, "Dr. GRPO", arXiv:2503.20783). From
DAPO (Yu et al. 2025, arXiv:2503.14476) are the wider upper clip, the mean over tokens, and leaving out groups whose scores are all equal.

Left out: rewards for single steps, writing further groups in place of those left out, and a penalty for long responses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.epochs import look, measure_update, rows_at_once, take_steps
from agents.learning.groups import comparable_rows, group_advantages
from agents.learning.losses import clipped_gains, episode_mean, importance_weights, kl_rewards, kl_terms, response_mean, token_mean
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, measure
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class GRPOConfig:
    """Hold the settings of GRPO; the original is divide_by_std=True, mean_over="response", clip_above=0.2, kl_as="k3"."""

    learning_rate: float = 1e-5  # of Adam; lower than REINFORCE's for several steps; models of a few million bear 1e-4
    epochs: int = 4  # times that each episode is used
    minibatch_size: int = 64  # episodes per step
    clip_below: float = 0.2  # how far below 1 a ratio may fall before a token's gradient is 0; Schulman et al. 2017
    clip_above: float = 0.28  # how far above 1; 0.28 = DAPO, so that unlikely tokens can become likely; 0.2 = Shao et al.
    divide_by_std: bool = False  # True = Shao et al.: groups with small differences weigh as much; False = Dr. GRPO: no bias
    mean_over: Literal["sum", "token", "response"] = "sum"  # sum = Dr. GRPO: no bias; token = DAPO, over the batch; response = Shao et al.
    drop_degenerate: bool = False  # True = DAPO: groups with equal scores are left out of every mean, and are free of the penalty
    kl_weight: float = 0.05  # score per nat of drift from the reference; 0 = free, as DAPO and Dr. GRPO
    kl_as: Literal["reward", "k3"] = "reward"  # reward = over the whole response, exact; k3 = Shao et al.: a loss, and another penalty


class GRPO:
    """Learn by GRPO.

    Args:
        policy: what writes, and is trained. Its environment has group_size=2 or more.
        config: settings.
    """

    def __init__(self, policy: Policy, config: GRPOConfig | None = None) -> None:
        self.policy = policy
        self.config = GRPOConfig() if config is None else config
        self.optimizer = adam((policy.parameters(), self.config.learning_rate))
        self.shuffling = torch.Generator().manual_seed(0)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the loss of a part of a minibatch."""
        config, rollout = self.config, batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        assert batch.advantages is not None and batch.old_logprobs is not None
        advantages, old_logprobs = like(batch.advantages, now.logprobs), like(batch.old_logprobs, now.logprobs)
        weights = importance_weights(old_logprobs, like(rollout.logprobs, now.logprobs))
        gains = weights * clipped_gains(now.logprobs, old_logprobs, advantages, config.clip_below, config.clip_above)
        if config.kl_as != "reward" and config.kl_weight > 0:
            gains = gains - config.kl_weight * kl_terms(now.logprobs, like(batch.reference_logprobs, now.logprobs), config.kl_as)
        counts = like(batch.counts, now.logprobs)
        if config.mean_over == "token":
            return -token_mean(gains, counts, batch.num_tokens), now
        mean = response_mean if config.mean_over == "response" else episode_mean
        return -mean(gains, counts, batch.num_episodes), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take several steps on the scored episodes of groups that can be compared; without any, take none and say so.

        KL, entropy and ratios are those of the policy before the first step, on the tokens that it wrote; those named "update" and the
        share of clipped tokens compare the policy after the last step with it.
        """
        config = self.config
        compared = rollout.take(comparable_rows(rollout, config.drop_degenerate))
        if len(compared) == 0:
            return describe(rollout) | {"skipped": 1.0}
        batch = Batch.of(self.policy, compared, 0.0, rows_at_once(compared))
        old = look(self.policy, batch)
        penalty = config.kl_weight if config.kl_as == "reward" else 0.0
        rewards = kl_rewards(compared.rewards, old.logprobs, batch.reference_logprobs, compared.is_action, penalty)
        better = group_advantages(rewards.sum(axis=1), compared.group, config.divide_by_std)
        advantages = np.where(compared.is_action, better[:, None], 0.0)
        batch = replace(batch, rewards=rewards, advantages=advantages, old_logprobs=old.logprobs)
        metrics = measure(batch, old.logprobs, old.entropy)
        metrics |= take_steps(self.loss, batch, self.optimizer, self.shuffling, config.epochs, config.minibatch_size)
        metrics |= measure_update(batch, look(self.policy, batch), config.clip_below, config.clip_above)
        self.policy.updated()
        return describe(rollout) | metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator that shuffles."""
        return {"shuffling": self.shuffling.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a generator."""
        self.shuffling.set_state(state["shuffling"])
