"""Over-optimise where every response can be listed: the score, the distance and the learned score of any policy are exact sums.

The language is a Markov chain over a few letters and an end; the true score is a sum over neighbouring letters, less how unlikely the
response is for the reference: as in real text, what nobody writes is mostly bad, and nobody has judged it either. A learned score sees the
counts of neighbours, so that it could be right: what it gets wrong comes from few and noisy comparisons alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.best_of_pool import exact_best_of_n, kl_nats
from benchmarks.overoptimisation.noisy_labels import noisy_comparisons
from benchmarks.overoptimisation.points import Point
from benchmarks.overoptimisation.proxies import WAYS, Proxy, fit_proxies
from text_env.exact import list_responses

FloatArray = npt.NDArray[np.float64]
KL_WEIGHTS = (8.0, 4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)  # deviations of the learned score per nat
PENALTY = 0.3  # on the squares of a learned score's weights: a weak prior, as that of a network is
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, eq=False)
class ExactWorld:
    """Hold all responses.

    Args:
        reference: [R], their probabilities.
        gold: [R], their true score: mean 0 and deviation 1 under the reference.
        features: [R, F], what a learned score sees.
    """

    reference: FloatArray
    gold: FloatArray
    features: FloatArray


def make_exact_world(seed: int, vocab_size: int = 6, horizon: int = 6, spread: float = 2.0, dislike: float = 2.0) -> ExactWorld:
    """Draw a language and a taste.

    Args:
        vocab_size: letters and the end. horizon: most tokens of a response.
        spread: deviation of the chain's logits; 0 = every letter is as likely as any other.
        dislike: deviations of the taste per deviation of the log-probability; 0 = the taste knows nothing of what is usual.
    """
    end = vocab_size - 1
    responses = list_responses(vocab_size, horizon, (end,))
    before = np.concatenate([np.full((len(responses), 1), end), responses.tokens[:, :-1]], axis=1)  # the start shares the end's number
    pair = before * vocab_size + responses.tokens
    counts = np.zeros((len(responses), vocab_size * vocab_size))
    for column in range(horizon):
        counts[np.arange(len(responses)), pair[:, column]] += responses.is_action[:, column]
    generator = np.random.default_rng((seed, 0))
    logits = spread * generator.normal(size=(vocab_size, vocab_size))
    log_chain = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    log_reference = counts @ log_chain.ravel()
    reference = np.exp(log_reference)
    reference /= reference.sum()  # 1 up to rounding
    taste = standardised(counts @ generator.normal(size=vocab_size * vocab_size), reference)
    gold = standardised(taste + dislike * standardised(log_reference, reference), reference)
    return ExactWorld(reference, gold, counts)


def standardised(values: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Return values less their mean, by their standard deviation, under a distribution: [..., R].

    Errors: ValueError where all probable values are the same.
    """
    middle = values @ probabilities
    deviation = np.sqrt(((values - middle[..., None]) ** 2) @ probabilities)
    if not (deviation > 1e-12).all():
        raise ValueError("a score that is the same for every response tells none apart")
    return np.asarray((values - middle[..., None]) / deviation[..., None])


def run_exact(seed: int, noises: Sequence[float], num_comparisons: int, num_heads: int, variance_weight: float) -> list[Point]:
    """Return every point of one world: each noise, way of combining, and KL weight or number of responses."""
    world = make_exact_world(seed)
    drawn = np.random.default_rng((seed, 3)).choice(len(world.gold), size=(4 * num_comparisons, 2), p=world.reference)
    pairs = drawn[drawn[:, 0] != drawn[:, 1]][:num_comparisons]
    points = []
    for noise in noises:
        comparisons = noisy_comparisons(world.gold, pairs, noise, seed)
        proxies = fit_proxies(world.features, comparisons, num_heads, seed, variance_weight, PENALTY, world.features, world.reference)
        for way in WAYS:
            points += [*_tilted(world, proxies[way], noise, way, seed), *_best(world, proxies[way], noise, way, seed)]
    return points


def _tilted(world: ExactWorld, proxy: Proxy, noise: float, way: str, seed: int) -> list[Point]:
    """Follow the policy that is best for the learned score at each KL weight: pi ~ reference * exp(score / weight)."""
    scores, points = proxy.scores(world.features), []
    for place, weight in enumerate(KL_WEIGHTS):
        logits = np.log(world.reference) + scores / weight
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
        points.append(_point("exact optimum", world, policy, scores, noise, way, float(place), seed))
    return points


def _best(world: ExactWorld, proxy: Proxy, noise: float, way: str, seed: int) -> list[Point]:
    scores = proxy.scores(world.features)
    chosen = [(n, exact_best_of_n(world.reference, scores, n)) for n in SIZES]
    return [_point("exact best of n", world, policy, scores, noise, way, float(n), seed) for n, policy in chosen]


def _point(part: str, world: ExactWorld, policy: FloatArray, scores: FloatArray, noise: float, way: str, at: float, seed: int) -> Point:
    distance = kl_nats(policy, world.reference)
    return Point(part, noise, way, 0.0, seed, at, distance, float(policy @ world.gold), float(policy @ scores))
