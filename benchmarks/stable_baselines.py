"""Compare Stable-Baselines3's PPO with ours, on the same model, task and number of tokens: `python -m benchmarks.stable_baselines`.

Both train the same language model with the same learning rates, epochs, clipping and penalty, in minibatches of equal size. What differs:
ours counts whole episodes and stops its steps on a rollout where the policy has moved far; theirs counts steps of rows, normalises
advantages, averages its loss over tokens, and takes all steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO as StableBaselinesPPO

from agents import (
    PPO,
    CausalLMPolicy,
    CausalPolicy,
    EpisodeRolloutBuffer,
    Frozen,
    KLRewards,
    PPOConfig,
    SB3Agent,
    TextGenVecEnv,
    collect,
    evaluate,
)
from agents.agent import Agent
from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, mean, median, ratio_of_means, ratio_of_medians, write_json

TASK = "TextGen/Reviews-v0"


@dataclass(frozen=True)
class Settings:
    """Train both PPOs on equal tokens, and compare held-out scores and speed."""

    model: str = "tinylm"  # "tinylm", "smollm2", a folder or a hub id
    seeds: int = 5  # runs of each side
    updates: int = 30  # of ours; Stable-Baselines3 gets as many tokens as these write
    rows: int = 64  # responses written at once, and episodes per update of ours
    new_tokens: int = 32  # tokens of a response, at most; steps per rollout of Stable-Baselines3
    learning_rate: float = 3e-4  # of the language model, by Adam
    kl_weight: float = 0.05  # score per nat
    held_out: int = 200  # responses to held-out prompts that each run is judged by
    threads: int = 2  # of torch
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        for name in ("seeds", "updates", "rows", "new_tokens", "held_out", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Outcome(NamedTuple):
    """Hold what one run gave: the held-out score and divergence, and how many tokens were trained on in how many seconds."""

    score: float
    kl_nats_per_response: float
    num_tokens: int
    seconds: float


def run_ours(settings: Settings, seed: int) -> Outcome:
    """Train our PPO."""
    policy = CausalPolicy(settings.model, device="cpu", compute_dtype="float32", value_head=True, seed=seed)
    agent = PPO(policy, PPOConfig(learning_rate=settings.learning_rate, kl_weight=settings.kl_weight, minibatch_size=settings.rows))
    env = _env(settings, split="train")
    num_tokens, start = 0, time.perf_counter()
    for update in range(settings.updates):
        rollout = collect(env, agent, settings.rows, seed=1000 * seed + update)
        agent.update(rollout)
        num_tokens += int(rollout.lengths.sum())
    return _judged(settings, agent, num_tokens, time.perf_counter() - start)


def run_theirs(settings: Settings, seed: int, num_tokens: int) -> Outcome:
    """Train Stable-Baselines3's PPO on at least `num_tokens` tokens, less than one rollout more."""
    config = PPOConfig(learning_rate=settings.learning_rate, kl_weight=settings.kl_weight)
    env = TextGenVecEnv(TASK, settings.rows, tokenizer=settings.model, max_new_tokens=settings.new_tokens, split="train")
    with torch.random.fork_rng(devices=[]):  # it seeds the global generators
        algorithm = StableBaselinesPPO(
            CausalLMPolicy,
            env,
            learning_rate=config.learning_rate,
            n_steps=settings.new_tokens,
            batch_size=settings.new_tokens * settings.rows,
            n_epochs=config.epochs,
            gamma=1.0,
            gae_lambda=config.mixing,
            clip_range=config.clip,
            max_grad_norm=1.0,
            rollout_buffer_class=EpisodeRolloutBuffer,
            policy_kwargs={
                "model": settings.model,
                "device": "cpu",
                "critic_rate": config.critic_learning_rate / config.learning_rate,
            },
            seed=seed,
            device="cpu",
        )
        start = time.perf_counter()
        algorithm.learn(num_tokens, callback=KLRewards(settings.kl_weight))
        seconds = time.perf_counter() - start
    return _judged(settings, SB3Agent(algorithm), algorithm.num_timesteps, seconds)


def run_frozen(settings: Settings) -> Outcome:
    """Judge the model as it is."""
    return _judged(settings, Frozen(CausalPolicy(settings.model, device="cpu", compute_dtype="float32")), 0, 0.0)


def compare(settings: Settings, console: Console) -> dict[str, Measurement]:
    """Run both sides on every seed, in turn, and return the figures."""
    ours, theirs = [], []
    for seed in range(settings.seeds):
        ours.append(run_ours(settings, seed))
        theirs.append(run_theirs(settings, seed, ours[-1].num_tokens))
        console.print(
            f"seed {seed}: ours {ours[-1].score:.3f} at {ours[-1].kl_nats_per_response:.2f} nats in {ours[-1].seconds:.0f} s, "
            f"theirs {theirs[-1].score:.3f} at {theirs[-1].kl_nats_per_response:.2f} nats in {theirs[-1].seconds:.0f} s"
        )
    speeds = [np.asarray([run.num_tokens / run.seconds for run in runs]) for runs in (ours, theirs)]
    scores = [np.asarray([run.score for run in runs]) for runs in (ours, theirs)]
    drifts = [np.asarray([run.kl_nats_per_response for run in runs]) for runs in (ours, theirs)]
    frozen = run_frozen(settings).score
    return {
        "sb3_ppo_score_vs_ours": ratio_of_means(scores[1], scores[0]),
        "sb3_ppo_gain_vs_ours": ratio_of_means(scores[1] - frozen, scores[0] - frozen),
        "sb3_ppo_score": mean(scores[1], "compound sentiment"),
        "ppo_score": mean(scores[0], "compound sentiment"),
        "frozen_score": Measurement(frozen, "compound sentiment", frozen, frozen, 1),
        "sb3_ppo_kl": mean(drifts[1], "nats"),
        "ppo_kl": mean(drifts[0], "nats"),
        "sb3_ppo_speed_vs_ours": ratio_of_medians(speeds[1], speeds[0]),
        "sb3_ppo_tokens_per_second": median(speeds[1], "tokens/s"),
        "ppo_tokens_per_second": median(speeds[0], "tokens/s"),
    }


def main(arguments: list[str] | None = None) -> None:
    """Compare, print a table and write JSON."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(settings.threads)
    console = Console()
    console.print(describe_machine(), soft_wrap=True)
    figures = compare(settings, console)
    table = Table("figure", "value", "95 %", "unit")
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}", figure.unit)
    console.print(table)
    if settings.json is not None:
        write_json(figures, settings.json)


def _judged(settings: Settings, agent: Agent, num_tokens: int, seconds: float) -> Outcome:
    measured, _ = evaluate(_env(settings, split="held_out"), agent, settings.held_out)
    return Outcome(measured["score"], measured["kl_nats_per_response"], num_tokens, seconds)


def _env(settings: Settings, split: str) -> Any:
    return gym.make_vec(
        TASK,
        num_envs=settings.rows,
        tokenizer=settings.model,
        max_new_tokens=settings.new_tokens,
        split=split,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
    )


if __name__ == "__main__":
    main()
