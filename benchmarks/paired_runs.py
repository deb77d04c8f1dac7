"""Train or load the two sides of a comparison on the same prompts and seeds, and measure both on the same held-out prompts and seeds.

Everything runs in worker processes with one thread each, however many there are, so that the numbers do not depend on their count.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np

import text_env  # noqa: F401  (registers the environments)
from agents import CausalPolicy, EncoderDecoderPolicy, TabularPolicy, collect, evaluate, language_policy, load
from benchmarks.sides import Side
from benchmarks.worker_processes import one_thread_workers
from text_env.names import named_values, resolve

VectorEnv = gym.vector.VectorEnv[Any, Any, Any]
TRAINING, EVALUATION = 0, 1  # what a seed is for
TABLE = "table"
OWN_OPTIONS = {"num_envs", "autoreset_mode", "vectorization_mode", "split", "group_size", "feedback", "tokenizer"}


@dataclass(frozen=True)
class Setting:
    """Hold where and for how long both sides learn: the same for both."""

    env: str = "TextGen/Reviews-v0"  # id of a registered environment
    env_options: tuple[str, ...] = ()  # further arguments of the environment as NAME=VALUE, such as max_new_tokens=16
    feedback: str | None = None  # import path of a source, such as feedback.sentiment:Sentiment; None = the environment's own
    model: str = "tinylm"  # "tinylm", "smollm2", a folder or a hub id; "table" = a row of logits per prefix, for TextGen/Exact-v0
    num_updates: int = 30  # of each side
    episodes_per_update: int = 64  # responses per update; a multiple of the group size
    group_size: int = 4  # responses in a row that share a prompt, in training
    num_envs: int = 64  # rows that are written side by side
    evaluate_every: int = 5  # updates between points of the learning curve
    evaluation_episodes: int = 128  # responses per point
    evaluation_split: Literal["held_out", "train"] = "held_out"  # prompts that both are measured on

    def __post_init__(self) -> None:
        for name in ("num_updates", "episodes_per_update", "group_size", "num_envs", "evaluate_every", "evaluation_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.episodes_per_update % self.group_size:
            raise ValueError(f"episodes_per_update must be a multiple of group_size {self.group_size}, got {self.episodes_per_update}")
        if self.env not in gym.registry:
            known = ", ".join(sorted(name for name in gym.registry if name.startswith("TextGen")))
            raise ValueError(f"there is no environment {self.env!r}; there are {known}")
        if self.model == TABLE and self.evaluation_split == "held_out":
            raise ValueError('a table learns nothing about prompts that it has not seen: with model "table" give --evaluation-split train')
        taken = OWN_OPTIONS & set(named_values(self.env_options))
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))} cannot be among env_options: the comparison sets it, or has an option for it")

    @property
    def where(self) -> str:
        """Say what kind of prompts the score is measured on."""
        return "held-out" if self.evaluation_split == "held_out" else "training-prompt"

    def make(self, split: str, group_size: int = 1) -> VectorEnv:
        """Make the environment for one split of the prompts."""
        chosen: dict[str, Any] = {"feedback": self.feedback, "tokenizer": None if self.model == TABLE else self.model}
        return gym.make_vec(
            self.env,
            num_envs=self.num_envs,
            autoreset_mode=gym.vector.AutoresetMode.DISABLED,
            split=split,
            group_size=group_size,
            **{name: value for name, value in chosen.items() if value is not None},
            **named_values(self.env_options),
        )


@dataclass(frozen=True)
class Job:
    """Hold one side with one seed."""

    name: str  # "A" or "B"
    side: Side
    seed: int
    setting: Setting


@dataclass(frozen=True)
class Point:
    """Hold one evaluation: after how many updates, the mean score, and nats a response from the reference (None without one)."""

    update: int
    score: float
    kl: float | None


@dataclass(frozen=True)
class SideRun:
    """Hold what became of a job.

    Args:
        name, seed: of the job.
        curve: evaluations; the last one is after the last update.
        tokens, questions: written and asked of the feedback in training.
        seconds: collecting and learning, without evaluations.
        prompts: numbers of the prompts of training, in order. held_out: those of each evaluation.
    """

    name: str
    seed: int
    curve: tuple[Point, ...]
    tokens: int
    questions: int
    seconds: float
    prompts: tuple[int, ...]
    held_out: tuple[int, ...]

    @property
    def last(self) -> Point:
        """Return the evaluation after the last update."""
        return self.curve[-1]


@dataclass(frozen=True)
class Failure:
    """Hold why a job has no result: in one line, and with the way through the code."""

    name: str
    seed: int
    reason: str
    trace: str


def seed_of(seed: int, purpose: int, number: int = 0) -> int:
    """Return a seed for one purpose; neither what was drawn before nor the side has a part in it."""
    return int(np.random.SeedSequence((seed, purpose, number)).generate_state(1)[0])


def run_job(job: Job) -> SideRun:
    """Train a side with one seed and measure it on the way, or measure a checkpoint.

    Raises ValueError where no response of an evaluation was scored.
    """
    setting, num_updates = job.setting, job.setting.num_updates if job.side.is_trained else 0
    env, held_out = setting.make("train", setting.group_size), setting.make(setting.evaluation_split)
    agent = _agent(job, env)
    curve: list[Point] = []
    prompts: list[int] = []
    seen: tuple[int, ...] = ()
    tokens = questions = 0
    seconds = 0.0
    for update in range(num_updates + 1):
        if update % setting.evaluate_every == 0 or update == num_updates:
            measured, responses = evaluate(held_out, agent, setting.evaluation_episodes, seed=seed_of(job.seed, EVALUATION))
            if "score" not in measured:
                raise ValueError(f"the feedback scored none of {len(responses)} responses after {update} updates")
            curve.append(Point(update, measured["score"], measured.get("kl_nats_per_response")))
            seen = tuple(responses.prompt_index.tolist())
        if update < num_updates:
            began = time.monotonic()
            rollout = collect(env, agent, setting.episodes_per_update, seed=seed_of(job.seed, TRAINING, update))
            agent.update(rollout)
            seconds += time.monotonic() - began
            prompts += rollout.prompt_index.tolist()
            tokens += int(rollout.lengths.sum())
            questions += int((~rollout.is_truncated).sum())
    return SideRun(job.name, job.seed, tuple(curve), tokens, questions, seconds, tuple(prompts), seen)


def run_all(jobs: Sequence[Job], num_workers: int, tell: Callable[[SideRun | Failure], None]) -> list[SideRun | Failure]:
    """Run every job in a worker process, and return what became of each, in the order of the jobs.

    Args:
        num_workers: processes at a time; each computes with one thread.
        tell: called with each result as it comes.
    """
    results: dict[int, SideRun | Failure] = {}
    with one_thread_workers(min(num_workers, len(jobs))) as pool:
        places: dict[Future[SideRun], int] = {pool.submit(run_job, job): place for place, job in enumerate(jobs)}
        for future in as_completed(places):
            results[places[future]] = result = _result(future, jobs[places[future]])
            tell(result)
    return [results[place] for place in range(len(jobs))]


def check_pairs(pairs: Mapping[int, tuple[SideRun, SideRun]]) -> None:
    """Raise RuntimeError unless both sides of each pair saw the same prompts."""
    for seed, (a, b) in pairs.items():
        if a.held_out != b.held_out or (a.prompts and b.prompts and a.prompts != b.prompts):
            raise RuntimeError(f"the two sides with seed {seed} were not given the same prompts, so their difference means nothing")


def _result(future: Future[SideRun], job: Job) -> SideRun | Failure:
    error = future.exception()
    if error is None:
        return future.result()
    reason = f"{type(error).__name__}: {str(error) or 'no message'}"
    return Failure(job.name, job.seed, reason, "".join(traceback.format_exception(error)))


def _agent(job: Job, env: VectorEnv) -> Any:
    """Make the agent; its policy estimates values where its config has a `critic_learning_rate`."""
    side, setting = job.side, job.setting
    if side.folder is not None:
        return load(side.folder)
    assert side.agent is not None
    has_critic = hasattr(side.config, "critic_learning_rate")
    policy: CausalPolicy | EncoderDecoderPolicy | TabularPolicy
    if setting.model == TABLE:
        exact = getattr(env.unwrapped, "exact", None)
        if exact is None:
            raise ValueError(f'model "table" needs a task with few responses, such as TextGen/Exact-v0, not {setting.env}')
        policy = TabularPolicy(exact.vocab_size, exact.horizon, exact.prompts.tolist(), value_head=has_critic, seed=job.seed)
    else:
        policy = language_policy(setting.model, value_head=has_critic, seed=job.seed)
    return resolve(side.agent, policy=policy, config=side.config)
