"""Hold the agent that is checked, and what several checks need."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

import text_env  # noqa: F401  (registers the environments)
from agents.agent import BoolArray, Decision, Observation
from agents.learning.collect import collect
from agents.learning.rollout import Rollout
from agents.policy.tabular import TabularPolicy
from text_env.episode import Episode

VOCAB_SIZE, HORIZON, END = 4, 4, 3  # of the task that agents are checked on unless another is given
NUM_EPISODES = 16  # of a rollout: two rounds of the default task's rows
NUM_DRAWS = 1024  # from one state: a share of one half is known within 0.07 then, at 4.5 standard deviations
SAME_STEP = 2e-6  # nats; float32 rounds log-probabilities to about 1e-7, and the smallest usual learning rate moves them by 1e-5
STEP_METRICS = ("loss", "grad_norm")  # reported of a step, so equal where the steps are


class AgentError(ValueError):
    """Say which promise an agent broke, what was seen, what was expected and the way out."""


@dataclass(frozen=True)
class Subject:
    """Hold what every check needs.

    Args:
        make: makes an agent.
        env: to write in.
        name: of the agent's class.
        tolerance: nats between two log-probabilities of the same token.
    """

    make: Callable[[], Any]
    env: Any
    name: str
    tolerance: float

    def fail(self, message: str) -> AgentError:
        """Return the error to raise, with the agent's name in front."""
        return AgentError(f"agent {self.name} {message}")

    @cached_property
    def rollout(self) -> Rollout:
        """Return what a new agent writes."""
        return self.write(self.make())

    @cached_property
    def start(self) -> tuple[Observation, BoolArray]:
        """Return the first observation, and which tokens [V] may be chosen in its first row."""
        observation, info = self.env.reset(seed=0)
        mask = info.get("action_mask")
        num_tokens = int(self.env.single_action_space.n)
        return copy.deepcopy(observation), np.ones(num_tokens, dtype=bool) if mask is None else mask[0].copy()

    def write(self, agent: Any, seed: int | None = 0) -> Rollout:
        """Return a rollout that the agent writes."""
        group_size = int(self.env.unwrapped.writing.task.group_size)
        return collect(self.env, agent, group_size * -(-NUM_EPISODES // group_size), seed=seed)

    def draw(self, agent: Any, mask: BoolArray, num_rows: int = NUM_DRAWS) -> Decision:
        """Return what the agent chooses many times in the first state, where the mask [V] allows it."""
        observation = {name: np.repeat(array[:1], num_rows, axis=0) for name, array in self.start[0].items()}
        everyone = np.ones(num_rows, dtype=bool)
        decision: Decision = agent.act(observation, agent.start(num_rows, 0), everyone, everyone, np.repeat(mask[None], num_rows, axis=0))
        return decision

    def learn(self, agent: Any, rollout: Rollout, what: str) -> dict[str, float]:
        """Let the agent learn, and return what it reports, which must be finite."""
        metrics = self.update(agent, rollout, what)
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise self.fail(f"returned {name} = {value} for {what}: return finite numbers, and leave out what has no value")
        return metrics

    def update(self, agent: Any, rollout: Rollout, what: str) -> dict[str, float]:
        """Let the agent learn, on arrays of its own."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mean of nothing is reported as the NaN that it gives
                metrics: dict[str, float] = agent.update(copy.deepcopy(rollout))
        except Exception as error:
            raise self.fail(
                f"raised {type(error).__name__}: {error} in update() on {what}: it must learn from all that collect returns"
            ) from error
        return metrics

    def compare(self, one: Rollout, other: Rollout, how: str, advice: str) -> None:
        """Raise an error where two rollouts, that should teach the same, do not."""
        agents = self.make(), self.make()
        for _ in range(2):
            first, second = (self.learn(agent, rollout, how) for agent, rollout in zip(agents, (one, other), strict=True))
            for name in STEP_METRICS:
                if name in first and name in second and not np.isclose(first[name], second[name], rtol=1e-4, atol=1e-7):
                    raise self.fail(f"reported {name} {first[name]:.6g} and {second[name]:.6g} for {how}: {advice}")
        gap = gap_between(*(self.write(agent) for agent in agents))
        if gap > SAME_STEP:
            raise self.fail(f"learned different things from {how}, and then wrote {distance_in_words(gap)}: {advice}")


class Points:
    """Score a response by its ids, so that tokens and their order matter."""

    low, high, unit = 1.0, 5.0, "points"

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return 1 to 5 for each episode."""
        return [float(1 + (episode.ids * np.arange(1, len(episode.ids) + 1)).sum() % 5) for episode in episodes]


def make_task() -> Any:
    """Make the task that agents are checked on: 4 tokens, two prompts of different length, groups of 2, no end token at once."""
    tokenizer = Tokenizer(models.WordLevel({"abcd"[token]: token for token in range(VOCAB_SIZE)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return gym.make_vec(
        "TextGen-v0",
        num_envs=8,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        tokenizer=tokenizer,
        eos_ids=[END],
        prompts=["a b", "b"],
        feedback=Points(),
        max_new_tokens=HORIZON,
        min_new_tokens=1,
        group_size=2,
    )


def make_policy() -> TabularPolicy:
    """Make a policy for that task with random logits, away from its reference."""
    num_rows = 2 * sum(VOCAB_SIZE**length for length in range(HORIZON + 1))
    logits, reference = np.random.default_rng(0).normal(size=(2, num_rows, VOCAB_SIZE))
    policy = TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[(0, 1), (1,)], logits=logits, value_head=True)
    policy.reference = torch.as_tensor(reference)
    return policy


def is_same(one: Rollout, other: Rollout) -> bool:
    """Say whether two rollouts hold the same tokens."""
    return one.tokens.shape == other.tokens.shape and np.array_equal(one.tokens, other.tokens)


def gap_between(one: Rollout, other: Rollout) -> float:
    """Return by how much two agents differ in what they wrote: infinite where they wrote other tokens."""
    if not is_same(one, other):
        return float("inf")
    pairs = [(one.logprobs, other.logprobs)] + ([(one.values, other.values)] if one.values is not None and other.values is not None else [])
    return max(float(np.abs(first - second).max()) for first, second in pairs)


def distance_in_words(gap: float) -> str:
    """Say how far apart two agents wrote."""
    return (
        f"the same tokens with log-probabilities or values up to {gap:.2g} apart" if np.isfinite(gap) else "other tokens with the same seed"
    )


def scored_only(rollout: Rollout, is_scored: BoolArray) -> Rollout:
    """Return the rollout as if the feedback had abstained from the other episodes."""
    return replace(
        rollout,
        scores=np.where(is_scored, rollout.scores, 0.0),
        rewards=np.where(is_scored[:, None], rollout.rewards, 0.0),
        is_scored=rollout.is_scored & is_scored,
    )


def few_allowed(subject: Subject, size: int) -> BoolArray:
    """Return a mask [V] of a few of the tokens that may be chosen first."""
    allowed = np.flatnonzero(subject.start[1])
    mask = np.zeros(len(subject.start[1]), dtype=bool)
    mask[allowed[np.linspace(0, len(allowed) - 1, size).astype(int)]] = True
    return mask


def policy_of(agent: Any) -> Any:
    """Return the agent's policy where it can score actions, else None."""
    policy = getattr(agent, "policy", None)
    return policy if callable(getattr(policy, "evaluate", None)) else None


def before_and_after(subject: Subject) -> list[tuple[str, Any]]:
    """Return a new agent, and one that has learned, each with a word for when it is looked at."""
    learned = subject.make()
    for _ in range(2):
        subject.update(learned, subject.rollout, "a rollout")
    return [("at first", subject.make()), ("after an update", learned)]
