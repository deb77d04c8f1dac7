"""Define tasks so small that all their responses are listed, with rules whose best response is known.

The last token of the vocabulary ends a response; the others are letters. A prompt is horizon - 1 letters, so that it can be copied and the
copy ended. Scores lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from text_env.episode import Episode, FloatArray, IntArray
from text_env.exact.tree import Tree

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ExactTask:
    """Hold a task: its prompts, its tree of responses and the score of each.

    Args:
        rule: one of `RULES`.
        vocab_size: 3 to 8, the end token included.
        horizon: 3 to 6, most tokens of a response.
        num_prompts: how many different prompts; at most half of the (vocab_size - 1) ** (horizon - 1) that there are.
        seed: decides the prompts, and the table of the rule "random".
        split: "train", or "held_out" for as many prompts of the same rule that are not among those of "train".

    Raises ValueError where a number is out of range or there is no such rule.
    """

    rule: str = "count"
    vocab_size: int = 4
    horizon: int = 4
    num_prompts: int = 3
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        if self.split not in ("train", "held_out"):
            raise ValueError(f'split must be "train" or "held_out", got {self.split!r}')
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        for name, low, high in (("vocab_size", 3, 8), ("horizon", 3, 6), ("num_prompts", 1, self._all_prompts // 2)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} of an exact task must be between {low} and {high}, got {getattr(self, name)}")

    @property
    def _all_prompts(self) -> int:
        return int((self.vocab_size - 1) ** (self.horizon - 1))

    @property
    def _first(self) -> int:
        return 0 if self.split == "train" else self.num_prompts

    @property
    def end(self) -> int:
        """Return the token that ends a response."""
        return self.vocab_size - 1

    @cached_property
    def tree(self) -> Tree:
        """Return the tree of all prefixes."""
        return Tree(self.vocab_size, self.horizon, (self.end,))

    @cached_property
    def prompts(self) -> IntArray:
        """Return the prompts, all different: [num_prompts, horizon - 1]."""
        shuffled = np.random.default_rng(self.seed).permutation(self._all_prompts)
        chosen = shuffled[self._first : self._first + self.num_prompts]
        places = (self.vocab_size - 1) ** np.arange(self.horizon - 1)
        return (chosen[:, None] // places % (self.vocab_size - 1)).astype(np.int64)

    @cached_property
    def scores(self) -> FloatArray:
        """Return the score of every whole response to every prompt: [num_prompts, num_nodes] in [0, 1], zero on other nodes."""
        tokens, lengths = self.tree.tokens()
        rows = np.flatnonzero(self.tree.is_finished)
        scores = np.zeros((self.num_prompts, self.tree.num_nodes))
        if self.rule == "random":
            for prompt in range(self.num_prompts):
                scores[prompt, rows] = np.random.default_rng((self.seed, self._first + prompt)).random(len(rows))
            return scores
        responses = tokens[rows]
        is_letter = (np.arange(self.horizon) < lengths[rows, None]) & (responses != self.end)
        for number, prompt_ids in enumerate(self.prompts):
            scores[number, rows] = RULES[self.rule](prompt_ids, responses, is_letter)
        return scores

    def score(self, prompt: int, response: Sequence[int] | IntArray) -> float:
        """Return the score of one whole response to a prompt, given by its number.

        Raises ValueError where the ids are not a whole response.
        """
        node = 0
        for token in response:
            node = 1 + node * self.vocab_size + int(token)
        if not (0 <= node < self.tree.num_nodes and self.tree.is_finished[node]):
            raise ValueError(f"{list(response)} is no whole response of at most {self.horizon} tokens that ends with {self.end} or is full")
        return float(self.scores[prompt, node])

    @property
    def texts(self) -> list[str]:
        """Return the prompts as text: letters, separated by spaces."""
        return [" ".join(self.words[token] for token in prompt) for prompt in self.prompts]

    @property
    def words(self) -> list[str]:
        """Return the text of every token: a, b, c, ... and a full stop for the end."""
        return [*(chr(ord("a") + token) for token in range(self.end)), "."]


class ExactScore:
    """Score responses by the rule of an exact task: a feedback source.

    Args:
        task: what is written.
    """

    low, high, unit = 0.0, 1.0, "share of the best response"

    def __init__(self, task: ExactTask) -> None:
        self.task = task
        self._number = {tuple(prompt): number for number, prompt in enumerate(task.prompts.tolist())}

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        """Return the score of each episode.

        Raises ValueError for a prompt that the task does not have.
        """
        return [self.task.score(self._prompt(episode), episode.ids) for episode in episodes]

    def _prompt(self, episode: Episode) -> int:
        ids = tuple(episode.prompt.ids.tolist())
        if ids not in self._number:
            raise ValueError(f"the exact task {self.task} has no prompt {ids}: leave prompts to the environment")
        return self._number[ids]


def _count(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Share of the budget that is the prompt's first letter."""
    return ((responses == prompt[0]) & is_letter).mean(axis=1)


def _agreement(target: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Share of places that agree with the target, of the longer of the two."""
    agrees = (responses[:, : len(target)] == target) & is_letter[:, : len(target)]
    share: FloatArray = agrees.sum(axis=1) / np.maximum(is_letter.sum(axis=1), len(target))
    return share


def _copy(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Write the prompt again and end: the share of places that agree."""
    return _agreement(prompt, responses, is_letter)


def _reverse(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Write the prompt backwards and end: the share of places that agree."""
    return _agreement(prompt[::-1], responses, is_letter)


def _sort(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Write the prompt's letters in order and end: the share of places that agree."""
    return _agreement(np.sort(prompt), responses, is_letter)


def _brackets(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Write a balanced sequence, a = opening, b = closing: paired brackets less unpaired ones, as a share of the budget; at least 0.

    Other letters count for nothing, and the prompt does not matter.
    """
    opened = np.zeros(len(responses))
    paired = np.zeros(len(responses))
    unpaired = np.zeros(len(responses))
    for column in range(responses.shape[1]):
        opens, closes = ((responses[:, column] == token) & is_letter[:, column] for token in (0, 1))
        pairs = closes & (opened > 0)
        opened += opens.astype(float) - pairs
        paired += 2 * pairs
        unpaired += closes & ~pairs
    longest = responses.shape[1] // 2 * 2
    return np.maximum(paired - unpaired - opened, 0.0) / longest


def _random(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Score each response by a table of random numbers, uniform between 0 and 1: nothing to generalise from."""
    raise AssertionError("the table belongs to the task, which knows the seed")


def _sparse(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Pay 1 for the copy of the prompt, ended, and 0 for everything else."""
    return (_agreement(prompt, responses, is_letter) == 1.0).astype(np.float64)


def _deceptive(prompt: IntArray, responses: IntArray, is_letter: BoolArray) -> FloatArray:
    """Pay 1 for the copy of the prompt, ended, else half the share of the budget whose letters differ from it: every hint leads away."""
    padded = np.append(prompt, -1)
    differs = ((responses != padded) & is_letter).mean(axis=1)
    return np.where(_sparse(prompt, responses, is_letter) == 1.0, 1.0, 0.5 * differs)


Rule = Callable[[IntArray, IntArray, BoolArray], FloatArray]

# (prompt [P], responses [R, T], which of their tokens are letters [R, T]) -> scores [R]
RULES: dict[str, Rule] = {
    "count": _count,
    "copy": _copy,
    "reverse": _reverse,
    "sort": _sort,
    "brackets": _brackets,
    "random": _random,
    "sparse": _sparse,
    "deceptive": _deceptive,
}
