"""Keep the keys and values of rows whose response comes from a decoder, so that a step costs one decoder token per row.

In the decoders of BART, Marian and T5 the position is one number for the whole batch: rows whose responses are of different lengths
cannot be forwarded together. Rows that began at the same step stay equally long, so they form a cohort with a cache of its own; a
step is one forward pass per cohort. Within a cohort, slots are closed up as rows end. The prompt goes through the encoder once per
episode, and the keys and values that the decoder makes of it are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from transformers import Cache, EncoderDecoderCache

from agents.policy.draws import Draws
from agents.policy.slots import BoolArray, Feed, IntArray, SlotCache, close_holes, on_device


class ResponseCache(SlotCache):
    """Hold the keys and values of responses that are all equally long."""

    held = 0

    def aim(self, feed: Feed, positions: torch.Tensor, limit: int) -> None:
        """Say where the next forward pass writes; see `SlotCache.aim`."""
        super().aim(feed, positions, limit)
        self.held = int(feed.starts[0])
        self.num_columns = self.held + feed.width

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many tokens each row held before this pass: decoders take it for the position."""
        return self.held


@dataclass
class PromptLayer:
    """Hold what one decoder layer made of the prompts: [n, heads, S, size]."""

    keys: torch.Tensor
    values: torch.Tensor


class PromptCache(Cache):
    """Hold the keys and values of prompts: written by the first forward pass, read by the others."""

    def __init__(self) -> None:
        super().__init__(layers=[])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep a layer's keys and values."""
        assert layer_idx == len(self.layers)
        self.layers.append(PromptLayer(key_states, value_states))  # type: ignore[arg-type]
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many prompt tokens a layer holds."""
        return self.layers[layer_idx].keys.shape[2] if layer_idx < len(self.layers) else 0  # type: ignore[union-attr]

    def take(self, rows: torch.Tensor) -> PromptCache:
        """Return the prompts of some rows."""
        taken = PromptCache()
        for layer in self.layers:
            assert isinstance(layer, PromptLayer)
            taken.layers.append(PromptLayer(layer.keys[rows], layer.values[rows]))  # type: ignore[arg-type]  # a layer by what it does
        return taken

    def move(self, sources: IntArray, targets: IntArray, num_rows: int) -> None:
        """Copy whole rows to other rows, and keep the first `num_rows`."""
        for layer in self.layers:
            for name in ("keys", "values"):
                store = getattr(layer, name)
                if len(sources):
                    store[on_device(targets, store.device)] = store[on_device(sources, store.device)]
                setattr(layer, name, store[:num_rows])


@dataclass(eq=False)
class Cohort:
    """Hold rows whose responses are equally long.

    Args:
        rows: [n] row of each slot.
        held: decoder tokens that each slot holds, those before the response included.
        responses, prompts: keys and values.
        hides: [n, 1, 1, S] what is added to the scores of prompt tokens: 0, or the lowest number on padding.
    """

    rows: IntArray
    held: int
    responses: ResponseCache
    prompts: PromptCache
    hides: torch.Tensor

    def cache(self) -> EncoderDecoderCache:
        """Return both caches as transformers reads them; the prompts' are marked as written if they are."""
        return EncoderDecoderCache(self.responses, self.prompts)

    def drop(self, stays: BoolArray) -> None:
        """Forget the rows that do not stay."""
        if stays.all():
            return
        sources, targets = close_holes(stays)
        num_rows = int(stays.sum())
        self.responses.move(sources, targets)
        self.prompts.move(sources, targets, num_rows)
        if len(sources):
            self.hides[on_device(targets, self.hides.device)] = self.hides[on_device(sources, self.hides.device)]
        self.rows[targets] = self.rows[sources]
        self.rows, self.hides = self.rows[:num_rows], self.hides[:num_rows]

    def take(self, slots: IntArray, rows: IntArray) -> Cohort:
        """Return a cohort that holds, for each of `rows`, what lies in the slot beside it."""
        places = on_device(slots, self.hides.device)
        return Cohort(rows, self.held, self.responses_of(places), self.prompts.take(places), self.hides[places])

    def responses_of(self, slots: torch.Tensor) -> ResponseCache:
        """Return a cache with the responses of some slots."""
        taken = ResponseCache(len(slots))
        taken.keys = [store[slots] for store in self.responses.keys]
        taken.values = [store[slots] for store in self.responses.values]
        taken.capacity = self.responses.capacity
        return taken

    def split(self, counts: IntArray) -> list[Cohort]:
        """Return cohorts whose rows receive equally many new tokens: this one, unless a partner wrote to some of them."""
        different = np.unique(counts)
        if len(different) == 1:
            return [self]
        slots = [np.flatnonzero(counts == count) for count in different]
        return [self.take(some, self.rows[some]) for some in slots]


@dataclass(eq=False)
class CohortMemory:
    """Hold what an encoder-decoder policy remembers of the rows that it writes; see `decoding.Memory`."""

    weights: object
    num_rows: int
    draws: Draws
    cohorts: list[Cohort] = field(default_factory=list)

    def drawing_by_row(self, seeds: Sequence[int]) -> CohortMemory:
        """Return this memory with draws of its own for each row."""
        return replace(self, draws=Draws.of_rows(seeds))

    def keep(self, stays: BoolArray) -> IntArray:
        """Forget rows [N] that do not stay, and return those that stay and are known."""
        for cohort in self.cohorts:
            cohort.drop(stays[cohort.rows])
        self.cohorts = [cohort for cohort in self.cohorts if len(cohort.rows)]
        known = [cohort.rows for cohort in self.cohorts]
        return np.concatenate(known) if known else np.empty(0, dtype=np.int64)
