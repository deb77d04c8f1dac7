"""Learn by actor and critic: a policy that follows the critic's opinion of its tokens (Sutton and Barto 2018, chapter 13.5).

    gradient of E[return] = E[ sum over t of (Q_t - V(s_t)) * gradient of log pi(a_t | s_t) ]
    Q_t = r_t + discount * ((1 - mixing) * V(s_{t+1}) + mixing * Q_{t+1})       (r_t + discount * V(s_{t+1}) at mixing 0)

The critic V is trained towards TD(lambda) targets, with a learning rate of its own, on the newest episodes and on those of the last few
rollouts. Those were written by older policies: their targets are V-trace's (Espeholt et al. 2018), which weigh each surprise by how much
likelier the token has become, capped at 1. The actor learns from the newest episodes alone.

Left out: several actor steps on one rollout (that is PPO), and parallel actors (Mnih et al. 2016).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.losses import entropy_bonus_loss, importance_weights, kl_rewards, policy_gradient_loss, value_loss
from agents.learning.returns import FloatArray, discount_weights, gae, vtrace_targets
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, as_array, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class ActorCriticConfig:
    """Hold the settings of actor-critic."""

    learning_rate: float = 5e-5  # of the policy, by Adam; fits 100M parameters (LOG.md); models of a few million bear 3e-4
    critic_learning_rate: float = 1e-3  # of the value head, by Adam
    mixing: float = 0.95  # 0 = one step, all on the critic; 1 = whole return, no bias from the critic
    discount: float = 1.0  # per token; below 1 later tokens matter less, in the objective itself
    kl_weight: float = 0.05  # score per nat of drift from the reference, charged as a reward; 0 = free
    entropy_weight: float = 0.0  # score per nat of entropy per token; 0 = no bonus
    importance_cap: float = 2.0  # most weight of a token whose sampler was less precise than the learner; inf = no cap
    replay_rollouts: int = 2  # earlier rollouts that the critic goes on learning from; 0 = none
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it, actor and critic apart; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class ActorCritic:
    """Learn by actor and critic.

    Args:
        policy: what writes, and is trained; made with value_head=True.
        config: settings.
    """

    def __init__(self, policy: Policy, config: ActorCriticConfig | None = None) -> None:
        self.policy = policy
        self.config = ActorCriticConfig() if config is None else config
        value_parameters = list(policy.value_parameters())
        if not value_parameters:
            raise ValueError("actor-critic needs a policy that estimates values: make it with value_head=True")
        self.optimizer = adam((policy.parameters(), self.config.learning_rate), (value_parameters, self.config.critic_learning_rate))
        self.replay: deque[Batch] = deque(maxlen=self.config.replay_rollouts)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row, and the critic say what it expects."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the loss of actor and critic on a part of the newest episodes."""
        config, rollout = self.config, batch.rollout
        now, rewards, values = self._look(batch)
        advantages = gae(rewards, values, rollout.is_action, rollout.bootstrap, config.discount, config.mixing)
        counts = like(batch.counts, now.logprobs)
        weighed = like(advantages * discount_weights(rollout.is_action, config.discount), now.logprobs)
        weights = importance_weights(now.logprobs, like(rollout.logprobs, now.logprobs), config.importance_cap)
        loss = policy_gradient_loss(now.logprobs, weighed, counts, batch.num_episodes, weights)
        if config.entropy_weight > 0:
            loss = loss + config.entropy_weight * entropy_bonus_loss(now.entropy, counts, batch.num_tokens)
        assert now.values is not None
        return loss + value_loss(now.values, like(values + advantages, now.values), counts, batch.num_tokens), now

    def critic_loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the loss of the critic on a part of earlier episodes, as the present policy would have met them."""
        config, rollout = self.config, batch.rollout
        now, rewards, values = self._look(batch)
        ratios = np.exp(as_array(now.logprobs) - rollout.logprobs)
        targets = vtrace_targets(rewards, values, ratios, rollout.is_action, rollout.bootstrap, config.discount, config.mixing)
        assert now.values is not None
        return value_loss(now.values, like(targets, now.values), like(batch.counts, now.values), batch.num_tokens), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take one step of actor and critic on the newest episodes, and one of the critic on each earlier rollout.

        Episodes without a score are left out, unless they were cut from outside: then the critic says what they were worth.
        KL, entropy and ratios are those of the policy before the step, on the tokens that it wrote.
        """
        config = self.config
        counted = rollout.take(np.flatnonzero(rollout.is_scored | rollout.is_truncated))
        if len(counted) == 0:
            return describe(rollout) | {"skipped": 1.0}
        batch = Batch.of(self.policy, counted, 0.0, config.rows_per_backward)
        metrics = take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward)
        for earlier in self.replay:
            replayed = take_step(self.critic_loss, earlier, self.optimizer, config.max_grad_norm, config.rows_per_backward)
            metrics["replay_critic_loss"] = replayed["loss"]
        self.replay.append(replace(batch, rollout=counted.without_texts()))
        self.policy.updated()
        return describe(rollout) | metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the earlier rollouts, as tensors."""
        return {"replay": [batch.state() for batch in self.replay]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over earlier rollouts."""
        self.replay.clear()
        self.replay.extend(Batch.from_state(batch) for batch in state["replay"])

    def _look(self, batch: Batch) -> tuple[Evaluation, FloatArray, FloatArray]:
        """Return what the present policy says of a batch, its rewards less its penalty for drift, and its values without gradient."""
        rollout = batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        assert now.values is not None
        rewards = kl_rewards(rollout.rewards, as_array(now.logprobs), batch.reference_logprobs, rollout.is_action, self.config.kl_weight)
        return now, rewards, as_array(now.values)
