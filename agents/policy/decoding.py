"""Feed a policy's model what the rows of a vector environment have received since the last step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from transformers import PretrainedConfig, PreTrainedModel

from agents.agent import Observation
from agents.policy.actions import ActionBatch
from agents.policy.architecture import hidden_states
from agents.policy.attention import VisibleTokens
from agents.policy.draws import Draws
from agents.policy.slots import BoolArray, Feed, IntArray, SlotCache, SlotTable, on_device
from text_env.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Memory:
    """Hold what a policy remembers of the rows that it writes: their keys and values, and its random numbers.

    Args:
        weights: the mark of the weights that the cache was made with.
        table: which row lies in which slot.
        cache: keys and values.
        draws: decide the tokens.
    """

    weights: object
    table: SlotTable
    cache: SlotCache
    draws: Draws

    def drawing_by_row(self, seeds: Sequence[int]) -> Memory:
        """Return this memory with draws of its own for each row."""
        return replace(self, draws=Draws.of_rows(seeds))


class CausalReader:
    """Run the trunk of a model that reads prompt and response as one sequence; see `Reader`.

    Args:
        config: the model's.
        dtype: precision of the attention scores while writing.
        device: where the model is.
    """

    def __init__(self, config: PretrainedConfig, dtype: torch.dtype, device: torch.device) -> None:
        self.visible = VisibleTokens(config, dtype)
        self.device = device
        self._longest: int | None = getattr(config, "max_position_embeddings", None)

    def memory(self, num_rows: int, weights: object, draws: Draws) -> Memory:
        """Return an empty memory."""
        return Memory(weights, SlotTable(num_rows), SlotCache(num_rows), draws)

    def check_rows(self, memory: Memory, observation: Observation, active: BoolArray) -> None:
        """Raise where the observation does not fit the memory, or a row is longer than the model can read."""
        check_rows(memory.table.num_rows, token_counts(observation), active, self._longest)

    def last_hidden_states(
        self, model: PreTrainedModel, memory: Memory, observation: Observation, fresh: BoolArray, active: BoolArray
    ) -> tuple[torch.Tensor, IntArray]:
        """Feed every active row its new tokens and return the hidden state of its last one, and which row each is of."""
        ids = np.asarray(observation["input_ids"], dtype=np.int64)
        lengths = token_counts(observation)
        return last_hidden_states(model, self.visible, memory, ids, lengths, fresh, active, self.device), memory.table.rows

    def states(self, model: PreTrainedModel, batch: ActionBatch) -> torch.Tensor:
        """Return the hidden states from which actions were chosen."""
        ids = batch.read
        hidden = hidden_states(model, ids, torch.arange(ids.shape[1], device=self.device).expand_as(ids))
        return hidden[batch.states]


def token_counts(observation: Observation) -> IntArray:
    """Return how many tokens of each row are real: [N]; counted, since the pad id may equal a real one."""
    return np.asarray(np.asarray(observation["attention_mask"]).sum(1, dtype=np.int64))


def check_rows(num_rows: int, lengths: IntArray, active: BoolArray, longest: int | None) -> None:
    """Raise where an observation has other rows than the memory, or a row is longer than the model can read."""
    if len(lengths) != num_rows:
        raise ValueError(f"the memory was started for {num_rows} rows and the observation has {len(lengths)}")
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
