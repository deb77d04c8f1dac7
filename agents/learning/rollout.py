"""Hold the finished episodes of one call of `collect`, in arrays that a learner can use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agents.policy.logprobs import ActionMasks
from text_env.episode import Ending, Episode

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rollout:
    """Hold B finished episodes, right-padded: T columns of response, L of prompt and response.

    Shapes are checked when it is made. A name never changes meaning: advantages, penalties and the like live elsewhere.

    Args:
        tokens: [B, L] int64, prompt and response; the state of column t is tokens[b, : prompt_lengths[b] + t].
        prompt_lengths: [B] int64.
        actions: [B, T] int64, tokens[b, prompt_lengths[b] + t]; 0 off actions.
        is_action: [B, T] bool, which columns the agent chose. Recorded while writing, never inferred from ids.
        logprobs: [B, T] float32, of the actions, as the sampler reported them; 0 off actions.
        values: [B, T] float32, before each action; None where the agent has none.
        rewards: [B, T] float64, what the environment paid, on the tokens that earned it; 0 off actions.
        scores: [B] float64, what the feedback said; 0 where it said nothing.
        is_scored: [B] bool. False: the feedback abstained, or the episode was cut from outside.
        is_truncated: [B] bool, cut from outside, so that what follows is worth `bootstrap`.
        bootstrap: [B] float64, the agent's value of the last state; 0 where the episode terminated or the agent has no values.
        endings: why each response ended; None where it was cut from outside.
        prompt_index: [B] int64, number of the prompt. group: [B] int64, equal for episodes of one group.
        episode_index: [B] int64, the environment's number of the episode.
        version: version of the policy that wrote them.
        episodes: the texts; None where cut from outside.
        masks: which tokens were allowed in each column; None = all.
    """

    tokens: IntArray
    prompt_lengths: IntArray
    actions: IntArray
    is_action: BoolArray
    logprobs: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32] | None
    rewards: FloatArray
    scores: FloatArray
    is_scored: BoolArray
    is_truncated: BoolArray
    bootstrap: FloatArray
    endings: tuple[Ending | None, ...]
    prompt_index: IntArray
    group: IntArray
    episode_index: IntArray
    version: int
    episodes: tuple[Episode | None, ...]
    masks: ActionMasks | None = None

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or self.is_action.ndim != 2:
            raise ValueError(f"tokens must be [B, L] and is_action [B, T], got {self.tokens.shape} and {self.is_action.shape}")
        by_rows, by_tokens = self.tokens.shape[:1], self.is_action.shape
        expected = dict.fromkeys(
            ("prompt_lengths", "scores", "is_scored", "is_truncated", "bootstrap", "prompt_index", "group", "episode_index"), by_rows
        )
        expected |= dict.fromkeys(("actions", "is_action", "logprobs", "rewards", "values"), by_tokens)
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        for name in ("endings", "episodes"):
            if len(getattr(self, name)) != by_rows[0]:
                raise ValueError(f"{name} must have {by_rows[0]} entries, got {len(getattr(self, name))}")
        if by_rows[0] != by_tokens[0]:
            raise ValueError(f"is_action must have {by_rows[0]} rows, as tokens has, got {by_tokens[0]}")
        if (self.rewards[~self.is_action] != 0).any():
            raise ValueError("rewards must be zero where is_action is False: put them on the action that earned them")
        if not (np.isfinite(self.rewards).all() and np.isfinite(self.scores).all()):
            raise ValueError("rewards and scores must be finite: an abstention is is_scored = False, not NaN")
        if (self.is_scored & self.is_truncated).any():
            raise ValueError("an episode that was cut from outside (is_truncated) has no score, but is_scored is True for one")

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> IntArray:
        """Return how many tokens the agent chose in each episode: [B]."""
        return self.is_action.sum(axis=1, dtype=np.int64)

    @property
    def responses(self) -> list[str]:
        """Return the texts; the empty string where an episode was cut from outside."""
        return ["" if episode is None else episode.response for episode in self.episodes]

    def take(self, rows: IntArray) -> Rollout:
        """Return the episodes of the given rows, in that order."""
        taken: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            taken[field.name] = value[rows] if isinstance(value, np.ndarray) else value
        taken["endings"] = tuple(self.endings[row] for row in rows)
        taken["episodes"] = tuple(self.episodes[row] for row in rows)
        if self.masks is not None:
            taken["masks"] = ActionMasks(self.masks.table, self.masks.index[rows])
        return Rollout(**taken)

    def trimmed(self) -> Rollout:
        """Return the same episodes without the columns that are padding in all of them."""
        after = np.flatnonzero(self.is_action.any(axis=0))
        columns = int(after[-1]) + 1 if len(after) else 1
        own = self.is_action.shape[1] - np.argmax(self.is_action[:, ::-1], axis=1)  # columns up to each row's last action
        width = max(1, int((self.prompt_lengths + own).max(initial=1)))
        by_token = ("actions", "is_action", "logprobs", "rewards", "values")
        cut: dict[str, Any] = {name: None if getattr(self, name) is None else getattr(self, name)[:, :columns] for name in by_token}
        masks = None if self.masks is None else ActionMasks(self.masks.table, self.masks.index[:, :columns])
        return replace(self, tokens=self.tokens[:, :width], masks=masks, **cut)

    @classmethod
    def joined(cls, parts: Sequence[Rollout]) -> Rollout:
        """Return the episodes of several rollouts as one, in their order; `version` is the oldest writer's.

        Groups stay apart, so their numbers change. Values are kept where all parts have them.

        Errors: ValueError for no parts, and for parts of which some were masked and others not.
        """
        if not parts:
            raise ValueError("joining needs at least one rollout, got none")
        if len({part.masks is None for part in parts}) > 1:
            raise ValueError("rollouts with action masks and rollouts without any come from different tasks, and cannot be joined")
        width = max(part.tokens.shape[1] for part in parts)
        columns = max(part.is_action.shape[1] for part in parts)
        joined: dict[str, Any] = {"version": min(part.version for part in parts), "masks": None}
        for field in fields(cls):
            arrays = [getattr(part, field.name) for part in parts]
            if field.name in ("endings", "episodes"):
                joined[field.name] = tuple(value for array in arrays for value in array)
            elif any(array is None for array in arrays):
                joined[field.name] = None
            elif isinstance(arrays[0], np.ndarray):
                size = width if field.name == "tokens" else columns
                joined[field.name] = np.concatenate([_widened(array, size) if array.ndim == 2 else array for array in arrays])
        joined["group"] = _apart([part.group for part in parts])
        if parts[0].masks is not None:
            joined["masks"] = _joined_masks([part.masks for part in parts if part.masks is not None], columns)
        return cls(**joined)

    def without_texts(self) -> Rollout:
        """Return the same episodes as arrays alone, to be kept for long."""
        return replace(self, episodes=(None,) * len(self), endings=(None,) * len(self))

    def state(self) -> dict[str, Any]:
        """Return the arrays as tensors, and the version; texts and endings are left out."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        masks = None if self.masks is None else [torch.as_tensor(self.masks.table), torch.as_tensor(self.masks.index)]
        return {name: torch.as_tensor(value) for name, value in arrays.items() if isinstance(value, np.ndarray)} | {
            "version": self.version,
            "masks": masks,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Rollout:
        """Make a rollout from `state`."""
        arrays: dict[str, Any] = {name: value.numpy() for name, value in state.items() if isinstance(value, torch.Tensor)}
        count = len(arrays["tokens"])
        masks = None if state["masks"] is None else ActionMasks(state["masks"][0].numpy(), state["masks"][1].numpy())
        nothing = (None,) * count
        return cls(**{"values": None, **arrays}, version=state["version"], masks=masks, endings=nothing, episodes=nothing)


def _widened(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return np.pad(array, ((0, 0), (0, size - array.shape[1])))


def _apart(groups: Sequence[IntArray]) -> IntArray:
    """Return group numbers that differ between parts, and are equal within one where they were: [B]."""
    numbers, first = [], 0
    for group in groups:
        number = np.unique(group, return_inverse=True)[1]
        numbers.append(number + first)
        first += int(number.max(initial=-1)) + 1
    return np.concatenate(numbers).astype(np.int64)


def _joined_masks(masks: Sequence[ActionMasks], columns: int) -> ActionMasks:
    starts = np.cumsum([0, *(len(mask.table) for mask in masks[:-1])])
    index = [_widened(mask.index + start, columns) for mask, start in zip(masks, starts, strict=True)]
    return ActionMasks(np.concatenate([mask.table for mask in masks]), np.concatenate(index))
