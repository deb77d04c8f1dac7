"""Merge states of a minibatch that are prefixes of each other, so that each text goes through the model once.

Stable-Baselines3 shuffles single states: of an episode of T tokens, up to T states are in one minibatch, and each of them is a text of its
own to a transformer. A causal model gives a prefix the same hidden states whatever follows it, so the longest of them serves all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.policy.logprobs import ActionMasks

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def merge_prefixes(ids: IntArray, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Find the rows that are no prefix of another one.

    Args:
        ids: [B, L] non-negative, padded on the right. lengths: [B] how many of them are real.

    Returns:
        hosts [H]: rows that hold all others; of equal rows one.
        host_of [B]: the place in `hosts` of a row that this row is a prefix of.
    """
    filled = np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, -1)
    order = np.lexsort(filled.T[::-1])  # a prefix stands before all its continuations, and nothing else between them
    ordered = filled[order]
    is_prefix = np.zeros(len(ids), dtype=bool)  # of the next row
    is_prefix[:-1] = ((ordered[:-1] == ordered[1:]) | (ordered[:-1] == -1)).all(axis=1)
    places = np.flatnonzero(~is_prefix)
    host_of = np.empty(len(ids), dtype=np.int64)
    host_of[order] = np.searchsorted(places, np.arange(len(ids)))
    return order[places], host_of


@dataclass(frozen=True, eq=False)
class MergedActions:
    """Hold B states with the action taken in each, laid out as the fewest responses.

    Args:
        tokens: [H, L + 1] each response with its last action. prompt_lengths: [H] length of its shortest state.
        is_action: [H, T] which of its tokens are among the B actions.
        masks: which tokens were allowed in each state; None = all.
        rows, columns: [B] where each state's action is in [H, T].
    """

    tokens: IntArray
    prompt_lengths: IntArray
    is_action: BoolArray
    masks: ActionMasks | None
    rows: IntArray
    columns: IntArray

    @classmethod
    def of(cls, ids: IntArray, lengths: IntArray, actions: IntArray, action_masks: BoolArray | None = None) -> MergedActions:
        """Merge.

        Args:
            ids: [B, L] states, padded on the right. lengths: [B] at least 1.
            actions: [B]. action_masks: [B, V] tokens that were allowed in each state; None = all.
        """
        everyone = np.arange(len(ids))
        extended = np.concatenate([ids, np.zeros((len(ids), 1), dtype=np.int64)], axis=1)
        extended[everyone, lengths] = actions
        hosts, rows = merge_prefixes(extended, lengths + 1)
        prompt_lengths = np.full(len(hosts), extended.shape[1], dtype=np.int64)
        np.minimum.at(prompt_lengths, rows, lengths)
        columns = lengths - prompt_lengths[rows]
        is_action = np.zeros((len(hosts), int(columns.max(initial=0)) + 1), dtype=bool)
        is_action[rows, columns] = True
        masks = None
        if action_masks is not None:
            index = np.zeros(is_action.shape, dtype=np.int64)
            index[rows, columns] = everyone
            masks = ActionMasks(action_masks, index)
        return cls(extended[hosts], prompt_lengths, is_action, masks, rows, columns)
