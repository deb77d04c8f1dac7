"""Use Stable-Baselines3's agents on this environment, and ours where Stable-Baselines3 expects its own.

`TextGenVecEnv` shows the native vector environment to it, `CausalLMPolicy` lets a language model be the policy of its PPO and A2C and of
sb3_contrib's MaskablePPO, `KLRewards` charges for drift from the reference, and `EpisodeRolloutBuffer` makes learning cheap. `SB3Agent`
puts one of its algorithms behind our protocol, and `as_sb3` gives one of our agents its `predict`.
"""

from __future__ import annotations

from agents.stable_baselines.episode_buffer import EpisodeRolloutBuffer
from agents.stable_baselines.language_policy import CausalLMPolicy
from agents.stable_baselines.penalty import KLRewards
from agents.stable_baselines.predictor import as_sb3
from agents.stable_baselines.sb3_agent import SB3Agent
from agents.stable_baselines.vec_env import TextGenVecEnv

__all__ = ["CausalLMPolicy", "EpisodeRolloutBuffer", "KLRewards", "SB3Agent", "TextGenVecEnv", "as_sb3"]
