"""Train language models one token at a time: agents, the causal policy, rollouts and training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.actor_critic import ActorCritic, ActorCriticConfig
    from agents.agent import Agent, Decision
    from agents.agent_check import check_agent
    from agents.frozen import Frozen, FrozenConfig
    from agents.grpo import GRPO, GRPOConfig
    from agents.learning.checkpoint import load, save
    from agents.learning.collect import collect
    from agents.learning.held_out import evaluate
    from agents.learning.rollout import Rollout
    from agents.learning.stopping import Stop
    from agents.learning.train import train
    from agents.policy.causal import CausalPolicy
    from agents.policy.tabular import TabularPolicy
    from agents.ppo import PPO, PPOConfig
    from agents.reinforce import Reinforce, ReinforceConfig
    from agents.rloo import RLOO, RLOOConfig
    from agents.uniform import Uniform

HOMES = {  # public name: the file it lives in
    "ActorCritic": "actor_critic",
    "ActorCriticConfig": "actor_critic",
    "Agent": "agent",
    "CausalPolicy": "policy.causal",
    "Decision": "agent",
    "Frozen": "frozen",
    "FrozenConfig": "frozen",
    "GRPO": "grpo",
    "GRPOConfig": "grpo",
    "PPO": "ppo",
    "PPOConfig": "ppo",
    "RLOO": "rloo",
    "RLOOConfig": "rloo",
    "Reinforce": "reinforce",
    "ReinforceConfig": "reinforce",
    "Rollout": "learning.rollout",
    "Stop": "learning.stopping",
    "TabularPolicy": "policy.tabular",
    "Uniform": "uniform",
    "check_agent": "agent_check",
    "collect": "learning.collect",
    "evaluate": "learning.held_out",
    "load": "learning.checkpoint",
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
    "CausalPolicy",
    "Decision",
    "Frozen",
    "FrozenConfig",
    "GRPOConfig",
    "PPOConfig",
    "RLOOConfig",
    "Reinforce",
    "ReinforceConfig",
    "Rollout",
    "Stop",
    "TabularPolicy",
    "Uniform",
    "check_agent",
    "collect",
    "evaluate",
    "load",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"agents.{HOMES[name]}"), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
