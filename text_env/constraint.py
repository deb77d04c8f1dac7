"""Say which tokens a row may choose next where its whole response must match an expression.

The state of a row is a state of the automaton and the number of tokens left. Tokens that lead from every state to the same states are one
class, of which there are few: the table is [S, C], and a mask is its row, spread over the vocabulary. A token is allowed only where the
text can still be completed within the tokens left, so that a budget never cuts a response in the middle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from text_env.automaton import Automaton
from text_env.episode import IntArray
from text_env.masks import BoolArray, checked_ids
from text_env.spelling import spelling_of
from text_env.tokens import Tokens

STATES_AT_ONCE = 32


class Constraint:
    """Mask tokens by an automaton.

    Args:
        automaton: over bytes; it accepts the responses that are allowed. shown: what to call it in messages.
        tokens: the tokenizer.
        min_new_tokens, banned_tokens, allowed_tokens, max_new_tokens: as in `Masks`.

    F[0] = the final states,   F[r] = those of them that may end, and the states with an allowed token that leads into F[r - 1]

    A token is allowed with r tokens left where it leads into F[r - 1], an end token in a final state. Rows begin in F[max_new_tokens].

    Errors: ValueError where no response is possible, which says what it would take.
    """

    restricts = True

    def __init__(
        self,
        automaton: Automaton,
        shown: str,
        tokens: Tokens,
        *,
        min_new_tokens: int = 0,
        banned_tokens: Collection[int] = (),
        allowed_tokens: Collection[int] | None = None,
        max_new_tokens: int,
    ) -> None:
        checked_ids(tokens, min_new_tokens, banned_tokens, allowed_tokens, max_new_tokens)
        self._budget, self._minimum = max_new_tokens, min_new_tokens
        self._ends = np.asarray([id for id in tokens.eos_ids if id not in set(banned_tokens)], dtype=np.int64)
        self._is_end = np.zeros(tokens.vocab_size, dtype=np.bool_)
        self._is_end[list(tokens.eos_ids)] = True
        usable = set(tokens.pieces if allowed_tokens is None else allowed_tokens) - set(banned_tokens)
        self._class_of, self._targets = _classes(automaton, tokens, usable)
        self._first, self._dead = len(automaton.steps), len(automaton.steps) - 1  # the state before any token is one of its own
        self._later = automaton.start
        self._is_final = np.append(automaton.is_final, automaton.is_final[automaton.start])
        self._may_finish = self._ladder()
        if not self._may_finish[self._top, self._first]:
            raise ValueError(self._why_not(shown, automaton, tokens, usable != set(tokens.pieces)))
        fewest = _shortest(self._targets, self._is_final, self._later)
        self.shortest = max_new_tokens + 1 if fewest is None else max(fewest, 1)  # tokens that a later turn needs

    @property
    def num_states(self) -> int:
        """Return S, the states of the automaton and the one before any token."""
        return len(self._targets)

    @property
    def num_classes(self) -> int:
        """Return C, the classes of tokens."""
        return self._targets.shape[1]

    @property
    def _top(self) -> int:
        return self._budget + self._minimum

    def start(self, count: int) -> IntArray:
        """Return the state [count] of rows that have written nothing."""
        return np.full(count, self._top * self.num_states + self._first, dtype=np.int64)

    def resume(self, count: int, num_left: int) -> IntArray:
        """Return the state [count] of rows that begin another turn, with so many tokens left."""
        return np.full(count, num_left * self.num_states + self._later, dtype=np.int64)

    def advance(self, state: IntArray, actions: IntArray) -> IntArray:
        """Return the state [n] after one more token each."""
        rung, place = np.divmod(state, self.num_states)
        return np.asarray(self._below(rung) * self.num_states + self._targets[place, self._class_of[actions]])

    def of(self, state: IntArray) -> BoolArray:
        """Return which tokens may come next: [n, V], True = allowed."""
        rung, place = np.divmod(state, self.num_states)
        by_class = self._may_finish[self._below(rung)[:, None], self._targets[place]]  # [n, C]
        allowed = np.take(by_class, self._class_of, axis=1)
        allowed[:, self._ends] = self._may_end(rung, place)[:, None]
        return allowed

    def allows(self, state: IntArray, actions: IntArray) -> BoolArray:
        """Return whether each row may choose its action: [n]."""
        rung, place = np.divmod(state, self.num_states)
        text = self._may_finish[self._below(rung), self._targets[place, self._class_of[actions]]]
        is_kept = np.isin(actions, self._ends)
        return np.where(self._is_end[actions], is_kept & self._may_end(rung, place), text)

    def _may_end(self, rung: IntArray, place: IntArray) -> BoolArray:
        return np.asarray(self._is_final[place] & (rung <= self._budget))

    def _below(self, rung: IntArray) -> IntArray:
        """Return the rung after one more token.

        Rungs 0 to budget count the tokens left; those above, reached only from the start, count the tokens still missing to the minimum.
        """
        above = np.where(rung == self._budget + 1, self._budget - self._minimum, rung - 1)
        return np.asarray(np.maximum(above, 0))

    def _ladder(self) -> BoolArray:
        """Return F, [budget + minimum + 1, S]: from which states the text can be completed, on each rung."""
        sources, targets = _edges(self._targets)
        is_final = self._is_final & (len(self._ends) > 0)
        rungs = [self._is_final]
        for rung in range(1, self._top + 1):
            below = rungs[int(self._below(np.asarray(rung)))]
            reached = is_final.copy() if rung <= self._budget else np.zeros_like(is_final)
            reached[sources[below[targets]]] = True
            rungs.append(reached)
        return np.stack(rungs)

    def _why_not(self, shown: str, automaton: Automaton, tokens: Tokens, is_limited: bool) -> str:
        shortest = _shortest(self._targets, self._is_final, self._first)
        if shortest is None and is_limited:
            free = _classes(automaton, tokens, set(tokens.pieces))[1]
            if _shortest(free, self._is_final, self._first) is not None:
                return f"banned_tokens and allowed_tokens leave no way to write {shown}: ban fewer, or allow more"
        if shortest is None:
            return f"no text that matches {shown} can be written with the tokens of {tokens.name!r}"
        if shortest > self._budget:
            return f"the shortest text that matches {shown} takes {shortest} tokens, more than max_new_tokens={self._budget}"
        least = self._minimum if len(self._ends) else self._budget
        return (
            f"no text that matches {shown} takes between {least} and max_new_tokens={self._budget} tokens: change the limits or the pattern"
        )


def _classes(automaton: Automaton, tokens: Tokens, usable: set[int]) -> tuple[IntArray, IntArray]:
    """Return the class [V] of each token, and where each class leads from each state: [S, C].

    The last state leads where tokens lead at the beginning of a text. The tokens of class 0 lead nowhere from anywhere.
    """
    dead = len(automaton.steps) - 1
    spelling = spelling_of(tokens)
    ids = np.asarray(sorted(usable & (spelling.first.keys() | spelling.later.keys())), dtype=np.int64)
    later = [spelling.later.get(id, b"") for id in ids.tolist()]
    chunks = [np.arange(low, min(low + STATES_AT_ONCE, dead)) for low in range(0, dead, STATES_AT_ONCE)]
    parts = [_grouped(targets) for targets in _walks(automaton, later, chunks)]
    at_first = [spelling.first.get(id, b"") for id in ids.tolist()]
    parts += [
        _grouped(np.full((1, len(ids)), dead)),
        *(_grouped(row) for row in _walks(automaton, at_first, [np.asarray([automaton.start])])),
    ]
    group = np.zeros(len(ids), dtype=np.int64)
    members = group[:1]
    for number, _ in parts:
        _, members, group = np.unique(group * len(ids) + number, return_index=True, return_inverse=True)
    class_of = np.zeros(tokens.vocab_size, dtype=np.int64)
    class_of[ids] = group + 1
    table = np.concatenate([columns[:, number[members]] for number, columns in parts])
    return class_of, np.column_stack([np.full(len(table), dead), table])


def _walks(automaton: Automaton, spellings: list[bytes], chunks: list[IntArray]) -> Iterator[IntArray]:
    """Yield for each chunk of states [k] where each token leads from each of them: [k, n]."""
    dead = len(automaton.steps) - 1
    lengths = np.asarray([len(spelling) for spelling in spellings], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")  # the longest first, so that those with a further byte are the first so many
    letters = np.zeros((len(order), int(lengths.max(initial=0))), dtype=np.uint8)
    letters[np.arange(letters.shape[1]) < lengths[order, None]] = np.frombuffer(b"".join(spellings[at] for at in order.tolist()), np.uint8)
    letters = np.ascontiguousarray(letters.T)
    steps = automaton.steps.astype(np.int32).reshape(-1)
    for chunk in chunks:
        at = np.repeat(chunk.astype(np.int32)[:, None], len(order), axis=1)
        for byte, column in enumerate(letters):
            going = int(np.count_nonzero(lengths > byte))
            at[:, :going] = steps[at[:, :going] * 256 + column[:going]]
        at[:, np.count_nonzero(lengths) :] = dead  # tokens that write nothing
        targets = np.empty_like(at)
        targets[:, order] = at
        yield targets.astype(np.int64)


def _grouped(columns: IntArray) -> tuple[IntArray, IntArray]:
    """Return the number [n] of each column among the different ones, and those: [k, different]."""
    weights = np.random.default_rng(0).integers(2**63, size=len(columns), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = (columns.astype(np.uint64) * weights[:, None]).sum(axis=0, dtype=np.uint64)
    _, members, number = np.unique(keys, return_index=True, return_inverse=True)
    different = columns[:, members]
    assert (different[:, number] == columns).all(), "two different columns share a key"
    return number, different


def _edges(targets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pairs of states [E] and [E] that some token leads between."""
    num_states = len(targets)
    pairs = np.unique(np.arange(num_states)[:, None] * num_states + targets)
    return pairs // num_states, pairs % num_states


def _shortest(targets: IntArray, is_final: BoolArray, start: int) -> int | None:
    """Return the fewest tokens that lead from a state to a final one; None where none do."""
    sources, leads_to = _edges(targets)
    reached = is_final.copy()
    for count in range(len(targets) + 1):
        if reached[start]:
            return count
        reached[sources[reached[leads_to]]] = True
    return None
