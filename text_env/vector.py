"""Write N texts at once: the native vector environment.

A row is a slot: when its episode ends, it takes the next prompt, whatever the other rows do.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from text_env.env import make_task
from text_env.episode import Episode, IntArray, Judgement
from text_env.kept import KeepsSpec
from text_env.masks import BoolArray
from text_env.rendering import WIDTH, render_ansi, render_human, terminal_colour, terminal_width
from text_env.spaces import action_space, action_spaces, observation_space
from text_env.tokens import Tokens
from text_env.writing import NEEDS_RESET, Observation, Outcome, Writing

Scoring = Literal["immediate", "deferred"]


class TextGenVectorEnv(KeepsSpec, VectorEnv[Observation, IntArray, Any]):
    """Write N texts at once; the rules are those of `TextGenEnv`, for all rows in one numpy step.

    ## Episode End
    As in `TextGenEnv`. `max_episode_steps` is the time limit from outside, kept here natively.
    What a finished row does next is `autoreset_mode`:

    - `NEXT_STEP`: the next step ignores its action and returns a new prompt, with reward 0.0.
    - `SAME_STEP`: the same step returns a new prompt; the end is in `info["final_obs"]` and `info["final_info"]`.
    - `DISABLED`: it is parked: its action is ignored, its reward is 0.0, both flags are False, its observation stays, until
      `reset(options={"reset_mask": ...})` names it. A first reset with a mask leaves the other rows parked.

    ## Information
    Arrays over rows with Gymnasium's masks: `info["score"][row]` means something where `info["_score"][row]` is True.

    ## Arguments
    num_envs: N. autoreset_mode. max_episode_steps: in actions. render_mode: "ansi" or "human".
    scoring: "immediate", or "deferred": finished rows pay 0.0 with `info["score_pending"]` until `score_finished()` judges
    them all in one call (for slow judges, and for those that compare). It needs `DISABLED`. Further those of `Task`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        scoring: Scoring = "immediate",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode not in (None, "ansi", "human"):
            raise ValueError(f'render_mode must be "ansi", "human" or None, got {render_mode!r}')
        if scoring not in ("immediate", "deferred"):
            raise ValueError(f'scoring must be "immediate" or "deferred", got {scoring!r}')
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        if scoring == "deferred" and self.autoreset_mode is not AutoresetMode.DISABLED:
            raise ValueError(
                f'scoring="deferred" needs autoreset_mode=gym.vector.AutoresetMode.DISABLED, got {self.autoreset_mode}: '
                "otherwise a row is overwritten before it is judged"
            )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["ansi", "human"], "render_fps": 10, "autoreset_mode": self.autoreset_mode}
        self.writing = Writing(make_task(options), num_envs, max_episode_steps=max_episode_steps, is_deferred=scoring == "deferred")
        self.single_observation_space = observation_space(self.writing.prefixes)
        self.single_action_space = action_space(self.writing.prefixes)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = action_spaces(self.writing.prefixes)
        self._all_rows: IntArray = np.arange(num_envs)
        self._ended: IntArray = self._all_rows[:0]  # rows that the next step resets (NEXT_STEP)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.single_action_space = action_space(self.writing.prefixes)  # a copied space would know of no row
        self.action_space = action_spaces(self.writing.prefixes)

    @property
    def tokens(self) -> Tokens:
        """Return the tokenizer."""
        return self.writing.prefixes.tokens

    @property
    def episodes(self) -> list[Episode | None]:
        """Return each row's most recently finished episode."""
        return self.writing.episodes

    @property
    def judgements(self) -> list[Judgement | None]:
        """Return what was said about each row's most recently finished episode."""
        return self.writing.judgements

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes, in all rows or in those that `options={"reset_mask": bool [N]}` names.

        A seed decides all that follows and abandons every row.
        """
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise ValueError(f"seed must be one whole number: one generator draws the prompts of all rows, got {seed!r}")
        rows = self._rows_to_reset(options or {})
        begins_anew = seed is not None or not self.writing.is_ready
        if begins_anew and len(rows) < self.num_envs and self.autoreset_mode is not AutoresetMode.DISABLED:
            raise ValueError(
                f"the first reset, and one with a seed, must begin all rows where autoreset_mode is {self.autoreset_mode}: "
                "rows that reset_mask leaves out would never begin"
            )
        super().reset(seed=None if seed is None else int(seed))
        if seed is not None:
            self.writing.restart()
        info = self.writing.start(rows, self.np_random)
        self._ended = np.setdiff1d(self._ended, rows, assume_unique=True)
        if self.render_mode == "human":
            self.render()
        return self.writing.observation(), self._with_masks(info)

    def step(self, actions: IntArray) -> tuple[Observation, Any, BoolArray, BoolArray, dict[str, Any]]:
        """Append one token [N] to every row that writes.

        Errors: ValueError for actions of a wrong shape or type, or a token outside the vocabulary or masked; no row is changed.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {self.num_envs} whole numbers, got shape {actions.shape} of {actions.dtype}")
        if not self.writing.is_ready:
            raise gym.error.ResetNeeded(NEEDS_RESET)
        rewards, terminated, truncated, info = self.writing.step(actions.astype(np.int64, copy=False))
        if self.autoreset_mode is not AutoresetMode.DISABLED:
            info = self._autoreset((rewards, terminated, truncated, info))
        if self.render_mode == "human":
            self.render()
        return self.writing.observation(), rewards, terminated, truncated, self._with_masks(info)

    def score_finished(self) -> list[tuple[int, Judgement]]:
        """Judge all episodes that wait for a score, in one call; return (episode index, judgement), oldest first."""
        return self.writing.score_finished()

    def action_masks(self) -> BoolArray:
        """Return which tokens may come next: [N, V], True = allowed (the convention of sb3-contrib)."""
        masks = self.writing.action_masks()
        return np.ones((self.num_envs, self.tokens.vocab_size), dtype=np.bool_) if masks is None else masks

    def unfinished(self, row: int) -> Episode:
        """Return what a row holds so far; its `ending` is None while it is being written."""
        return self.writing.prefixes.episodes(np.asarray([row]))[0]

    def render(self) -> tuple[str, ...] | None:
        """Return each row's prompt and growing response ("ansi"), or show them in the terminal ("human")."""
        if self.render_mode is None:
            gym.logger.warn('nothing is rendered: make the environment with render_mode="ansi" or "human"')
            return None
        if not self.writing.is_ready:
            raise gym.error.ResetNeeded(NEEDS_RESET)
        is_human = self.render_mode == "human"
        width, has_colour = (terminal_width(), terminal_colour()) if is_human else (WIDTH, None)
        writing = set(self.writing.prefixes.writing.tolist())
        frames = []
        for row, episode in enumerate(self.writing.prefixes.episodes(self._all_rows)):
            judgement = self.judgements[row] if episode.ending is not None else None
            frames.append(render_ansi(episode, judgement, is_writing=row in writing, row=row, width=width, has_colour=has_colour))
        if not is_human:
            return tuple(frames)
        render_human(frames)
        return None

    def _rows_to_reset(self, options: dict[str, Any]) -> IntArray:
        unknown = sorted(set(options) - {"reset_mask"})
        if unknown:
            raise ValueError(f"reset takes the option reset_mask only, got {unknown}")
        mask = options.get("reset_mask")
        if mask is None:
            return self._all_rows
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must be {self.num_envs} booleans, at least one of them True, got {mask!r}")
        return np.flatnonzero(mask)

    def _autoreset(self, outcome: Outcome) -> dict[str, Any]:
        """Start the rows that the mode says, and return the info of the step."""
        _, terminated, truncated, info = outcome
        ended = np.flatnonzero(terminated | truncated)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            to_start, self._ended = self._ended, ended
            return {**info, **self.writing.start(to_start, self.np_random)} if len(to_start) else info
        if len(ended) == 0:
            return info
        final = self.writing.observation()
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in ended.tolist():
            final_obs[row] = {name: rows[row] for name, rows in final.items()}
        mask = terminated | truncated
        started = self.writing.start(ended, self.np_random)
        return {"final_obs": final_obs, "_final_obs": mask, "final_info": info, "_final_info": mask.copy(), **started}

    def _with_masks(self, info: dict[str, Any]) -> dict[str, Any]:
        masks = self.writing.action_masks()
        if masks is None:
            return info
        return {**info, "action_mask": masks, "_action_mask": np.ones(self.num_envs, dtype=np.bool_)}
