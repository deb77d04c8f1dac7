"""Choose every allowed token with the same probability: the agent that knows nothing, to compare with and to test with.

It learns nothing, needs no model, and costs almost nothing a step.
"""

from __future__ import annotations

import numpy as np

from agents.agent import BoolArray, Decision, Observation
from agents.learning.rollout import Rollout


class Uniform:
    """Choose tokens at random.

    Args:
        vocab_size: V, how many tokens there are.
        seed: decides the memories that are made without a seed.
    """

    def __init__(self, vocab_size: int, seed: int = 0) -> None:
        if vocab_size < 1:
            raise ValueError(f"vocab_size must be at least 1, got {vocab_size}")
        self.vocab_size = vocab_size
        self._seeds = np.random.SeedSequence(seed)

    def start(self, num_rows: int, seed: int | None = None) -> np.random.Generator:
        """Return a generator; an explicit seed disturbs nothing else."""
        return np.random.default_rng(self._seeds.spawn(1)[0] if seed is None else seed)

    def act(
        self,
        observation: Observation,
        memory: np.random.Generator,
        fresh: BoolArray,
        active: BoolArray,
        action_mask: BoolArray | None = None,
    ) -> Decision:
        """Choose one of the allowed tokens for each active row."""
        uniform = memory.random(len(active))
        if action_mask is None:
            tokens, counts = (uniform * self.vocab_size).astype(np.int64), np.full(len(active), self.vocab_size)
        else:
            counts = np.maximum(action_mask.sum(axis=1), 1)
            place = (uniform * counts).astype(np.int64)  # which of the allowed tokens
            tokens = (action_mask.cumsum(axis=1) <= place[:, None]).sum(axis=1)
        return Decision(np.where(active, tokens, 0), np.where(active, -np.log(counts), 0.0).astype(np.float32))

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn nothing; return the mean score."""
        scored = rollout.is_scored
        return {"score": float(rollout.scores[scored].mean())} if scored.any() else {}
