"""Hold the options that commands share, and make environments and policies from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import tyro

import text_env  # noqa: F401  (registers the environments)
from agents.policy.causal import CausalPolicy
from text_env.names import named_values

Scoring = Literal["immediate", "deferred"]
VectorEnv = gym.vector.VectorEnv[Any, Any, Any]


@dataclass(frozen=True)
class EnvOptions:
    """Say which environment to write in."""

    id: str = "TextGen/Reviews-v0"  # of a registered environment
    model: str = "smollm2"  # "tinylm", "smollm2", a folder, a checkpoint or a hub id: gives policy and tokenizer
    feedback: str | None = None  # import path of a source, such as feedback.sentiment:Sentiment; None = the environment's own
    feedback_options: tuple[str, ...] = ()  # arguments of a source that is a class, such as kind=compare study=people.db
    scoring: Scoring = "immediate"  # deferred = when a rollout is written: for slow sources and people; needed by comparisons
    prompts: str | None = None  # a .txt or .jsonl file, or a folder; None = the environment's own
    held_out_fraction: float | None = None  # share of the prompts kept for evaluation; None = the environment's own split
    max_new_tokens: int | None = None  # tokens a response may have; None = the environment's own, mostly 32
    stop: tuple[str, ...] = ()  # texts that end a response; none = the environment's own
    chat_template: bool = False  # show prompts to the model as chat messages
    env_options: tuple[str, ...] = ()  # further arguments of the environment as NAME=VALUE, such as min_new_tokens=4
    num_envs: int = 64  # rows that are written side by side
    group_size: int = 1  # responses in a row that share a prompt

    def make(self, split: str) -> VectorEnv:
        """Make the environment for one split of the prompts."""
        if self.feedback_options and self.feedback is None:
            raise ValueError(f"feedback_options go with a feedback by name, got {self.feedback_options} and none")
        optional: dict[str, Any] = {
            "feedback": self.feedback,
            "feedback_kwargs": named_values(self.feedback_options) or None,
            "prompts": self.prompts,
            "held_out_fraction": self.held_out_fraction,
            "max_new_tokens": self.max_new_tokens,
            "stop": self.stop or None,
            "chat_template": self.chat_template or None,
        }
        own: dict[str, Any] = {
            "num_envs": self.num_envs,
            "tokenizer": self.model,
            "split": split,
            "group_size": self.group_size,
            "scoring": self.scoring,
        }
        further = named_values(self.env_options)
        taken = sorted(set(further) & (set(own) | set(optional)))
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be among env_options: there is an option for it, or the command sets it")
        return gym.make_vec(
            self.id,
            autoreset_mode=gym.vector.AutoresetMode.DISABLED,
            **own,
            **{name: value for name, value in optional.items() if value is not None},
            **further,
        )


@dataclass(frozen=True)
class PolicyOptions:
    """Say how the model computes."""

    device: str = "auto"  # "auto", "cpu", "cuda" or "mps"
    compute_dtype: str = "auto"  # "auto", "float32" or "bfloat16": of writing and of the learner's matrix products
    temperature: float = 1.0  # divides the logits; 0 = always the likeliest token

    def make(self, model: str, value_head: bool = False, reference: str | None = "initial", seed: int = 0) -> CausalPolicy:
        """Make the policy."""
        return CausalPolicy(
            model,
            device=self.device,
            compute_dtype=self.compute_dtype,
            temperature=self.temperature,
            value_head=value_head,
            reference=reference,
            seed=seed,
        )


def parse(kind: type[Any], arguments: Sequence[str], program: str, default: Any = None) -> Any:
    """Read a dataclass of options from the command line; wrong ones end the program with status 2 and a message."""
    given = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        args=list(arguments),
        prog=f"python -m agents {program}",
        config=(tyro.conf.OmitArgPrefixes,),
        **given,
    )
