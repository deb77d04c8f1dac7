"""Train language models one token at a time: agents, the causal policy, rollouts and training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.actor_critic import ActorCritic, ActorCriticConfig
    from agents.agent import Agent, Decision
    from agents.agent_check import check_agent
    from agents.expert_iteration import ExpertIteration, ExpertIterationConfig
    from agents.frozen import Frozen, FrozenConfig
    from agents.grpo import GRPO, GRPOConfig
    from agents.learning.best_of_n import BestOf, best_of_n
    from agents.learning.checkpoint import load, save
    from agents.learning.collect import collect
    from agents.learning.demonstrations import References, demonstrations, reference_nll
    from agents.learning.held_out import evaluate
    from agents.learning.redistribution import redistribute
    from agents.learning.rollout import Rollout
    from agents.learning.stopping import Stop
    from agents.learning.train import train
    from agents.online_dpo import OnlineDPO, OnlineDPOConfig
    from agents.policy.causal import CausalPolicy
    from agents.policy.listing import exact_gradient, exact_objective
    from agents.policy.tabular import TabularPolicy
    from agents.ppo import PPO, PPOConfig
    from agents.reinforce import Reinforce, ReinforceConfig
    from agents.rloo import RLOO, RLOOConfig
    from agents.sb3 import CausalLMPolicy, EpisodeRolloutBuffer, KLRewards, SB3Agent, TextGenVecEnv, as_sb3
    from agents.soft_q import SoftQ, SoftQConfig
    from agents.supervised import Supervised, SupervisedConfig
    from agents.uniform import Uniform

HOMES = {  # public name: the file it lives in
    "ActorCritic": "actor_critic",
    "ActorCriticConfig": "actor_critic",
    "Agent": "agent",
    "BestOf": "learning.best_of_n",
    "CausalLMPolicy": "sb3",
    "CausalPolicy": "policy.causal",
    "Decision": "agent",
    "EpisodeRolloutBuffer": "sb3",
    "ExpertIteration": "expert_iteration",
    "ExpertIterationConfig": "expert_iteration",
    "Frozen": "frozen",
    "FrozenConfig": "frozen",
    "GRPO": "grpo",
    "GRPOConfig": "grpo",
    "KLRewards": "sb3",
    "OnlineDPO": "online_dpo",
    "OnlineDPOConfig": "online_dpo",
    "PPO": "ppo",
    "PPOConfig": "ppo",
    "RLOO": "rloo",
    "RLOOConfig": "rloo",
    "References": "learning.demonstrations",
    "Reinforce": "reinforce",
    "ReinforceConfig": "reinforce",
    "Rollout": "learning.rollout",
    "SB3Agent": "sb3",
    "SoftQ": "soft_q",
    "SoftQConfig": "soft_q",
    "Stop": "learning.stopping",
    "Supervised": "supervised",
    "SupervisedConfig": "supervised",
    "TabularPolicy": "policy.tabular",
    "TextGenVecEnv": "sb3",
    "Uniform": "uniform",
    "as_sb3": "sb3",
    "best_of_n": "learning.best_of_n",
    "check_agent": "agent_check",
    "collect": "learning.collect",
    "demonstrations": "learning.demonstrations",
    "evaluate": "learning.held_out",
    "exact_gradient": "policy.listing",
    "exact_objective": "policy.listing",
    "load": "learning.checkpoint",
    "redistribute": "learning.redistribution",
    "reference_nll": "learning.demonstrations",
    "save": "learning.checkpoint",
    "train": "learning.train",
}

__all__ = [
    "GRPO",
    "PPO",
    "RLOO",
    "ActorCritic",
    "ActorCriticConfig",
    "Agent",
    "BestOf",
    "CausalLMPolicy",
    "CausalPolicy",
    "Decision",
    "EpisodeRolloutBuffer",
    "ExpertIteration",
    "ExpertIterationConfig",
    "Frozen",
    "FrozenConfig",
    "GRPOConfig",
    "KLRewards",
    "OnlineDPO",
    "OnlineDPOConfig",
    "PPOConfig",
    "RLOOConfig",
    "References",
    "Reinforce",
    "ReinforceConfig",
    "Rollout",
    "SB3Agent",
    "SoftQ",
    "SoftQConfig",
    "Stop",
    "Supervised",
    "SupervisedConfig",
    "TabularPolicy",
    "TextGenVecEnv",
    "Uniform",
    "as_sb3",
    "best_of_n",
    "check_agent",
    "collect",
    "demonstrations",
    "evaluate",
    "exact_gradient",
    "exact_objective",
    "load",
    "redistribute",
    "reference_nll",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"agents.{HOMES[name]}"), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
