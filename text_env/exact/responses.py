"""List all responses of a tiny vocabulary and horizon.

A response ends with its first end token or at the horizon. With V tokens, one of them an end token, and horizon T there
are (V-1)^T + (V-1)^(T-1) + ... + 1 of them: 341 for V = 5 and T = 4. Numbers of prefixes are shared with tabular
policies, so that a table of logits has one row per state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from text_env.episode import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

MOST_RESPONSES = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """Hold every response of a task, in lexicographic order.

    Args:
        tokens: [R, T] int64, zero on padding.
        is_action: [R, T] bool, False on padding.
        prefixes: [R, T] int64, the number of the prefix before each token (see `prefix_numbers`); zero on padding.
        num_prefixes: how many rows a table over all prefixes has, those that cannot be reached included.
    """

    tokens: IntArray
    is_action: BoolArray
    prefixes: IntArray
    num_prefixes: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> IntArray:
        """Return how many tokens each response has, the end token included: [R]."""
        return self.is_action.sum(axis=1, dtype=np.int64)

    def ids(self, number: int) -> tuple[int, ...]:
        """Return the tokens of one response without padding."""
        return tuple(int(token) for token in self.tokens[number, : self.lengths[number]])

    def scores(self, score: Callable[[tuple[int, ...]], float]) -> FloatArray:
        """Return `score(ids)` of every response: [R]."""
        return np.array([score(self.ids(number)) for number in range(len(self))], dtype=np.float64)


def prefix_numbers(tokens: IntArray, vocab_size: int) -> IntArray:
    """Give each prefix tokens[:, :t], t = 0 .. T, a number: shorter ones come first, then it is lexicographic order.

    The empty prefix is 0, the prefix of one token x is 1 + x, in general 1 + V * number(prefix without its last token) + x.

    Args:
        tokens: [R, T] int64 in [0, vocab_size). Columns after a response's end give numbers that mean nothing.

    Returns: [R, T + 1] int64.
    """
    numbers = np.zeros((tokens.shape[0], tokens.shape[1] + 1), dtype=np.int64)
    for column in range(tokens.shape[1]):
        numbers[:, column + 1] = 1 + numbers[:, column] * vocab_size + tokens[:, column]
    return numbers


def list_responses(
    vocab_size: int,
    horizon: int,
    end_ids: Collection[int] = (),
    allowed: Callable[[tuple[int, ...]], Sequence[bool] | BoolArray] | None = None,
) -> Responses:
    """List every response that can be written.

    Args:
        vocab_size: how many tokens there are, at least 1.
        horizon: the most tokens a response may have, at least 1.
        end_ids: tokens that end a response.
        allowed: the tokens [V] that may follow a prefix; None allows all.

    Raises ValueError where a size is not positive, an end token is outside the vocabulary, or the list would be too long.
    """
    if vocab_size < 1 or horizon < 1:
        raise ValueError(f"vocab_size and horizon must be at least 1, got {vocab_size} and {horizon}")
    outside = [token for token in end_ids if not 0 <= token < vocab_size]
    if outside:
        raise ValueError(f"end_ids must be below vocab_size {vocab_size}, got {outside}")
    if vocab_size**horizon > MOST_RESPONSES:
        raise ValueError(
            f"{vocab_size} tokens and horizon {horizon} give up to {vocab_size**horizon} responses, more than {MOST_RESPONSES}: "
            "choose a smaller vocabulary or horizon"
        )
    finished: list[tuple[int, ...]] = []
    unfinished: list[tuple[int, ...]] = [()]
    while unfinished:
        prefix = unfinished.pop()
        may_follow = np.ones(vocab_size, dtype=bool) if allowed is None else np.asarray(allowed(prefix), dtype=bool)
        if may_follow.shape != (vocab_size,) or not may_follow.any():
            raise ValueError(f"allowed({prefix}) must allow at least one of {vocab_size} tokens, got {may_follow.tolist()}")
        for token in np.flatnonzero(may_follow):
            response = (*prefix, int(token))
            is_finished = response[-1] in end_ids or len(response) == horizon
            (finished if is_finished else unfinished).append(response)
    return _pack(sorted(finished), vocab_size, horizon)


def _pack(responses: list[tuple[int, ...]], vocab_size: int, horizon: int) -> Responses:
    tokens = np.zeros((len(responses), horizon), dtype=np.int64)
    is_action = np.zeros((len(responses), horizon), dtype=bool)
    for number, response in enumerate(responses):
        tokens[number, : len(response)] = response
        is_action[number, : len(response)] = True
    prefixes = np.where(is_action, prefix_numbers(tokens, vocab_size)[:, :-1], 0)
    num_prefixes = sum(vocab_size**length for length in range(horizon))
    return Responses(tokens=tokens, is_action=is_action, prefixes=prefixes, num_prefixes=num_prefixes)
