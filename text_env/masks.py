"""Say which tokens a row may choose next.

The mask depends on a small state per row, so a table holds each different mask once: [U, V] rows of booleans.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from text_env.episode import IntArray
from text_env.tokens import Tokens

BoolArray = npt.NDArray[np.bool_]


class Masks:
    """Combine what restricts the next token: ids without a token, banned and allowed tokens, a minimum length, choices.

    Args:
        tokens: the tokenizer.
        min_new_tokens: end tokens are masked until this many tokens were written.
        banned_tokens: ids that may never be chosen.
        allowed_tokens: if given, the only ids that may be chosen besides end tokens.
        choices: if given, the response must be one of these texts, followed by an end token.
        max_new_tokens: the budget, to refuse what cannot be written within it.

    Errors: ValueError for ids outside the vocabulary, contradictory options, or a mask that leaves nothing to choose.
    """

    shortest = 1  # tokens that a later turn of a dialogue needs

    def __init__(
        self,
        tokens: Tokens,
        *,
        min_new_tokens: int = 0,
        banned_tokens: Collection[int] = (),
        allowed_tokens: Collection[int] | None = None,
        choices: Sequence[str] | None = None,
        max_new_tokens: int,
    ) -> None:
        checked_ids(tokens, min_new_tokens, banned_tokens, allowed_tokens, max_new_tokens)
        if choices is not None and (min_new_tokens or banned_tokens or allowed_tokens is not None):
            raise ValueError("choices fix every token, so they cannot be combined with min_new_tokens, banned_tokens or allowed_tokens")
        self._edges: tuple[IntArray, IntArray] | None = None
        if choices is not None:
            self.table, self._edges = _trie_of(choices, tokens, max_new_tokens)
        else:
            self.table = _static_table(tokens, min_new_tokens, banned_tokens, allowed_tokens)
        if not self.table.any(axis=1).all():
            raise ValueError("these masks leave no token to choose: allow more tokens or ban fewer")

    @cached_property
    def restricts(self) -> bool:
        """Say whether any token is ever masked."""
        return not self.table.all()

    def start(self, count: int) -> IntArray:
        """Return the state [count] of rows that have written nothing."""
        return np.zeros(count, dtype=np.int64)

    def resume(self, count: int, num_left: int) -> IntArray:
        """Return the state [count] of rows that begin another turn, with so many tokens left: as at the beginning."""
        return self.start(count)

    def advance(self, state: IntArray, actions: IntArray) -> IntArray:
        """Return the state [n] after one more token each."""
        if self._edges is not None:
            keys, children = self._edges
            wanted = state * self.table.shape[1] + actions
            places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            return np.where(keys[places] == wanted, children[places], 0)  # no edge: an end token
        return np.minimum(state + 1, len(self.table) - 1)

    def of(self, state: IntArray) -> BoolArray:
        """Return which tokens may come next: [n, V], True = allowed."""
        return self.table[state]

    def allows(self, state: IntArray, actions: IntArray) -> BoolArray:
        """Return whether each row may choose its action: [n]."""
        return np.asarray(self.table[state, actions])


def checked_ids(
    tokens: Tokens, min_new_tokens: int, banned_tokens: Collection[int], allowed_tokens: Collection[int] | None, max_new_tokens: int
) -> None:
    """Refuse a minimum above the budget, ids that have no token, and lists that contradict each other."""
    if not 0 <= min_new_tokens <= max_new_tokens:
        raise ValueError(f"min_new_tokens must be between 0 and max_new_tokens={max_new_tokens}, got {min_new_tokens}")
    for name, ids in (("banned_tokens", banned_tokens), ("allowed_tokens", allowed_tokens or ())):
        wrong = [id for id in ids if not 0 <= id < tokens.vocab_size]
        if wrong:
            raise ValueError(f"{name} must be ids between 0 and {tokens.vocab_size - 1}, got {wrong[:5]}")
    without = sorted(set(allowed_tokens or ()) - set(tokens.pieces))
    if without:
        raise ValueError(f"allowed_tokens must be ids that have a token, {without[:5]} have none in {tokens.name!r}")
    if allowed_tokens is not None and not allowed_tokens:
        raise ValueError("allowed_tokens must name at least one token, got none")
    contradiction = set(banned_tokens) & set(allowed_tokens or ())
    if contradiction:
        raise ValueError(f"tokens {sorted(contradiction)[:5]} are both banned and allowed: take them out of one of the lists")


def _static_table(tokens: Tokens, min_new_tokens: int, banned: Collection[int], allowed: Collection[int] | None) -> BoolArray:
    """Return the masks after 0, 1, ... tokens; the last one holds from then on."""
    mask = np.zeros(tokens.vocab_size, dtype=np.bool_)
    mask[list(tokens.pieces)] = True  # an id without a token can never be chosen
    ends = list(tokens.eos_ids)
    if allowed is not None:
        mask[:] = False
        mask[list(allowed)] = True
        mask[ends] = True
    mask[list(banned)] = False
    table = np.repeat(mask[None], min_new_tokens + 1, axis=0)
    table[:min_new_tokens, ends] = False
    return table


def _trie_of(choices: Sequence[str], tokens: Tokens, max_new_tokens: int) -> tuple[BoolArray, tuple[IntArray, IntArray]]:
    """Return the masks [nodes, V] of the tree of choices, each of which ends with an end token, and its edges.

    The edges are two arrays [E]: node * V + token in ascending order, and the node that the edge leads to.
    """
    if isinstance(choices, str):
        raise ValueError(f"choices must be a list of texts, got the text {choices!r}: write choices=[{choices!r}]")
    if not choices or any(not choice for choice in choices) or len(set(choices)) != len(choices):
        raise ValueError(f"choices must be different, non-empty texts, got {list(choices)!r}")
    children: list[dict[int, int]] = [{}]
    complete: set[int] = set()
    for choice in choices:
        ids = tokens.encode(choice).tolist()
        if len(ids) + 1 > max_new_tokens:
            raise ValueError(f"choice {choice!r} needs {len(ids) + 1} tokens with its end token, more than max_new_tokens={max_new_tokens}")
        node = 0
        for id in ids:
            if id not in children[node]:
                children.append({})
                children[node][id] = len(children) - 1
            node = children[node][id]
        complete.add(node)
    edges = sorted((node * tokens.vocab_size + id, child) for node, following in enumerate(children) for id, child in following.items())
    keys, targets = np.asarray(edges, dtype=np.int64).T
    table = np.zeros((len(children), tokens.vocab_size), dtype=np.bool_)
    table.reshape(-1)[keys] = True
    for node in complete:
        table[node, list(tokens.eos_ids)] = True
    return table, (np.ascontiguousarray(keys), np.ascontiguousarray(targets))
