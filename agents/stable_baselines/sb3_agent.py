"""Put an algorithm of Stable-Baselines3 behind our `Agent` protocol, so that it collects, is evaluated and is compared as ours are.

Two ways to learn: `algorithm.learn(...)` on a `TextGenVecEnv`, which is Stable-Baselines3's own loop; or `update(rollout)`, which fills its
rollout buffer with finished episodes and calls its own `train()`, so that loss, minibatches and optimiser are its own and episodes, seeds
and budget are those of every other agent. Off-policy algorithms keep a replay buffer that is filled step by step, and learn the first way
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.agent import BoolArray, Decision, Observation
from agents.learning.losses import kl_rewards
from agents.learning.rollout import Rollout
from agents.learning.step import as_array, describe
from agents.policy.logprobs import hide_masked
from agents.policy.sampling import best_tokens, draw_tokens
from agents.stable_baselines.language_policy import ROWS_PER_PASS, CausalLMPolicy

IntArray = npt.NDArray[np.int64]


@dataclass
class NetworkMemory:
    """Hold what a network of Stable-Baselines3 remembers: its random numbers, and the states of recurrent layers if it has some."""

    generator: torch.Generator
    num_rows: int
    states: Any = None


class SB3Agent:
    """Write and learn by an algorithm of Stable-Baselines3 or sb3_contrib.

    Args:
        algorithm: made with a `TextGenVecEnv`: PPO, A2C, MaskablePPO (also with `CausalLMPolicy`), RecurrentPPO, DQN, QRDQN.
        kl_weight: score per nat of drift that `update` takes off the rewards; 0 = free. `learn` takes `KLRewards` for it.
        seed: decides the memories that are made without a seed, where the policy is no language model.

    DQN writes the token of the highest value; all others draw. Tokens are drawn from generators of the memory, as by our agents.
    """

    def __init__(self, algorithm: Any, kl_weight: float = 0.0, seed: int = 0) -> None:
        self.algorithm = algorithm
        is_language_model = isinstance(algorithm.policy, CausalLMPolicy)
        self.policy = algorithm.policy.causal if is_language_model else None  # what `collect` and `evaluate` ask for a reference
        self.kl_weight = kl_weight
        if kl_weight > 0 and (self.policy is None or algorithm.policy.options["reference"] is None):
            raise ValueError(f"kl_weight={kl_weight} needs CausalLMPolicy with a reference, got {type(algorithm.policy).__name__}")
        self._seeds = np.random.SeedSequence(seed)

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return a memory for `num_rows` rows."""
        if self.policy is not None:
            return self.algorithm.policy.refresh().start(num_rows, seed)
        sequence = self._seeds.spawn(1)[0] if seed is None else np.random.SeedSequence(seed)
        return NetworkMemory(torch.Generator().manual_seed(int(sequence.generate_state(1)[0])), num_rows)

    def act(
        self, observation: Observation, memory: Any, fresh: BoolArray, active: BoolArray, action_mask: BoolArray | None = None
    ) -> Decision:
        """Choose a token for each active row."""
        if self.policy is not None:
            return self.algorithm.policy.refresh().act(observation, memory, fresh, active, action_mask)
        policy = self.algorithm.policy
        policy.set_training_mode(False)
        tensors, _ = policy.obs_to_tensor(dict(observation))
        with torch.no_grad():
            logits, values, is_greedy = self._network(tensors, memory, fresh)
        logits = hide_masked(logits, None if action_mask is None else torch.from_numpy(action_mask).to(logits.device))
        if is_greedy:
            tokens, logprobs = best_tokens(logits)[0], torch.zeros(len(logits))
        else:
            uniforms = torch.rand(len(logits), generator=memory.generator, dtype=torch.float64).to(logits.device)
            tokens, logprobs = draw_tokens(logits, uniforms)
        return Decision(
            np.where(active, tokens.cpu().numpy(), 0),
            np.where(active, logprobs.cpu().numpy(), 0).astype(np.float32),
            np.where(active, values.cpu().numpy().reshape(-1), 0).astype(np.float32),
        )

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Fill the algorithm's rollout buffer with the episodes that were scored, or cut from outside, and let it train.

        Returns what our agents return of a rollout, and the algorithm's own measurements, as "train/...".
        Raises ValueError for an off-policy algorithm.
        """
        algorithm = self.algorithm
        if not isinstance(algorithm, OnPolicyAlgorithm) or hasattr(algorithm.policy, "lstm_actor"):
            raise ValueError(f"{type(algorithm).__name__} does not learn from whole rollouts: call its learn() on a TextGenVecEnv")
        counted = rollout.take(np.flatnonzero(rollout.is_scored | rollout.is_truncated))
        if len(counted) == 0:
            return describe(rollout) | {"skipped": 1.0}
        env = algorithm.get_env()
        if env is None:
            raise ValueError("update shows the algorithm states as its environment pads them: load it with env=TextGenVecEnv(...)")
        rewards, drift = self._rewards(counted)
        own_buffer = algorithm.rollout_buffer
        algorithm.rollout_buffer = self._buffer(counted, rewards, env.get_attr("tokens")[0].pad_id)
        if not hasattr(algorithm, "_logger"):
            algorithm.set_logger(Logger(folder=None, output_formats=[]))
        algorithm.num_timesteps += int(counted.lengths.sum())
        algorithm.train()
        algorithm.rollout_buffer = own_buffer  # `learn` fills one of this size
        measured = {name: float(value) for name, value in algorithm.logger.name_to_value.items() if name.startswith("train/")}
        algorithm.logger.dump()
        return describe(rollout) | drift | measured

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state and, where the policy is no language model, the network's weights."""
        policy = self.algorithm.policy
        network = policy.state_dict() if self.policy is None else None
        return {"optimizer": policy.optimizer.state_dict(), "network": network, "num_timesteps": self.algorithm.num_timesteps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        policy = self.algorithm.policy
        policy.optimizer.load_state_dict(state["optimizer"])
        if state["network"] is not None:
            policy.load_state_dict(state["network"])
        self.algorithm.num_timesteps = state["num_timesteps"]

    def _network(self, tensors: Any, memory: NetworkMemory, fresh: BoolArray) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """Return logits [N, V], values [N], and whether the highest is chosen."""
        policy = self.algorithm.policy
        if hasattr(policy, "lstm_actor"):
            starts = torch.from_numpy(fresh).float().to(policy.device)
            shape = (policy.lstm_hidden_state_shape[0], memory.num_rows, policy.lstm_hidden_state_shape[2])
            states = memory.states or (torch.zeros(shape, device=policy.device), torch.zeros(shape, device=policy.device))
            distribution, memory.states = policy.get_distribution(tensors, states, starts)
            return distribution.distribution.logits, torch.zeros(memory.num_rows), False
        if hasattr(policy, "get_distribution"):
            return policy.get_distribution(tensors).distribution.logits, policy.predict_values(tensors), False
        network = policy.quantile_net if hasattr(policy, "quantile_net") else policy.q_net
        action_values = network(tensors)
        action_values = action_values.mean(dim=1) if action_values.ndim == 3 else action_values
        return action_values, action_values.max(dim=1).values, True

    def _rewards(self, rollout: Rollout) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
        """Return the rewards [B, T] less the penalty, and the divergence where there is a reference."""
        if self.policy is None or self.algorithm.policy.options["reference"] is None:
            return rollout.rewards, {}
        reference = as_array(
            self.policy.reference_logprobs(
                rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks, rows_per_chunk=ROWS_PER_PASS
            )
        )
        drift = np.where(rollout.is_action, rollout.logprobs - reference, 0.0).sum() / len(rollout)
        rewards = kl_rewards(rollout.rewards, rollout.logprobs, reference, rollout.is_action, self.kl_weight)
        return rewards, {"kl_nats_per_response": float(drift)}

    def _buffer(self, rollout: Rollout, rewards: npt.NDArray[np.float64], pad_id: int) -> RolloutBuffer:
        """Lay the episodes one behind the other, as one row of the algorithm's environment would have written them."""
        algorithm = self.algorithm
        episodes, columns = np.nonzero(rollout.is_action)
        size = len(episodes)
        buffer = algorithm.rollout_buffer_class(
            size,
            algorithm.observation_space,
            algorithm.action_space,
            device=algorithm.device,
            gamma=algorithm.gamma,
            gae_lambda=algorithm.gae_lambda,
            n_envs=1,
            **algorithm.rollout_buffer_kwargs,
        )
        states = states_of(rollout, episodes, columns, algorithm.observation_space, pad_id)
        for name, values in states.items():
            buffer.observations[name][:, 0] = values
        earned = rewards[episodes, columns]
        is_last = np.append(episodes[1:] != episodes[:-1], True)
        earned[is_last] += algorithm.gamma * rollout.bootstrap[episodes[is_last]]
        assert rollout.values is not None
        buffer.actions[:, 0, 0] = rollout.actions[episodes, columns]
        buffer.rewards[:, 0] = earned
        buffer.episode_starts[:, 0] = np.append(True, is_last[:-1])
        buffer.values[:, 0] = rollout.values[episodes, columns]
        buffer.log_probs[:, 0] = rollout.logprobs[episodes, columns]
        if hasattr(buffer, "action_masks") and rollout.masks is not None:
            index = np.asarray(rollout.masks.index)[episodes, columns]
            buffer.action_masks[:, 0] = np.asarray(rollout.masks.table)[index]
        buffer.pos, buffer.full = size, True
        buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
        return buffer


def states_of(
    rollout: Rollout, episodes: IntArray, columns: IntArray, observation_space: spaces.Dict, pad_id: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the observation before each action, as the environment gave it: arrays [n, L].

    Args:
        episodes, columns: [n] where in [B, T] the actions are.
        observation_space: of one row. pad_id: fills the end of a row; networks that read ids without masks see it.
    """
    width = int(observation_space["input_ids"].shape[0])  # type: ignore[index]
    places = np.arange(width)
    lengths = rollout.prompt_lengths[episodes] + columns
    is_read = places < lengths[:, None]
    ids = np.zeros((len(rollout), width), dtype=np.int64)
    kept = min(width, rollout.tokens.shape[1])
    ids[:, :kept] = rollout.tokens[:, :kept]
    column_of = places - rollout.prompt_lengths[:, None]
    inside = (column_of >= 0) & (column_of < rollout.is_action.shape[1])
    own = np.take_along_axis(rollout.is_action, np.clip(column_of, 0, rollout.is_action.shape[1] - 1), axis=1) & inside
    arrays = {"input_ids": np.where(is_read, ids[episodes], pad_id), "attention_mask": is_read, "response_mask": own[episodes] & is_read}
    return {name: array.astype(observation_space[name].dtype) for name, array in arrays.items()}
