"""Give each purpose of a run a seed of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from benchmarks.paired_runs import TRAINING


def update_seeds(seed: int, update: int) -> Iterator[int]:
    """Give the seeds of one update's rollouts, of which most have one: the same for all contenders, so that they meet the same prompts."""
    return (int(np.random.SeedSequence((seed, TRAINING, update, number)).generate_state(1)[0]) for number in itertools.count())
