"""Write one text at a time: the single environment."""

from __future__ import annotations

import operator
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from text_env.episode import Episode, Judgement
from text_env.kept import KeepsSpec, unkeep
from text_env.masks import BoolArray
from text_env.rendering import render_ansi, render_human, terminal_colour, terminal_width
from text_env.spaces import action_space, observation_space
from text_env.task import Task
from text_env.tokens import Tokens
from text_env.writing import NEEDS_RESET, Observation, Writing

ONE_ROW = np.zeros(1, dtype=np.int64)


class TextGenEnv(KeepsSpec, gym.Env[Observation, np.int64]):
    """Write text one token at a time.

    ## Description
    The state is a token prefix: a prompt and the response so far. The action is the next token. When the response ends, a
    feedback source (a rule, a model, a person) judges it, and its score is the reward.

    ## Action Space
    `Discrete(V)`: a token id. With a constraint (`min_new_tokens`, `banned_tokens`, `allowed_tokens`, `choices`, `pattern`,
    `json_schema`, `word_list`, or ids that have no token) `action_masks()` and `info["action_mask"]` [V] say which are allowed;
    another one is a ValueError, and `action_space.sample()` draws allowed ones.

    ## Observation Space
    `Dict`, each of shape (L,), L = max_prompt_tokens + max_new_tokens, right-padded:

    - `input_ids` int64: prompt, response so far, then padding.
    - `attention_mask` int8: 1 = a token, 0 = padding. The padding id may equal the end token, so ids do not tell.
    - `response_mask` int8: 1 = a token that the agent chose. It shows where the prompt ends, hence the remaining budget.

    ## Starting State
    A prompt, from shuffled passes over all prompts: each comes once before any comes again.

    ## Rewards
    0.0 until the last token, then the judgement's score; a source that pays while the text is written pays at each step.
    An abstention pays 0.0 with `info["scored"]` False.

    ## Episode End
    `terminated`: the agent chose an end token ("eos"), a stop string matched ("stop"), or the token budget ran out ("length").
    The budget is part of the task, so there is no value to bootstrap after it. `truncated`: only a time limit from outside
    (`max_episode_steps`; the text is not judged), or an abstention where `on_abstain="truncate"`.

    ## Information
    On reset: `prompt_index`, `episode_index` (number of the episode since seeding). At the end: `prompt`, `response` (decoded,
    without special tokens, cut before a stop string), `ending`, `score` (raw, 0.0 where there is none), `scored`.

    ## Arguments
    Those of `text_env.task.Task`, and `render_mode`: "ansi" or "human".

    ## Version History
    v0: first version.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 10}  # noqa: RUF012  (Gymnasium's own declaration)

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f'render_mode must be "ansi", "human" or None, got {render_mode!r}')
        self.render_mode = render_mode
        self.writing = Writing(make_task(options), num_rows=1)
        self.observation_space = observation_space(self.writing.prefixes)
        self.action_space = action_space(self.writing.prefixes)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.action_space = action_space(self.writing.prefixes)  # a copied space would know of no row

    @property
    def tokens(self) -> Tokens:
        """Return the tokenizer."""
        return self.writing.prefixes.tokens

    @property
    def episodes(self) -> list[Episode | None]:
        """Return the most recently finished episode, in a list of one."""
        return self.writing.episodes

    @property
    def judgements(self) -> list[Judgement | None]:
        """Return what was said about the most recently finished episode, in a list of one."""
        return self.writing.judgements

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode. A seed decides all that follows. There are no options."""
        if options:
            raise ValueError(f"reset takes no options here, got {sorted(options)}")
        super().reset(seed=seed)
        if seed is not None:
            self.writing.restart()
        info = self.writing.start(ONE_ROW, self.np_random)
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info(info)

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Append one token.

        Errors: ValueError for a token outside the vocabulary, or masked, or after the end.
        """
        if not self.writing.is_ready:
            raise gym.error.ResetNeeded(NEEDS_RESET)
        if len(self.writing.prefixes.writing) == 0:
            raise ValueError("the episode has ended, there is nothing to append to: call reset()")
        try:
            token = operator.index(action)
        except TypeError as error:
            raise ValueError(f"an action must be one token id, a whole number, got {action!r}") from error
        rewards, terminated, truncated, info = self.writing.step(np.asarray([token], dtype=np.int64))
        if self.render_mode == "human":
            self.render()
        return self._observation(), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), self._info(info)

    def action_masks(self) -> BoolArray:
        """Return which tokens may come next: [V], True = allowed (the convention of sb3-contrib)."""
        masks = self.writing.action_masks()
        return np.ones(self.tokens.vocab_size, dtype=np.bool_) if masks is None else masks[0]

    def unfinished(self, row: int = 0) -> Episode:
        """Return what has been written so far; its `ending` is None while it is being written."""
        return self.writing.prefixes.episodes(np.asarray([row]))[0]

    def render(self) -> str | None:
        """Return the prompt and the growing response ("ansi"), or show them in the terminal ("human")."""
        if self.render_mode is None:
            gym.logger.warn('nothing is rendered: make the environment with render_mode="ansi" or "human"')
            return None
        if not self.writing.is_ready:
            raise gym.error.ResetNeeded(NEEDS_RESET)
        episode = self.unfinished()
        judgement = self.judgements[0] if episode.ending is not None else None
        if self.render_mode == "ansi":
            return render_ansi(episode, judgement)
        render_human([render_ansi(episode, judgement, width=terminal_width(), has_colour=terminal_colour())])
        return None

    def _observation(self) -> Observation:
        return {name: rows[0] for name, rows in self.writing.observation().items()}

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return row 0 of a vector info."""
        single = {name: column.tolist()[0] for name, column in info.items() if not name.startswith("_")}
        masks = self.writing.action_masks()
        return single if masks is None else {**single, "action_mask": masks[0]}


def make_task(options: dict[str, Any]) -> Task:
    """Return the task that these options describe.

    Errors: TypeError for an unknown option.
    """
    known = sorted(Task.__dataclass_fields__)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"TextGen has no arguments {unknown}; it has {', '.join(known)}")
    return Task(**unkeep(options))
