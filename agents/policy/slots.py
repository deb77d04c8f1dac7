"""Keep the keys and values of every row that still writes, so that a step costs one token per row.

A row of a vector environment is a slot of the cache. Rows that write lie in slots 0, 1, ..., without holes: when a row
ends, the last slot moves into its place. A step therefore reads a plain view of the cache and copies nothing. Serving
engines call giving a freed slot to the next prompt continuous batching (Yu et al. 2022, Orca); their paging of a slot
into blocks is left out, since episodes here are short and of bounded length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import Cache

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_GRAIN = 16  # columns by which the cache grows
_COST_OF_A_PASS = 64  # padding tokens that cost about as much as a forward pass of their own


def on_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Move an array of numbers to a device."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


class Feed(NamedTuple):
    """Describe one forward pass: which slots get how many new tokens, and where.

    Args:
        slots: [n] slots in the batch's order; ascending.
        starts: [n] tokens that each slot holds already.
        counts: [n] new tokens of each slot, at least 1. The batch is padded on the right to the largest.
    """

    slots: IntArray
    starts: IntArray
    counts: IntArray

    @property
    def width(self) -> int:
        """Return the largest number of new tokens."""
        return int(self.counts.max())

    @property
    def is_prefill(self) -> bool:
        """Say whether no slot holds anything yet, so that the new tokens see only each other."""
        return not self.starts.any()


class Twins(NamedTuple):
    """Name slots whose whole content another slot is about to receive: [m] sources and [m] targets."""

    sources: IntArray
    targets: IntArray


class SlotCache(Cache):
    """Hold keys and values [slots, heads, tokens, width] per layer, at positions of their own in each slot.

    Before each forward pass of the model, `aim` says where the pass writes and what it reads. What lies behind a slot's
    own length is finite but meaningless: the attention mask hides it. All columns are read, used or not, since a batch of
    products over contiguous slots is faster than one over shorter pieces of them; so the cache grows in small steps.

    Args:
        num_slots: the largest number of rows that write at once.
    """

    def __init__(self, num_slots: int) -> None:
        super().__init__(layers=[])
        self.num_slots = num_slots
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.capacity = 0
        self._span: slice | None = None
        self.num_columns = 0  # what a new token is shown, hidden columns included
        self._is_prefill = False
        self._slots = torch.empty(0)
        self._positions = torch.empty(0)
        self._places: dict[int, torch.Tensor] = {}

    def aim(self, feed: Feed, positions: torch.Tensor, limit: int) -> None:
        """Say where the next forward pass writes.

        Args:
            feed: the slots and their new tokens.
            positions: [n, width] int64, the position of each new token, on the model's device.
            limit: the most tokens that a row can hold, beyond which the cache does not grow in steps.
        """
        self._reserve(int(feed.starts.max()) + feed.width, limit)
        first, last = int(feed.slots[0]), int(feed.slots[-1])
        self._span = slice(first, last + 1) if last + 1 - first == len(feed.slots) else None
        self._slots = on_device(feed.slots, positions.device)[:, None]
        self._positions = positions
        self._places = {}
        self._is_prefill = feed.is_prefill
        self.num_columns = feed.width if feed.is_prefill else self.capacity

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new keys and values [n, heads, width, size] and return what the new tokens may look at."""
        if layer_idx == len(self.keys):
            self.keys.append(self._zeros(key_states))
            self.values.append(self._zeros(value_states))
        read = []
        for store, new in ((self.keys[layer_idx], key_states), (self.values[layer_idx], value_states)):
            self._write(store, new)
            read.append(new if self._is_prefill else self._read(store))
        return read[0], read[1]

    def _write(self, store: torch.Tensor, new: torch.Tensor) -> None:
        if self._is_prefill and self._span is not None:
            store[self._span, :, : new.shape[2]] = new
        elif new.shape[2] == 1:
            heads, size = new.shape[1], new.shape[3]
            if heads not in self._places:  # the same in all layers, so it is computed once per step
                head = torch.arange(heads, device=new.device)
                self._places[heads] = ((self._slots * heads + head) * store.shape[2] + self._positions).flatten()
            store.view(-1, size).index_copy_(0, self._places[heads], new.reshape(-1, size))
        else:
            store[self._slots, :, self._positions] = new.transpose(1, 2)

    def _read(self, store: torch.Tensor) -> torch.Tensor:
        return store[self._slots[:, 0] if self._span is None else self._span, :, : self.num_columns]

    def move(self, sources: IntArray, targets: IntArray) -> None:
        """Copy whole slots to other slots."""
        if not len(sources) or not self.keys:
            return
        source = on_device(sources, self.keys[0].device)
        target = on_device(targets, self.keys[0].device)
        for store in (*self.keys, *self.values):
            store[target] = store[source]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of columns that are read; models ask, but positions and masks are always given to them."""
        return self.num_columns

    def _zeros(self, new: torch.Tensor) -> torch.Tensor:
        return new.new_zeros(self.num_slots, new.shape[1], self.capacity, new.shape[3])

    def _reserve(self, needed: int, limit: int) -> None:
        if needed <= self.capacity:
            return
        columns = -(-needed // _GRAIN) * _GRAIN
        self.capacity = max(needed, columns if columns + _GRAIN <= limit else limit)  # no growth by less than a grain
        for stores in (self.keys, self.values):
            for layer, store in enumerate(stores):
                larger = store.new_zeros(self.num_slots, store.shape[1], self.capacity, store.shape[3])
                larger[:, :, : store.shape[2]] = store
                stores[layer] = larger


class SlotTable:
    """Say which row of the environment lies in which slot, and how many of its tokens the cache holds.

    Args:
        num_rows: rows of the vector environment.
    """

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.rows: IntArray = np.empty(0, dtype=np.int64)  # [active] row of each slot in use
        self.held: IntArray = np.empty(0, dtype=np.int64)  # [active] tokens that each slot holds

    def seat(self, fresh: BoolArray, active: BoolArray) -> tuple[IntArray, IntArray]:
        """Free the slots of rows that ended or began anew, close the holes, and append the rows without a slot.

        Returns: the slots to copy from and to, for `SlotCache.move`.
        """
        stays = active[self.rows] & ~fresh[self.rows]
        num_staying = int(stays.sum())
        sources, targets = close_holes(stays)
        self.rows[targets] = self.rows[sources]
        self.held[targets] = self.held[sources]
        has_slot = np.zeros(self.num_rows, dtype=np.bool_)
        has_slot[self.rows[:num_staying]] = True
        newcomers = np.flatnonzero(active & ~has_slot)
        self.rows = np.concatenate([self.rows[:num_staying], newcomers])
        self.held = np.concatenate([self.held[:num_staying], np.zeros_like(newcomers)])
        return sources, targets

    def feeds(self, ids: IntArray, lengths: IntArray) -> tuple[list[Feed], Twins]:
        """Split what the slots have not seen yet into forward passes: one token each, whole prompts, appended turns.

        Prompts that several rows begin with are fed once, and prompts of very different lengths apart.

        Args:
            ids: [num_rows, L] tokens of each row of the observation.
            lengths: [num_rows] how many of them are real.

        Raises:
            ValueError: a row has no new token.
        """
        counts = lengths[self.rows] - self.held
        if (counts < 1).any():
            slot = int(np.argmax(counts < 1))
            raise ValueError(
                f"row {self.rows[slot]} holds {lengths[self.rows[slot]]} tokens, of which the policy has already seen "
                f"{self.held[slot]}: step the environment between two calls of act, and mark rows whose episode began as fresh"
            )
        single = np.flatnonzero(counts == 1)
        turns = np.flatnonzero((counts > 1) & (self.held > 0))
        prompts, twins = self._distinct(np.flatnonzero((counts > 1) & (self.held == 0)), ids, counts)
        groups = [single, *by_length(prompts, counts[prompts]), turns]
        return [Feed(group, self.held[group], counts[group]) for group in groups if len(group)], twins

    def _distinct(self, slots: IntArray, ids: IntArray, counts: IntArray) -> tuple[IntArray, Twins]:
        if len(slots) < 2:
            return slots, Twins(slots[:0], slots[:0])
        columns = np.arange(counts[slots].max())
        prompts = np.where(columns < counts[slots, None], ids[self.rows[slots], : len(columns)], -1)
        _, first, inverse = np.unique(prompts, axis=0, return_index=True, return_inverse=True)
        sources = slots[first[inverse.reshape(-1)]]
        is_copy = sources != slots
        return slots[~is_copy], Twins(sources[is_copy], slots[is_copy])


def close_holes(stays: BoolArray) -> tuple[IntArray, IntArray]:
    """Return which slots to copy from and to, so that those that stay lie in the first slots, without holes."""
    num_staying = int(stays.sum())
    return num_staying + np.flatnonzero(stays[num_staying:]), np.flatnonzero(~stays[:num_staying])


def by_length(slots: IntArray, counts: IntArray) -> list[IntArray]:
    """Split prompts into short and long ones where that saves more padding than another forward pass costs."""
    if len(slots) < 2:
        return [slots]
    order = np.argsort(counts, kind="stable")
    sizes = np.arange(1, len(slots))
    padded = sizes * counts[order][:-1] + (len(slots) - sizes) * counts.max()
    cut = int(np.argmin(padded)) + 1
    if len(slots) * counts.max() - padded[cut - 1] < _COST_OF_A_PASS:
        return [slots]
    return [np.sort(slots[order[:cut]]), np.sort(slots[order[cut:]])]
