"""Write one pool of responses by the tiny language model, judge them by the true score, and take the best of n by learned ones.

The true score is how positive a response sounds less how far it repeats itself: a learned score hardly meets repetition, since the model
seldom writes it, until it is optimised.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from agents import CausalPolicy, Frozen, collect
from agents.learning.best_of_n import best_of_n_kl_bound
from benchmarks.best_of_pool import pool_best_of_n
from benchmarks.overoptimisation.noisy_labels import noisy_comparisons, random_pairs
from benchmarks.overoptimisation.points import Point
from benchmarks.overoptimisation.proxies import WAYS, fit_proxies
from feedback import Repetition, Sentiment
from feedback.learned.reward_network import RewardNetwork, load_trunk
from feedback.learned.reward_tokens import RowMaker
from text_env.scoring import Judge
from text_env.tokens import load_tokens

if TYPE_CHECKING:
    from text_env.episode import Episode

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TASK = "TextGen/Reviews-v0"
SPLITS = {"train": (64, 16), "held_out": (16, 1024)}  # prompts, and responses to each
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PENALTY = 0.3  # on the squares of a learned score's weights, as on the enumerable task


@dataclass(frozen=True, eq=False)
class Part:
    """Hold the responses to some prompts.

    Args:
        features: [N, F]. raw: [N], true score. group: [N], number of the prompt.
    """

    features: FloatArray
    raw: FloatArray
    group: IntArray

    @property
    def gold(self) -> FloatArray:
        """Return the true score in deviations from its mean: [N]."""
        return self.in_units(self.raw)

    def in_units(self, raw: FloatArray) -> FloatArray:
        """Return true scores, of whatever responses, in this part's deviations from its mean."""
        return np.asarray((raw - self.raw.mean()) / self.raw.std())


@dataclass(frozen=True, eq=False)
class TextPool:
    """Hold responses of the reference policy: to learn from, and to take the best of."""

    train: Part
    held_out: Part


def true_score(episodes: Sequence[Episode]) -> FloatArray:
    """Return the true score of each episode: [N]."""
    said = Judge(Sentiment() - Repetition(n=1)).ask(episodes)
    return np.array([judgement.score for judgement in said], dtype=np.float64)


def features_of(episodes: Sequence[Episode]) -> FloatArray:
    """Return what a learned score sees of each episode, the mean state of the untrained model: [N, F]."""
    network, maker = _reader()
    return network.features(maker.rows(episodes)).astype(np.float64)


@cache
def _reader() -> tuple[RewardNetwork, RowMaker]:
    network, tokens = RewardNetwork(load_trunk("tinylm"), read="mean"), load_tokens("tinylm")
    return network, RowMaker.of(tokens, network.longest, tokens.fingerprint)


def prepare_pool(file: Path, new_tokens: int, splits: Mapping[str, tuple[int, int]] = SPLITS) -> None:
    """Write the pool's file unless it is there.

    Args:
        splits: number of prompts, and of responses to each, of "train" and "held_out".
    """
    if file.exists():
        return
    parts: dict[str, Any] = {}
    for split, (num_prompts, each) in splits.items():
        episodes, group = _written(split, num_prompts, each, new_tokens)
        parts |= {f"{split}_raw": true_score(episodes), f"{split}_group": group, f"{split}_features": features_of(episodes)}
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"unfinished-{os.getpid()}.npz")
    np.savez(unfinished, **parts)
    unfinished.replace(file)


def load_pool(file: Path) -> TextPool:
    """Read the pool's file."""
    with np.load(file, allow_pickle=False) as parts:
        return TextPool(*(Part(*(parts[f"{split}_{name}"] for name in ("features", "raw", "group"))) for split in SPLITS))


def run_pool(
    pool: TextPool, seed: int, noises: Sequence[float], num_comparisons: int, num_heads: int, variance_weight: float
) -> list[Point]:
    """Return a point for each noise, way and n."""
    known, own = pool.train, pool.held_out
    pairs = random_pairs(known.group, num_comparisons, seed)
    points = []
    for noise in noises:
        comparisons = noisy_comparisons(known.gold, pairs, noise, seed)
        proxies = fit_proxies(known.features, comparisons, num_heads, seed, variance_weight, PENALTY, own.features)
        for way in WAYS:
            scores = proxies[way].scores(own.features)
            gold, proxy = (_best(scores, worth, own.group) for worth in (own.gold, scores))
            points += [
                Point("pool best of n", noise, way, 0.0, seed, float(n), best_of_n_kl_bound(n), float(of_gold), float(of_proxy))
                for n, of_gold, of_proxy in zip(SIZES, gold, proxy, strict=True)
            ]
    return points


def _best(scores: FloatArray, worth: FloatArray, group: IntArray) -> FloatArray:
    """Return the mean worth over prompts of the best of n by a score: [sizes]. Responses of a prompt stand together."""
    shape = (group[-1] + 1, -1)
    return np.asarray(pool_best_of_n(scores.reshape(shape), worth.reshape(shape), SIZES).mean(axis=1))


def _written(split: str, num_prompts: int, each: int, new_tokens: int) -> tuple[list[Episode], IntArray]:
    rows = 256
    env = gym.make_vec(
        TASK, num_envs=rows, tokenizer="tinylm", max_new_tokens=new_tokens, split=split, autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        group_size=each, feedback=Repetition(),
    )  # fmt: skip
    rollout = collect(env, Frozen(CausalPolicy("tinylm", device="cpu", compute_dtype="float32", seed=0)), num_prompts * each, seed=0)
    episodes = [episode for episode in rollout.episodes if episode is not None]
    assert len(episodes) == num_prompts * each
    return episodes, np.repeat(np.arange(num_prompts), each)
