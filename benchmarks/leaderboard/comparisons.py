"""Say who is better than whom, and only where intervals say so.

Contenders with one seed were measured on the same prompts, so differences are taken seed by seed, with Student's interval. All pairs are
compared, and each interval is made wider (Bonferroni: Dunn 1961), so that all of them hold together with the probability that is stated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmarks.intervals import mean_interval
from benchmarks.leaderboard.run_statistics import CONFIDENCE, Estimate, Runs, interquartile_mean, iqm_draws

Pair = tuple[str, str]
Differences = Mapping[Pair, Estimate]  # of pairs in the contenders' order: by how much the first is above the second
PAIR_RESAMPLES = 20_000  # the ends of wider intervals are rarer


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], confidence: float = CONFIDENCE) -> Estimate | None:
    """Return by how much the first is above the second over the seeds that both have; None where they share fewer than two."""
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < 2:
        return None
    interval = mean_interval([first[seed] - second[seed] for seed in seeds], confidence)
    return Estimate(interval.mean, interval.low, interval.high)


def compare_on_task(values: Mapping[str, Mapping[int, float]], confidence: float = CONFIDENCE) -> Differences:
    """Return the differences of all pairs that can be compared.

    Args:
        values: of each contender by seed.
        confidence: that all intervals together hold.
    """
    pairs = list(combinations(values, 2))
    found = {(a, b): paired_difference(values[a], values[b], _of_one(confidence, len(pairs))) for a, b in pairs}
    return {pair: difference for pair, difference in found.items() if difference is not None}


def compare_over_tasks(
    runs: Mapping[str, Runs], confidence: float = CONFIDENCE, seed: int = 0, resamples: int = PAIR_RESAMPLES
) -> Differences:
    """Return the differences of interquartile means of all pairs, drawn again by themselves; none where a task has a single run.

    Runs that are drawn again from n vary by (n - 1) / n of what runs do, so that intervals are made sqrt(n / (n - 1)) times as wide
    (Hesterberg 2015, "What teachers should know about the bootstrap"), n = the fewest runs of a task.
    """
    fitting = {name: of for name, of in runs.items() if all(len(scores) > 1 for scores in of)}
    values = {name: float(interquartile_mean(np.concatenate(of))) for name, of in fitting.items()}
    draws = {name: iqm_draws(of, np.random.default_rng([seed, place]), resamples) for place, (name, of) in enumerate(fitting.items())}
    pairs = list(combinations(fitting, 2))
    tail = (1 - _of_one(confidence, len(pairs))) / 2
    found = {}
    for a, b in pairs:
        fewest = min(len(scores) for name in (a, b) for scores in runs[name])
        value = values[a] - values[b]
        low, high = value + math.sqrt(fewest / (fewest - 1)) * (np.quantile(draws[a] - draws[b], [tail, 1 - tail]) - value)
        found[a, b] = Estimate(value, float(low), float(high))
    return found


def ranks(names: Sequence[str], differences: Differences) -> dict[str, tuple[int, int]]:
    """Return between which ranks each contender lies: behind those that are better for sure, ahead of those that are worse for sure."""
    better = {name: sum(sign_of(other, name, differences) > 0 for other in names) for name in names}
    worse = {name: sum(sign_of(other, name, differences) < 0 for other in names) for name in names}
    return {name: (1 + better[name], len(names) - worse[name]) for name in names}


def sign_of(first: str, second: str, differences: Differences) -> int:
    """Return 1 where the first is better for sure, -1 where it is worse, 0 where nothing can be told."""
    if (first, second) in differences:
        return differences[first, second].sign
    return -differences[second, first].sign if (second, first) in differences else 0


def verdicts(names: Sequence[str], differences: Differences, shown: Callable[[float], str], where: str) -> list[str]:
    """Return a sentence on each contender: whom it is better than, with each interval, and from whom it cannot be told."""
    sentences = []
    for name in names:
        better = [f"{other} ({_words(name, other, differences, shown)})" for other in names if sign_of(name, other, differences) > 0]
        untold = [other for other in names if other != name and sign_of(name, other, differences) == 0]
        parts = [f"is better than {listed(better)}"] if better else []
        parts += [f"cannot be told from {listed(untold)}"] if untold else []
        if parts:
            sentences.append(f"{name} {'; it '.join(parts)} {where}.")
    return sentences


def leading(names: Sequence[str], differences: Differences) -> list[str]:
    """Return those that nobody is better than for sure."""
    return [name for name, (first, _) in ranks(names, differences).items() if first == 1]


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def _words(first: str, second: str, differences: Differences, shown: Callable[[float], str]) -> str:
    at = differences.get((first, second))
    low, value, high = (at.low, at.value, at.high) if at else _turned(differences[second, first])
    return f"by {shown(value)}, {shown(low)} to {shown(high)}"


def _turned(difference: Estimate) -> tuple[float, float, float]:
    return -difference.high, -difference.value, -difference.low


def _of_one(confidence: float, count: int) -> float:
    """Return what each of so many intervals must hold with, so that all of them hold with `confidence`."""
    return 1 - (1 - confidence) / max(count, 1)
