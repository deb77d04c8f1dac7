"""Train the tiny language model on a learned score, and judge what it writes by the true one, which the training never sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from agents import RLOO, CausalPolicy, RLOOConfig, collect
from benchmarks.overoptimisation.noisy_labels import noisy_comparisons, random_pairs
from benchmarks.overoptimisation.points import Point
from benchmarks.overoptimisation.proxies import Proxy, fit_proxies
from benchmarks.overoptimisation.text_pool import PENALTY, TASK, TextPool, features_of, true_score
from feedback import Source

if TYPE_CHECKING:
    from text_env.episode import Episode

FloatArray = npt.NDArray[np.float64]
ROWS = 64  # responses an update
GROUP = 8  # responses to one prompt, for the baseline
LEARNING_RATE = 3e-4
BLOCK = 5  # updates whose responses are measured together


@dataclass(frozen=True)
class Training:
    """Name one training.

    Args:
        noise, way, kl_weight, seed: see `Point`. num_updates: of 64 responses. new_tokens: of a response, at most.
    """

    noise: float
    way: str
    kl_weight: float
    seed: int
    num_updates: int
    new_tokens: int


class LearnedScore(Source):
    """Judge by a learned score alone."""

    low, high, unit = -np.inf, np.inf, "deviations of the reference policy's responses"

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the learned score of each episode."""
        return [float(score) for score in self.proxy.scores(features_of(episodes))]


def run_training(pool: TextPool, training: Training, num_comparisons: int, num_heads: int, variance_weight: float) -> list[Point]:
    """Train, and return a point for every few updates, and the untrained policy's."""
    usual, seed = pool.train, training.seed
    pairs = random_pairs(usual.group, num_comparisons, seed)
    comparisons = noisy_comparisons(usual.gold, pairs, training.noise, seed)
    proxy = fit_proxies(usual.features, comparisons, num_heads, seed, variance_weight, PENALTY, usual.features)[training.way]
    env = gym.make_vec(
        TASK,
        num_envs=ROWS,
        tokenizer="tinylm",
        max_new_tokens=training.new_tokens,
        feedback=LearnedScore(proxy),
        group_size=GROUP,
        autoreset_mode=gym.vector.AutoresetMode.DISABLED,
    )
    policy = CausalPolicy("tinylm", device="cpu", compute_dtype="float32", seed=seed)
    agent = RLOO(policy, RLOOConfig(learning_rate=LEARNING_RATE, kl_weight=training.kl_weight, rows_per_backward=ROWS))
    measured = []
    for update in range(training.num_updates):
        rollout = collect(env, agent, ROWS, seed=int(np.random.SeedSequence((seed, update)).generate_state(1)[0]))
        kl = agent.update(rollout)["kl_nats_per_response"]  # of the policy that wrote, before the step
        written = [episode for episode in rollout.episodes if episode is not None]
        measured.append((kl, usual.in_units(true_score(written)).mean(), rollout.scores.mean()))
    return _points(np.array(measured), training)


def _points(measured: FloatArray, training: Training) -> list[Point]:
    """Return a point for each block of updates; the last one may be shorter."""
    blocks = [measured[start : start + BLOCK].mean(axis=0) for start in range(0, len(measured), BLOCK)]
    named = ("rl", training.noise, training.way, training.kl_weight, training.seed)
    return [Point(*named, float(BLOCK * place), *map(float, block)) for place, block in enumerate(blocks)]
