"""Find, in a padded batch of responses, the states in which actions were chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agents.policy.logprobs import ActionMasks

Ints = npt.NDArray[np.int64] | torch.Tensor
Bools = npt.NDArray[np.bool_] | torch.Tensor


@dataclass(frozen=True, eq=False)
class ActionBatch:
    """Hold responses and the n positions in them at which an action was chosen.

    Args:
        tokens: [B, L] prompts and responses, padded on the right.
        prompt_lengths: [B].
        is_action: [B, T]; column t of a row is its token prompt_lengths + t.
        masks: which tokens were allowed at [B, T]; None means all.
    """

    tokens: torch.Tensor
    prompt_lengths: torch.Tensor
    is_action: torch.Tensor
    masks: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def of(cls, tokens: Ints, prompt_lengths: Ints, is_action: Bools, masks: ActionMasks | None, device: torch.device) -> ActionBatch:
        """Check the shapes and move everything to the device."""
        moved = [torch.as_tensor(tensor).to(device) for tensor in (tokens, prompt_lengths, is_action)]
        pair = None if masks is None else (torch.as_tensor(masks.table).to(device), torch.as_tensor(masks.index).to(device))
        batch = cls(moved[0].long(), moved[1].long(), moved[2].bool(), pair)
        rows, length = batch.tokens.shape
        assert batch.prompt_lengths.shape == (rows,) and batch.is_action.shape[0] == rows
        assert pair is None or pair[1].shape == batch.is_action.shape
        shortest, longest = torch.aminmax(batch.prompt_lengths)
        if int(shortest) < 1:
            raise ValueError("prompt_lengths must be at least 1: a first token needs something to be predicted from")
        if batch.num_positions and int(batch.positions.max()) + 1 >= length:
            raise ValueError(f"is_action marks tokens beyond the {length} columns of tokens; the longest prompt has {int(longest)} tokens")
        return batch

    def split(self, rows_per_chunk: int | None) -> Iterator[ActionBatch]:
        """Yield the batch in pieces of so many rows."""
        step = len(self.tokens) if rows_per_chunk is None else rows_per_chunk
        if step < 1:
            raise ValueError(f"rows_per_chunk must be at least 1, got {rows_per_chunk}")
        for start in range(0, len(self.tokens), step):
            part = slice(start, start + step)
            masks = None if self.masks is None else (self.masks[0], self.masks[1][part])
            yield ActionBatch(self.tokens[part], self.prompt_lengths[part], self.is_action[part], masks)

    @property
    def num_positions(self) -> int:
        """Return n."""
        return int(self.is_action.sum())

    @property
    def rows(self) -> torch.Tensor:
        """Return the row of each position: [n]."""
        return self.is_action.nonzero()[:, 0]

    @property
    def positions(self) -> torch.Tensor:
        """Return the column of `tokens` of the last token before each action: [n]."""
        rows, columns = self.is_action.nonzero(as_tuple=True)
        return self.prompt_lengths[rows] + columns - 1

    @property
    def actions(self) -> torch.Tensor:
        """Return the tokens that were chosen: [n]."""
        return self.tokens[self.rows, self.positions + 1]

    @property
    def num_read(self) -> int:
        """Return how many columns of `tokens` matter: the last action itself is not read."""
        return int(self.positions.max()) + 1 if self.num_positions else 1

    def allowed(self, part: slice) -> torch.Tensor:
        """Return the masks [k, V] of some of the n positions."""
        assert self.masks is not None
        table, index = self.masks
        return table[index[self.is_action][part]]

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Put one value per position [n] into [B, T], zero elsewhere."""
        out = torch.zeros(self.is_action.shape, dtype=values.dtype, device=values.device)
        return out.masked_scatter(self.is_action, values)
