"""Record what rows of a vector environment write, straight into the places of the episodes they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.agent import Decision
from agents.learning.mask_table import MaskTable
from agents.learning.rollout import Rollout
from agents.policy.logprobs import ActionMasks
from text_env.episode import Ending, Episode, Judgement

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Recorder:
    """Hold arrays for `num_episodes` episodes of at most `width` tokens, and for each row the episode that it writes.

    A step writes to [episode of the row, column of the row] for all rows at once; only the end of an episode is handled row by row.
    """

    def __init__(self, num_episodes: int, num_rows: int, width: int) -> None:
        self.width = width
        self.num_started = 0
        self.slot = np.zeros(num_rows, dtype=np.int64)  # the episode that each row writes
        self.length = np.zeros(num_rows, dtype=np.int64)  # tokens in each row, prompt included
        self.tokens = np.zeros((num_episodes, width), dtype=np.int64)
        self.is_action = np.zeros((num_episodes, width), dtype=bool)
        self.logprobs = np.zeros((num_episodes, width), dtype=np.float32)
        self.values: npt.NDArray[np.float32] | None = None
        self.rewards = np.zeros((num_episodes, width))
        self.prompt_lengths = np.zeros(num_episodes, dtype=np.int64)
        self.total_lengths = np.zeros(num_episodes, dtype=np.int64)
        self.prompt_index = np.zeros(num_episodes, dtype=np.int64)
        self.episode_index = np.zeros(num_episodes, dtype=np.int64)
        self.scores = np.zeros(num_episodes)
        self.is_scored = np.zeros(num_episodes, dtype=bool)
        self.is_truncated = np.zeros(num_episodes, dtype=bool)
        self.bootstrap = np.zeros(num_episodes)
        self.endings: list[Ending | None] = [None] * num_episodes
        self.episodes: list[Episode | None] = [None] * num_episodes
        self._masks = MaskTable()
        self._mask_index = np.zeros((num_episodes, width), dtype=np.int64)

    def begin(self, rows: IntArray, observation: dict[str, npt.NDArray[Any]], info: dict[str, Any]) -> None:
        """Note that these rows have just begun an episode each, in this order."""
        slots = np.arange(self.num_started, self.num_started + len(rows))
        self.num_started += len(rows)
        self.slot[rows] = slots
        self.length[rows] = observation["attention_mask"][rows].sum(axis=1, dtype=np.int64)
        self.prompt_lengths[slots] = self.length[rows]
        self.prompt_index[slots] = info["prompt_index"][rows]
        self.episode_index[slots] = info["episode_index"][rows]

    def step(
        self,
        rows: IntArray,
        decision: Decision,
        action_mask: BoolArray | None,
        observation: dict[str, npt.NDArray[Any]],
        rewards: npt.NDArray[np.float64],
    ) -> None:
        """Note what these rows chose, and what they were paid for it.

        Args:
            action_mask: [N, V], what was allowed. observation, rewards: what came back.
        """
        slots = self.slot[rows]
        columns = self.length[rows] - self.prompt_lengths[slots]
        self.is_action[slots, columns] = True
        self.logprobs[slots, columns] = decision.logprobs[rows]
        self.rewards[slots, columns] = rewards[rows]
        if decision.values is not None:
            if self.values is None:
                self.values = np.zeros_like(self.logprobs)
            self.values[slots, columns] = decision.values[rows]
        if action_mask is not None:
            self._mask_index[slots, columns] = self._masks.numbers(action_mask[rows])
        # The environment may have appended a partner's words after the choice, so the new length is read, not counted.
        self.length[rows] = observation["attention_mask"][rows].sum(axis=1, dtype=np.int64)

    def end(self, rows: IntArray, observation: dict[str, npt.NDArray[Any]]) -> None:
        """Note that the episodes of these rows are over."""
        slots = self.slot[rows]
        self.tokens[slots] = observation["input_ids"][rows]
        self.total_lengths[slots] = self.length[rows]

    def judge(self, slot: int, judgement: Judgement, pays: bool, move: bool) -> None:
        """Write a judgement where it belongs.

        Where tokens were scored one by one, their scores move from the last action to the tokens that earned them. The sum stays what the
        environment paid: what a wrapper added or took away stays on the last action.

        Args:
            pays: True for a deferred score, which no step has paid.
            move: False where every step has paid its own token already.
        """
        if judgement.score is None:
            return
        self.scores[slot] = judgement.score
        self.is_scored[slot] = True
        pay(self.rewards[slot], self.is_action[slot], judgement, pays, move)

    def rollout(self, group_size: int, version: int) -> Rollout:
        """Return everything, trimmed to the longest response and the longest text."""
        columns = int((self.total_lengths - self.prompt_lengths).max(initial=1))
        tokens = self.tokens[:, : int(self.total_lengths.max(initial=1))]
        is_action = self.is_action[:, :columns]
        places = np.minimum(self.prompt_lengths[:, None] + np.arange(columns), tokens.shape[1] - 1)
        actions = np.where(is_action, np.take_along_axis(tokens, places, axis=1), 0)
        masks = ActionMasks(self._masks.table, self._mask_index[:, :columns]) if len(self._masks) else None
        return Rollout(
            tokens=tokens,
            prompt_lengths=self.prompt_lengths,
            actions=actions,
            is_action=is_action,
            logprobs=self.logprobs[:, :columns],
            values=None if self.values is None else self.values[:, :columns],
            rewards=self.rewards[:, :columns],
            scores=self.scores,
            is_scored=self.is_scored,
            is_truncated=self.is_truncated,
            bootstrap=self.bootstrap,
            endings=tuple(self.endings),
            prompt_index=self.prompt_index,
            group=self.episode_index // group_size,
            episode_index=self.episode_index,
            version=version,
            episodes=tuple(self.episodes),
            masks=masks,
        )


def pay(rewards: FloatArray, is_action: BoolArray, judgement: Judgement, pays: bool, move: bool) -> None:
    """Write what a judgement pays into the rewards of one episode: on its last action, or on the tokens that earned it.

    Args:
        rewards: [T], changed. is_action: [T].
        judgement: with a score. pays, move: see `Recorder.judge`.
    """
    assert judgement.score is not None
    last = int(np.flatnonzero(is_action)[-1])
    if pays:
        rewards[last] += judgement.score
    if move and judgement.token_scores is not None:
        rewards[last] -= judgement.score
        np.add.at(rewards, earners(is_action, len(judgement.token_scores)), judgement.token_scores)


def earners(is_action: BoolArray, num_tokens: int) -> IntArray:
    """Return the column of the action that earned each of an episode's tokens: itself, or the action before a partner's words.

    Args:
        is_action: [T] of one episode.
    """
    own = np.where(is_action[:num_tokens], np.arange(num_tokens), -1)
    return np.maximum(np.maximum.accumulate(own), int(np.argmax(is_action)))
