"""Learn by expert iteration: write several responses to a prompt and imitate the best one (Anthony et al. 2017, arXiv:1705.08439).

    loss = -mean over groups of log pi(best response of the group)
    best = highest score - kl_weight * (log pi(response) - log reference(response)), under the policy that wrote

This is RAFT (Dong et al. 2023, arXiv:2304.06767). It does not follow the gradient of the expected score, nor of the score less the
divergence from the reference: only the order in a group counts, so what is better by a hair is imitated as what is better by far, and its
mean step goes towards the distribution of the best of n. At kl_weight 0 the policy narrows until it hardly varies. Above 0, what is written
more often than its score deserves stops being the best, and at pi* ~ reference * exp(score / kl_weight) all responses are worth the same.

A group whose members are worth the same is left out (imitating one of equals makes what is likely likelier), and so are responses without
a score. Left out of the papers: search as the expert (a group is the whole search), a data set that grows, and training from the first
weights again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.losses import episode_mean
from agents.learning.preferences import best_rows, told_apart
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class ExpertIterationConfig:
    """Hold the settings of expert iteration."""

    learning_rate: float = 5e-5  # of Adam; as for REINFORCE
    kl_weight: float = 0.05  # score per nat of drift from the reference, charged where the best is chosen; 0 = the score alone decides
    epochs: int = 2  # steps on the best responses of each rollout; more = closer imitation, of fewer texts
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class ExpertIteration:
    """Learn by expert iteration.

    Args:
        policy: what writes, and is trained.
        config: settings.
    """

    def __init__(self, policy: Policy, config: ExpertIterationConfig | None = None) -> None:
        self.policy = policy
        self.config = ExpertIterationConfig() if config is None else config
        if self.config.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.config.epochs}")
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
        """Return minus the mean log-probability of the best responses in a part of them."""
        rollout = batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        return -episode_mean(now.logprobs, like(batch.counts, now.logprobs), batch.num_episodes), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take several steps on the best response of each group whose members differ in worth; without any, take none and say so.

        The divergence is that of the policy that wrote, over all responses with a score; loss, entropy and ratios are those of the best
        responses before the first step.
        """
        config = self.config
        if np.unique(rollout.group, return_counts=True)[1].max() < 2:
            raise ValueError(
                "expert iteration picks the best of a group, and each is alone: make the environment with group_size=2 or more"
            )
        scored = rollout.take(np.flatnonzero(rollout.is_scored))
        if len(scored) == 0:
            return describe(rollout) | {"num_imitated": 0.0, "skipped": 1.0}
        everyone = Batch.of(self.policy, scored, config.kl_weight, config.rows_per_backward)
        worth = everyone.rewards.sum(axis=1)
        apart = np.flatnonzero(told_apart(worth, scored.group))
        if len(apart) == 0:
            return describe(rollout) | {"num_imitated": 0.0, "skipped": 1.0}
        best = apart[best_rows(worth[apart], scored.group[apart])]
        batch = replace(
            everyone,
            rollout=scored.take(best),
            reference_logprobs=everyone.reference_logprobs[best],
            rewards=everyone.rewards[best],
            num_episodes=len(best),
            num_tokens=int(scored.lengths[best].sum()),
        )
        steps = [take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward) for _ in range(config.epochs)]
        self.policy.updated()
        drift = (scored.logprobs - everyone.reference_logprobs)[scored.is_action].sum()
        over_all = {"kl_nats_per_response": drift / len(scored), "kl_nats_per_token": drift / scored.lengths.sum()}
        imitated = {"num_imitated": float(len(best)), "score_imitated": float(scored.scores[best].mean())}
        return describe(rollout) | steps[0] | {name: float(value) for name, value in over_all.items()} | imitated
