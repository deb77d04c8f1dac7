"""Learn by soft Q-learning over tokens: make values and policy consistent along every path (Guo et al. 2021, arXiv:2106.07704).

    Q(s, a) = V(s) + kl_weight * log(pi(a | s) / reference(a | s)),   so that the policy is the soft-greedy one for Q
    loss = E[ (V(s_t) - sum over u >= t of (r_u - kl_weight * log(pi(a_u | s_u) / reference(a_u | s_u))))^2 / 2 ]

It is path consistency learning (Nachum et al. 2017, arXiv:1702.08892) with a reference in the place of the entropy's uniform policy. The
loss is zero only for pi* ~ reference * exp(score / kl_weight) and its values, and says so on texts that anybody wrote: those of older
policies come from a replay buffer, without importance weights. A path that was cut from outside ends in the value that was expected there
when it was written. Exploration: the policy is random by itself, and epsilon mixes uniform tokens into what is written, evaluations
included.

Left out: a discount (the optimum above has none), and the slow copy of the network that one-step targets of the paper come from: whole
paths need none, and shorter ones (mixing below 1) take the present values without their gradient.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.path_consistency import path_consistency_loss, path_targets
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, take_step, weighed
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class SoftQConfig:
    """Hold the settings of soft Q-learning."""

    learning_rate: float = 5e-5  # of the policy, by Adam; as for REINFORCE
    critic_learning_rate: float = 1e-3  # of the value head, by Adam
    mixing: float = 1.0  # 1 = each prefix against the whole rest of its path; 0 = against one token and the next value
    kl_weight: float = 0.05  # score per nat of drift from the reference, above 0; towards 0 the best policy becomes greedy
    epsilon: float = 0.0  # share of tokens drawn uniformly from the allowed ones; 0 = as the policy likes, 1 = the policy has no say
    replay_rollouts: int = 4  # earlier rollouts, each of which is learned from again at every update; 0 = none
    recency: float = 1.0  # factor on an earlier rollout's loss per update of age; 1 = all alike; near 0 = only the newest, for drift
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it, policy and values apart; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class SoftQ:
    """Learn by soft Q-learning.

    Args:
        policy: what writes, and is trained; made with value_head=True.
        config: settings.
    """

    def __init__(self, policy: Policy, config: SoftQConfig | None = None) -> None:
        self.policy = policy
        self.config = SoftQConfig() if config is None else config
        value_parameters = list(policy.value_parameters())
        if not value_parameters:
            raise ValueError("soft Q-learning needs a policy that estimates values: make it with value_head=True")
        if self.config.kl_weight <= 0:
            raise ValueError(f"kl_weight must be above 0, got {self.config.kl_weight}: without it log-probabilities say nothing about Q")
        if not 0 <= self.config.epsilon <= 1:
            raise ValueError(f"epsilon is a share of tokens between 0 and 1, got {self.config.epsilon}")
        if not 0 < self.config.recency <= 1:
            raise ValueError(f"recency must be above 0 and at most 1, got {self.config.recency}; replay_rollouts=0 takes the newest alone")
        self.optimizer = adam((policy.parameters(), self.config.learning_rate), (value_parameters, self.config.critic_learning_rate))
        self.replay: deque[Batch] = deque(maxlen=self.config.replay_rollouts)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row, or any allowed token with probability epsilon, and say what it expects."""
        return self.policy.act(observation, memory, fresh, active, action_mask, self.config.epsilon)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return the inconsistency of policy and values along the paths of a part of a batch."""
        config, rollout = self.config, batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        assert now.values is not None
        counts = like(batch.counts, now.logprobs)
        log_ratios = now.logprobs - like(batch.reference_logprobs, now.logprobs)
        rewards, bootstrap = like(batch.rewards, now.logprobs), like(rollout.bootstrap, now.logprobs)
        targets = path_targets(rewards, log_ratios, now.values.detach(), counts, bootstrap, config.kl_weight, config.mixing)
        return path_consistency_loss(now.values, targets, counts, batch.num_tokens), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take one step on the newest episodes, and one on each earlier rollout.

        Episodes without a score are left out, unless they were cut from outside. Loss, KL, entropy and ratios are those before the step, on
        the tokens that were written; with epsilon above 0 these are not the policy's own, and their KL and ratios estimate nothing.
        """
        config = self.config
        counted = rollout.take(np.flatnonzero(rollout.is_scored | rollout.is_truncated))
        if len(counted) == 0:
            return describe(rollout) | {"skipped": 1.0}
        batch = Batch.of(self.policy, counted, 0.0, config.rows_per_backward)
        metrics = take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward)
        for age, earlier in zip(range(len(self.replay), 0, -1), self.replay, strict=True):
            loss_of = weighed(self.loss, config.recency**age)
            replayed = take_step(loss_of, earlier, self.optimizer, config.max_grad_norm, config.rows_per_backward)
            metrics["replay_loss"] = replayed["loss"]
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
