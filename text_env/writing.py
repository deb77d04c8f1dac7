"""Write N rows of a task: append tokens, end episodes, ask for scores, pay rewards.

The rules of the environment in one place; `env` and `vector` are the two Gymnasium shells around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from text_env.episode import Episode, FloatArray, IntArray, Judgement
from text_env.masks import BoolArray
from text_env.task import Task

Observation = dict[str, np.ndarray[Any, Any]]
NEEDS_RESET = "call reset() first: nothing was begun, or the step before failed half-way"
Outcome = tuple[FloatArray, BoolArray, BoolArray, dict[str, Any]]  # rewards, terminated, truncated, info; each for N rows


class Writing:
    """Keep N rows of one task going.

    Args:
        task: what to write and who judges it.
        num_rows: N.
        max_episode_steps: a time limit from outside the task, in actions; None = none.
        is_deferred: leave finished episodes unscored until `score_finished`.

    Errors: ValueError where feedback and scoring contradict each other.
    """

    def __init__(self, task: Task, num_rows: int, *, max_episode_steps: int | None = None, is_deferred: bool = False) -> None:
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
        self.task = task
        self.judge = task.judge()
        if self.judge.is_comparative and not is_deferred:
            raise ValueError(
                f"feedback {self.judge.name} compares episodes with each other, so it must see them together: use gym.make_vec with "
                'scoring="deferred"'
            )
        if self.judge.pays_at_each_step and is_deferred:
            raise ValueError(f'feedback {self.judge.name} pays at each step, so it cannot be asked later: drop scoring="deferred"')
        if task.on_abstain == "truncate" and is_deferred:
            raise ValueError('on_abstain="truncate" needs the answer at once: drop it, or scoring="deferred"')
        if task.on_abstain == "truncate" and self.judge.pays_at_each_step:
            raise ValueError(f'feedback {self.judge.name} pays at each step, so it cannot abstain: drop on_abstain="truncate"')
        self.prefixes = task.prefixes(num_rows)
        self.num_rows = num_rows
        self.max_episode_steps = max_episode_steps
        self.is_deferred = is_deferred
        self.episodes: list[Episode | None] = [None] * num_rows
        self.judgements: list[Judgement | None] = [None] * num_rows
        self.is_ready = False
        self._pending: list[tuple[int, Episode]] = []
        self._paid: FloatArray = np.zeros((num_rows, task.max_new_tokens if self.judge.pays_at_each_step else 0))

    def start(self, rows: IntArray, rng: np.random.Generator) -> dict[str, Any]:
        """Begin an episode in each of these rows and return their info."""
        if not self.is_ready:
            self.prefixes.park(self.prefixes.writing)  # rows that a failed step left half-way
        self.is_ready = False
        self.prefixes.start(rows, rng)
        self.is_ready = True
        self._paid[rows] = 0.0
        info: dict[str, Any] = {}
        self._add(info, rows, "prompt_index", self.prefixes.prompt_index[rows])
        self._add(info, rows, "episode_index", self.prefixes.episode_index[rows])
        return info

    def restart(self) -> None:
        """Abandon every row and number episodes from 0 again, as after seeding."""
        self.prefixes.restart()
        self._pending.clear()

    def observation(self) -> Observation:
        """Return copies of what the rows hold, which later steps do not change."""
        prefixes = self.prefixes
        return {
            "attention_mask": prefixes.attention_mask.copy(),
            "input_ids": prefixes.ids.copy(),
            "response_mask": prefixes.response_mask.copy(),
        }

    def step(self, actions: IntArray) -> Outcome:
        """Append one token to every row that writes, and judge the episodes that end with it.

        Errors: ValueError for a token outside the vocabulary or masked; nothing is changed then. FeedbackError, or what the partner
        raises: then the step is half done, and every row has to be started again.
        """
        assert self.is_ready
        prefixes = self.prefixes
        writing = prefixes.writing
        at = prefixes.length[writing] - prefixes.prompt_length[writing]
        chosen = prefixes.chosen(actions)
        self.is_ready = False
        ended = prefixes.append(chosen)
        rewards = np.zeros(self.num_rows)
        terminated = np.zeros(self.num_rows, dtype=np.bool_)
        truncated = np.zeros(self.num_rows, dtype=np.bool_)
        info: dict[str, Any] = {}
        if self.judge.pays_at_each_step:
            rewards[writing] = self._pay(writing, at)
        if len(ended):
            terminated[ended] = True
            self._finish(ended, rewards, terminated, truncated, info)
        if self.max_episode_steps is not None:
            late = writing[(prefixes.num_actions[writing] >= self.max_episode_steps) & ~terminated[writing] & ~truncated[writing]]
            truncated[late] = True
            self._cut_off(late)
        self.is_ready = True
        return rewards, terminated, truncated, info

    def score_finished(self) -> list[tuple[int, Judgement]]:
        """Judge all episodes that wait for a score, in one call; return (episode index, judgement), oldest first.

        Errors: ValueError unless scoring is deferred; FeedbackError, after which the episodes still wait.
        """
        if not self.is_deferred:
            raise ValueError('there is nothing to score later: make the environment with scoring="deferred"')
        judgements = self.judge.ask([episode for _, episode in self._pending])
        scored = []
        for (row, episode), judgement in zip(self._pending, judgements, strict=True):
            if self.episodes[row] is episode:
                self.judgements[row] = judgement
            scored.append((episode.index, judgement))
        self._pending.clear()
        return scored

    def action_masks(self) -> BoolArray | None:
        """Return which tokens may come next, [N, V], or None where all may."""
        return self.prefixes.allowed() if self.prefixes.masks.restricts else None

    def _pay(self, writing: IntArray, at: IntArray) -> Sequence[float]:
        """Ask what the tokens at these places [n] of the responses earned."""
        paid = self.judge.pay(self.prefixes.episodes(writing))
        self._paid[writing, at] = paid
        return paid

    def _finish(self, ended: IntArray, rewards: FloatArray, terminated: BoolArray, truncated: BoolArray, info: dict[str, Any]) -> None:
        episodes = self.prefixes.episodes(ended)
        judgements: Sequence[Judgement | None]
        if self.is_deferred:
            self._pending += zip(ended.tolist(), episodes, strict=True)
            judgements = [None] * len(episodes)
        elif self.judge.pays_at_each_step:
            judgements = [self._sum_of_pay(row, episode) for row, episode in zip(ended.tolist(), episodes, strict=True)]
        else:
            judgements = self.judge.ask(episodes)
        scores = np.zeros(len(ended))
        is_scored = np.zeros(len(ended), dtype=np.bool_)
        for place, (row, episode, judgement) in enumerate(zip(ended.tolist(), episodes, judgements, strict=True)):
            self.episodes[row], self.judgements[row] = episode, judgement
            if judgement is not None and judgement.score is not None:
                scores[place], is_scored[place] = judgement.score, True
        if not self.judge.pays_at_each_step:
            rewards[ended] = scores
        if self.task.on_abstain == "truncate" and not self.is_deferred:
            terminated[ended], truncated[ended] = is_scored, ~is_scored
        self._add(info, ended, "prompt", [episode.prompt.text for episode in episodes])
        self._add(info, ended, "response", [episode.response for episode in episodes])
        self._add(info, ended, "ending", [str(episode.ending) for episode in episodes])
        self._add(info, ended, "score", scores)
        self._add(info, ended, "scored", is_scored)
        if self.is_deferred:
            self._add(info, ended, "score_pending", np.ones(len(ended), dtype=np.bool_))

    def _cut_off(self, late: IntArray) -> None:
        if len(late):
            for row, episode in zip(late.tolist(), self.prefixes.episodes(late), strict=True):
                self.episodes[row], self.judgements[row] = episode, None
            self.prefixes.park(late)

    def _sum_of_pay(self, row: int, episode: Episode) -> Judgement:
        paid = self._paid[row, : len(episode.ids)].copy()
        return Judgement(float(paid.sum()), token_scores=paid, rater=self.judge.name)

    def _add(self, info: dict[str, Any], rows: IntArray, name: str, values: Any) -> None:
        """Put one value per row into an info array, with the mask that says which rows have it."""
        is_text = isinstance(values, list)
        column = np.full(self.num_rows, None, dtype=object) if is_text else np.zeros(self.num_rows, dtype=values.dtype)
        column[rows] = values
        mask = np.zeros(self.num_rows, dtype=np.bool_)
        mask[rows] = True
        info[name], info[f"_{name}"] = column, mask
