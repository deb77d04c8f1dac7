"""Learn by online DPO: prefer, more than the reference does, what scored higher in a group (Guo et al. 2024, arXiv:2402.04792).

    loss = -mean over pairs of (p * log sigmoid(h) + (1 - p) * log sigmoid(-h)),   h = kl_weight * (x_better - x_worse)
    x = log pi(response) - log reference(response)                                            (Rafailov et al. 2023, arXiv:2305.18290)

With soft labels p = sigmoid(score_better - score_worse), and each pair's gradient is zero where h is the difference of scores: at
pi* ~ reference * exp(score / kl_weight), whoever wrote the responses. A unit of the score then means odds of e. Hard labels, p = 1, are the
paper's: they ask for order alone, so that the margin of a pair whose order never changes grows without end.

The gradient is a policy gradient whose weight is one number a response, so the pairs are first compared without gradient, in the learner's
own precision, and then responses can be learned from a few at a time. Ties and responses without a score are left out.
Left out: a learned or asked preference model in between (a comparative feedback source is one), and learning from a fixed set of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.epochs import look
from agents.learning.losses import policy_gradient_loss
from agents.learning.preferences import choose_pairs, preference_coefficients, preference_labels, preference_loss, preference_margins
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, adam, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class OnlineDPOConfig:
    """Hold the settings of online DPO."""

    learning_rate: float = 5e-5  # of Adam; as for REINFORCE
    pairs: Literal["all", "best_worst"] = "all"  # of each group; best_worst = one pair, the clearest
    labels: Literal["soft", "hard"] = "soft"  # soft = how much better counts; hard = only which, with no finite optimum
    kl_weight: float = 0.05  # beta: score per nat of drift from the reference, above 0; towards 0 the margins asked for grow
    epochs: int = 1  # steps on each rollout; margins are measured anew before each
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class OnlineDPO:
    """Learn by online DPO.

    Args:
        policy: what writes, and is trained.
        config: settings.
    """

    def __init__(self, policy: Policy, config: OnlineDPOConfig | None = None) -> None:
        self.policy = policy
        self.config = OnlineDPOConfig() if config is None else config
        if self.config.kl_weight <= 0:
            raise ValueError(f"kl_weight must be above 0, got {self.config.kl_weight}: without it no preference has any weight")
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
        """Return a loss of a part of a batch whose gradient is that of the preference loss."""
        rollout = batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        counts = like(batch.counts, now.logprobs)
        assert batch.advantages is not None
        return policy_gradient_loss(now.logprobs, like(batch.advantages, now.logprobs), counts, batch.num_episodes), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take a step, or several, on the pairs of each group whose scores differ; without any, take none and say so.

        KL, entropy and ratios are those of the policy before the first step, on the tokens that it wrote. So are the preference loss and
        share_ordered, the pairs whose better response has gained more on the reference than the worse one: none before the first update.
        """
        config = self.config
        if np.unique(rollout.group, return_counts=True)[1].max() < 2:
            raise ValueError(
                "online DPO compares responses to one prompt, and each is alone: make the environment with group_size=2 or more"
            )
        scored = rollout.take(np.flatnonzero(rollout.is_scored))
        returns = scored.rewards.sum(axis=1)
        pairs, num_ties = choose_pairs(returns, scored.group, config.pairs)
        counted = {"num_pairs": float(len(pairs)), "share_ties": num_ties / max(len(pairs) + num_ties, 1)}
        if len(pairs) == 0:
            return describe(rollout) | counted | {"skipped": 1.0}
        labels = preference_labels(returns, pairs, config.labels)
        batch = Batch.of(self.policy, scored, 0.0, config.rows_per_backward)
        metrics: dict[str, float] = {}
        for _ in range(config.epochs):
            now = look(self.policy, batch, config.rows_per_backward).logprobs
            log_ratios = np.where(scored.is_action, now - batch.reference_logprobs, 0.0).sum(axis=1)
            margins = preference_margins(log_ratios, pairs, config.kl_weight)
            coefficients = preference_coefficients(margins, labels, pairs, config.kl_weight, len(scored))
            weights = np.where(scored.is_action, -len(scored) * coefficients[:, None], 0.0)
            taken = take_step(self.loss, replace(batch, advantages=weights), self.optimizer, config.max_grad_norm, config.rows_per_backward)
            taken |= {"loss": preference_loss(margins, labels), "share_ordered": float((margins > 0).mean())}
            metrics = metrics or taken
        self.policy.updated()
        return describe(rollout) | counted | metrics
