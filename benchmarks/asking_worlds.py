"""Make the worlds in which `benchmarks.asking` chooses what to ask: what there is, what it is truly worth, and what may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feedback.selection.candidate_pairs import pairs_within

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NUM_FEATURES = 16  # of the linear world
GROUPS, GROUP = 60, 10  # items that may be compared, and as many again that nobody is asked about
PROMPTS = {"train": (64, 16), "held_out": (16, 64)}  # and responses to each, of the text world
PAIRS_EACH = 60  # candidate pairs of a prompt
SAME = 1e-5  # responses whose features differ by less are one response, written twice


@dataclass(frozen=True, eq=False)
class Items:
    """Hold items and which of them may be compared.

    Args:
        features: [I, F]. gold: [I], what they are worth: mean 0, deviation 1. pairs: [N, 2].
    """

    features: FloatArray
    gold: FloatArray
    pairs: IntArray

    @property
    def gap(self) -> FloatArray:
        """Return what the first of each pair is worth more than the second, in deviations: [N]."""
        return self.gold[self.pairs[:, 0]] - self.gold[self.pairs[:, 1]]

    def accuracy(self, scores: FloatArray, chosen: IntArray | None = None) -> float:
        """Return how often scores [I] order pairs as they truly are; a tie of the scores is half right, true ties do not count.

        Args:
            chosen: numbers of pairs; None = all.

        Errors: ValueError where every pair is a true tie.
        """
        rows = np.arange(len(self.pairs)) if chosen is None else chosen
        first, second = self.pairs[rows].T
        truth, said = np.sign(self.gap[rows]), np.sign(scores[first] - scores[second])
        if not truth.any():
            raise ValueError(f"no pair of {len(rows)} has a better item: nothing can be examined on them")
        return float((0.5 + 0.5 * truth * said)[truth != 0].mean())


@dataclass(frozen=True, eq=False)
class World:
    """Hold items that people can be asked about, and others like them that nobody is."""

    known: Items
    new: Items


def linear_world(seed: int) -> World:
    """Draw items with normal features, in groups of ten, and a direction in which they are better."""
    generator = np.random.default_rng((seed, 11))
    taste = generator.normal(size=NUM_FEATURES)
    group = np.repeat(np.arange(GROUPS), GROUP)
    features = [generator.normal(size=(len(group), NUM_FEATURES)) for _ in range(2)]
    return World(*(_items(rows, rows @ taste, group, None) for rows in features))


def text_world(folder: Path, new_tokens: int) -> World:
    """Let the tiny language model respond to review openings; a response is worth how positive it sounds less how far it repeats itself.

    Args:
        folder: keeps the responses' features and worth.
    """
    from benchmarks.overoptimisation.text_pool import load_pool, prepare_pool

    sizes = "-".join(f"{prompts}x{each}" for prompts, each in PROMPTS.values())
    file = folder / f"pool-{new_tokens}-tokens-{sizes}.npz"
    prepare_pool(file, new_tokens, PROMPTS)
    pool = load_pool(file)
    return World(*(_items(part.features, part.raw, part.group, PAIRS_EACH) for part in (pool.train, pool.held_out)))


def _items(features: FloatArray, raw: FloatArray, group: IntArray, most_each: int | None) -> Items:
    pairs = pairs_within(group, most_each)
    differs = np.abs(features[pairs[:, 0]] - features[pairs[:, 1]]).max(axis=1) > SAME
    return Items(features, np.asarray((raw - raw.mean()) / raw.std()), pairs[differs])
