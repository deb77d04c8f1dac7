"""Learn from references: make the tokens of given responses likelier, the first of the three steps of RLHF (Ouyang et al. 2022).

    loss = -1/N sum over the tokens of all responses of log pi(a_t | s_t)

N is the number of these tokens, so a token weighs the same in a short response and in a long one (fine-tuning by mean loss per token). The
end token is one of them, whichever id it has; tokens of prompts and padding are none.

`train` gives this agent the references of the environment's prompts (`demonstrations`), not what it writes itself. `update` imitates every
episode that it is given, whatever its score: with episodes of another policy it is behaviour cloning (Pomerleau 1991).

Left out: a schedule of the learning rate and weight decay, which the other agents do not have either, several responses in one row
(packing), and passes over a data set: each update draws its prompts anew, in a shuffled pass of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from agents.agent import BoolArray, Decision, Observation
from agents.learning.collect import Env
from agents.learning.demonstrations import LongReferences, demonstrations, surprise
from agents.learning.losses import token_mean
from agents.learning.rollout import Rollout
from agents.learning.step import Batch, FloatArray, adam, describe, like, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy


@dataclass(frozen=True)
class SupervisedConfig:
    """Hold the settings of learning from references."""

    learning_rate: float = 5e-5  # of Adam; as for REINFORCE
    long_references: LongReferences = "error"  # that do not fit the budget with their end token; "leave_out" = count and drop them
    max_grad_norm: float = 1.0  # larger gradients are scaled down to it; inf = never
    rows_per_backward: int = 16  # episodes in memory at a time; no effect on the result


class Supervised:
    """Learn from references.

    Args:
        policy: what writes, and is trained. It needs no reference model.
        config: settings.
    """

    def __init__(self, policy: Policy, config: SupervisedConfig | None = None) -> None:
        self.policy = policy
        self.config = SupervisedConfig() if config is None else config
        self.optimizer = adam((policy.parameters(), self.config.learning_rate))

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return the policy's memory for `num_rows` rows."""
        return self.policy.start(num_rows, seed)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Let the policy choose a token for each active row."""
        return self.policy.act(observation, memory, fresh, active, action_mask)

    def demonstrations(self, env: Env, num_episodes: int, seed: int | None = None) -> Rollout:
        """Return the episodes to learn from: the references of the environment's prompts."""
        return demonstrations(env, num_episodes, seed, self.config.long_references, self.policy)

    def loss(self, batch: Batch) -> tuple[Tensor, Evaluation]:
        """Return minus the mean log-probability of a token, as the share of it that a part of the batch has."""
        rollout = batch.rollout
        now = self.policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        return -token_mean(now.logprobs, like(batch.counts, now.logprobs), batch.num_tokens), now

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Take one step towards all episodes, scored or not; what is measured is the policy before the step, on their tokens."""
        config, batch = self.config, Batch.alone(rollout)
        metrics = take_step(self.loss, batch, self.optimizer, config.max_grad_norm, config.rows_per_backward, measured_by=measure_imitation)
        self.policy.updated()
        return describe(rollout) | metrics


def measure_imitation(batch: Batch, logprobs: FloatArray, entropy: FloatArray) -> dict[str, float]:
    """Return nll_nats_per_token, perplexity, entropy_nats_per_token and tokens (how many were learned from).

    Args:
        logprobs, entropy: [B, T], of the policy before the step.
    """
    is_action = batch.rollout.is_action
    numbers = {"entropy_nats_per_token": float(entropy[is_action].mean()), "tokens": float(is_action.sum())}
    return surprise(logprobs[is_action]) | numbers
