"""Charge Stable-Baselines3's on-policy algorithms for drift from the reference, token by token, before the advantages are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor

from agents.learning.kl_control import KLControl
from agents.learning.losses import kl_rewards
from agents.stable_baselines.language_policy import CausalLMPolicy


class KLRewards(BaseCallback):
    """Take `kl_weight` times the log-ratio to the reference off the rewards of each rollout: `learn(tokens, callback=KLRewards(0.05))`.

    It is what our agents do (`kl_rewards`). The rewards in the rollout buffer are the learner's alone: `VecMonitor`, the infos and all that
    is logged of an episode stay the raw score.

    Args:
        kl_weight: score per nat.
        kl_target: nats per response that the weight is steered to; None keeps it.

    Logs, as "rollout/...": kl_nats_per_token, kl_nats_per_response (of all tokens, over the number of episodes that ended), kl_weight.
    """

    def __init__(self, kl_weight: float = 0.05, kl_target: float | None = None) -> None:
        super().__init__()
        self.kl = KLControl(kl_weight, kl_target)

    def _on_training_start(self) -> None:
        policy = self.model.policy
        if not isinstance(policy, CausalLMPolicy):
            raise ValueError(f"KLRewards needs CausalLMPolicy, which has a reference, got {type(policy).__name__}")
        if policy.options["reference"] is None:
            raise ValueError('KLRewards needs a reference: policy_kwargs={"reference": "initial", ...}')

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        """Change the rewards and compute the advantages again."""
        model: Any = self.model
        buffer = model.rollout_buffer
        num_steps, num_rows = buffer.rewards.shape
        size = num_steps * num_rows
        states = {name: torch.from_numpy(values.reshape(size, *values.shape[2:])) for name, values in buffer.observations.items()}
        masks = getattr(buffer, "action_masks", None)
        reference = model.policy.reference_logprobs(
            states, torch.from_numpy(buffer.actions.reshape(size)), None if masks is None else torch.from_numpy(masks.reshape(size, -1))
        ).reshape(num_steps, num_rows)
        everywhere = np.ones((num_steps, num_rows), dtype=bool)
        buffer.rewards[:] = kl_rewards(buffer.rewards.astype(np.float64), buffer.log_probs, reference, everywhere, self.kl.weight)
        with torch.no_grad():
            last_values = model.policy.predict_values(obs_as_tensor(model._last_obs, model.device))
        buffer.compute_returns_and_advantage(last_values, model._last_episode_starts)
        self._log(
            float((buffer.log_probs - reference).sum()), size, int(buffer.episode_starts[1:].sum() + model._last_episode_starts.sum())
        )

    def _log(self, kl_nats: float, num_tokens: int, num_episodes: int) -> None:
        self.logger.record("rollout/kl_nats_per_token", kl_nats / num_tokens)
        self.logger.record("rollout/kl_weight", self.kl.weight)
        if num_episodes > 0:
            self.logger.record("rollout/kl_nats_per_response", kl_nats / num_episodes)
            self.kl.observe(kl_nats / num_episodes, num_episodes)
