"""Feed a policy's model what the rows of a vector environment have received since the last step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from agents.policy.architecture import hidden_states
from agents.policy.attention import VisibleTokens
from agents.policy.slots import BoolArray, Feed, IntArray, SlotCache, SlotTable, on_device
from text_env.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Memory:
    """Hold what a policy remembers of the rows that it writes: their keys and values, and its random numbers.

    Args:
        weights: the mark of the weights that the cache was made with.
        table: which row lies in which slot.
        cache: keys and values.
        generator: draws the tokens. It lives on the CPU on every device, so that a seed gives the same numbers everywhere.
        row_generators: where there are any, one per row, which draws the tokens of that row alone.
    """

    weights: object
    table: SlotTable
    cache: SlotCache
    generator: torch.Generator
    row_generators: tuple[torch.Generator, ...] = ()

    def drawing_by_row(self, seeds: Sequence[int]) -> Memory:
        """Return this memory with a generator for each row, so that what a row writes does not depend on what else is written."""
        return replace(self, row_generators=tuple(torch.Generator().manual_seed(seed) for seed in seeds))

    def uniforms(self, dtype: torch.dtype) -> torch.Tensor:
        """Draw a number from 0 to 1 for each slot: [slots], on the CPU."""
        rows = self.table.rows
        if not self.row_generators:
            return torch.rand(len(rows), generator=self.generator, dtype=dtype)
        return torch.cat([torch.rand(1, generator=self.row_generators[row], dtype=dtype) for row in rows])


def check_rows(memory: Memory, lengths: IntArray, active: BoolArray, longest: int | None) -> None:
    """Raise where the observation does not fit the memory, or a row is longer than the model can read."""
    if len(lengths) != memory.table.num_rows:
        raise ValueError(f"the memory was started for {memory.table.num_rows} rows and the observation has {len(lengths)}")
    too_long = active & (lengths > (longest or np.inf))
    if too_long.any():
        row = int(np.argmax(too_long))
        raise ValueError(
            f"row {row} holds {lengths[row]} tokens and the model reads at most {longest}: lower max_prompt_tokens or max_new_tokens"
        )


def check_mask(action_mask: BoolArray | None, active: BoolArray, width: int, tokens: Tokens | None) -> None:
    """Raise where the environment's actions are not the model's tokens, or a row may choose none."""
    num_actions = width if tokens is None else tokens.vocab_size
    num_actions = num_actions if action_mask is None else action_mask.shape[1]
    if num_actions != width:
        raise ValueError(
            f"the environment has {num_actions} actions and the model {width} logits: make the environment with "
            f"vocab_size={width}, so that ids without a token are masked"
        )
    if action_mask is not None:
        allows = np.asarray(action_mask.any(axis=1))
        if not allows[active].all():
            raise ValueError(f"the action mask of row {int(np.argmax(active & ~allows))} allows no token")


def last_hidden_states(
    model: PreTrainedModel,
    visible: VisibleTokens,
    memory: Memory,
    ids: npt.NDArray[np.int64],
    lengths: IntArray,
    fresh: BoolArray,
    active: BoolArray,
    device: torch.device,
) -> torch.Tensor:
    """Feed every active row its new tokens and return the hidden state of its last one: [slots, H], in the slots' order.

    Args:
        ids: [N, L] prompt and response of each row, padded on the right.
        lengths: [N] how many of them are real; counted, since the pad id may equal a real one.
        fresh, active: [N] rows whose episode has just begun, and rows that still write.
    """
    table = memory.table
    memory.cache.move(*table.seat(fresh, active))
    feeds, twins = table.feeds(ids, lengths)
    parts = []
    for feed in feeds:
        rows = on_device(ids[table.rows[feed.slots]], device)
        hidden = feed_tokens(model, memory.cache, visible, feed, rows)
        last = on_device(feed.counts - 1, device)
        parts.append(hidden[torch.arange(len(last), device=device), last])
        table.held[feed.slots] += feed.counts
    if len(parts) == 1 and not len(twins.targets):
        return parts[0]
    memory.cache.move(*twins)
    table.held[twins.targets] = table.held[twins.sources]
    by_slot = parts[0].new_empty(len(table.rows), parts[0].shape[1])
    for feed, part in zip(feeds, parts, strict=True):
        by_slot[on_device(feed.slots, device)] = part
    sources, targets = (on_device(slots, device) for slots in twins)
    by_slot[targets] = by_slot[sources]
    return by_slot


def feed_tokens(model: PreTrainedModel, cache: SlotCache, visible: VisibleTokens, feed: Feed, ids: torch.Tensor) -> torch.Tensor:
    """Run the trunk over the new tokens of some slots and return their hidden states [n, width, H].

    Args:
        model: the one that steps.
        cache: receives the keys and values.
        visible: builds the attention masks.
        feed: the slots, and how many tokens each holds and receives.
        ids: [n, L] all tokens of the rows in these slots, on the model's device.
    """
    limit = ids.shape[1]
    positions = on_device(feed.starts, ids.device)[:, None] + torch.arange(feed.width, device=ids.device)
    cache.aim(feed, positions, limit)
    mask = visible.mask(positions[:1] if feed.is_prefill else positions, cache.num_columns)
    positions = positions.clamp(max=limit - 1)  # padding may reach beyond what a row, or a table of positions, can hold
    return hidden_states(model, ids.gather(1, positions), positions, mask, cache)
