"""Walk the tree of all prefixes once, level by level, to compute what is known exactly: values, optima, divergence, visits.

A node is a prefix, numbered as in `prefix_numbers`: the nodes of one length stand together in lexicographic order, and the children of node
n are 1 + n * V to n * V + V. Tables may have further axes in front, one per prompt for instance. The discount is 1, and a response pays its
score when it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from text_env.episode import FloatArray, IntArray
from text_env.exact.responses import MOST_RESPONSES, Responses

BoolArray = npt.NDArray[np.bool_]
Combine = Callable[[slice, FloatArray], FloatArray]


class Values(NamedTuple):
    """Hold what a policy can expect from each prefix on.

    Args:
        states: [..., num_nodes] V; of a finished response its score, of a node that cannot be reached 0.
        actions: [..., num_prefixes, V] Q, the expected return after choosing a token; 0 where nothing can be written.
    """

    states: FloatArray
    actions: FloatArray


class Optimum(NamedTuple):
    """Hold the best policy and what it can expect.

    Args:
        logprobs: [..., num_prefixes, V], of the policy.
        values: under it, the penalty for what has still to be written included.
    """

    logprobs: FloatArray
    values: Values


@dataclass(frozen=True)
class Tree:
    """Hold the shape of the tree.

    Args:
        vocab_size: V, at least 2.
        horizon: most tokens of a response.
        end_ids: tokens that end a response.
    """

    vocab_size: int
    horizon: int
    end_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.vocab_size < 2 or self.horizon < 1:
            raise ValueError(f"vocab_size must be at least 2 and horizon at least 1, got {self.vocab_size} and {self.horizon}")
        if self.vocab_size**self.horizon > MOST_RESPONSES:
            raise ValueError(
                f"{self.vocab_size} tokens and horizon {self.horizon} give {self.vocab_size**self.horizon} leaves, more than "
                f"{MOST_RESPONSES}: choose a smaller vocabulary or horizon"
            )

    @property
    def num_prefixes(self) -> int:
        """Return how many prefixes are shorter than the horizon: the rows of a policy's table."""
        return sum(self.vocab_size**length for length in range(self.horizon))

    @property
    def num_nodes(self) -> int:
        """Return how many prefixes there are, those as long as the horizon included."""
        return self.num_prefixes + self.vocab_size**self.horizon

    @cached_property
    def is_reachable(self) -> BoolArray:
        """Return which nodes can be written, because no end token stands before their last one: [num_nodes]."""
        reachable = np.ones(self.num_nodes, dtype=bool)
        ends = np.isin(np.arange(self.vocab_size), self.end_ids)
        goes_on = np.ones(1, dtype=bool)
        for length in range(self.horizon):
            reachable[self._level(length + 1)] = np.repeat(goes_on, self.vocab_size)
            goes_on = (goes_on[:, None] & ~ends).ravel()
        return reachable

    @cached_property
    def is_finished(self) -> BoolArray:
        """Return which nodes are whole responses: [num_nodes]."""
        finished = np.zeros(self.num_nodes, dtype=bool)
        last = (np.arange(self.num_nodes) - 1) % self.vocab_size  # token at the end of each node but the root
        finished[1:] = np.isin(last[1:], self.end_ids)
        finished[self._level(self.horizon)] = True
        return finished & self.is_reachable

    @cached_property
    def is_state(self) -> BoolArray:
        """Return in which prefixes a token is chosen: [num_prefixes]."""
        return (self.is_reachable & ~self.is_finished)[: self.num_prefixes]

    def tokens(self) -> tuple[IntArray, IntArray]:
        """Return the tokens of every node, zero on padding, and their number: [num_nodes, horizon] and [num_nodes]."""
        tokens = np.zeros((self.num_nodes, self.horizon), dtype=np.int64)
        lengths = np.zeros(self.num_nodes, dtype=np.int64)
        for length in range(1, self.horizon + 1):
            here = self._level(length)
            before = self._level(length - 1)
            tokens[here, : length - 1] = np.repeat(tokens[before, : length - 1], self.vocab_size, axis=0)
            tokens[here, length - 1] = np.tile(np.arange(self.vocab_size), self.vocab_size ** (length - 1))
            lengths[here] = length
        return tokens, lengths

    def place(self, responses: Responses, scores: FloatArray) -> FloatArray:
        """Put the scores of listed responses [..., R] on their nodes: [..., num_nodes], zero elsewhere."""
        last = responses.lengths - 1
        rows = np.arange(len(responses))
        nodes = 1 + responses.prefixes[rows, last] * self.vocab_size + responses.tokens[rows, last]
        placed = np.zeros((*scores.shape[:-1], self.num_nodes))
        placed[..., nodes] = scores
        return placed

    def visits(self, logprobs: FloatArray) -> FloatArray:
        """Return how likely a policy is to write each node: [..., num_nodes]. Over finished nodes it sums to 1.

        d(s, a) = d(s) * pi(a | s),   d(empty) = 1
        """
        self._check(logprobs)
        visits = np.zeros((*logprobs.shape[:-2], self.num_nodes))
        visits[..., 0] = 1.0
        for length in range(self.horizon):
            here = self._level(length)
            going_on = np.where(self.is_state[here], visits[..., here], 0.0)
            visits[..., self._level(length + 1)] = (going_on[..., None] * np.exp(logprobs[..., here, :])).reshape(*going_on.shape[:-1], -1)
        return visits

    def values(
        self, logprobs: FloatArray, scores: FloatArray, kl_weight: float = 0.0, reference_logprobs: FloatArray | None = None
    ) -> Values:
        """Return V and Q of a policy, which pays for leaving a reference where a weight is given.

        V(s) = sum over a of pi(a | s) * Q(s, a),   Q(s, a) = V(s, a) - kl_weight * log(pi(a | s) / reference(a | s))

        Args:
            logprobs: [..., num_prefixes, V]; -inf for a token that is not allowed.
            scores: [..., num_nodes], of finished nodes.
            kl_weight: score per nat. reference_logprobs: as `logprobs`.
        """
        self._check(logprobs)
        probabilities = np.exp(logprobs)
        penalty = None if reference_logprobs is None else kl_weight * _log_ratio(logprobs, reference_logprobs)
        return self._backwards(
            scores, lambda here, following: (probabilities[..., here, :] * following).sum(-1), probabilities, penalty=penalty
        )

    def objective(
        self, logprobs: FloatArray, scores: FloatArray, kl_weight: float = 0.0, reference_logprobs: FloatArray | None = None
    ) -> FloatArray:
        """Return J = E[score] - kl_weight * KL(pi || reference), exactly: one number per table, [...]."""
        root: FloatArray = self.values(logprobs, scores, kl_weight, reference_logprobs).states[..., 0]
        return root

    def divergence(self, logprobs: FloatArray, reference_logprobs: FloatArray) -> FloatArray:
        """Return KL(pi || reference) over whole responses, in nats: [...]."""
        return -self.objective(logprobs, np.zeros(self.num_nodes), 1.0, reference_logprobs)

    def best(self, scores: FloatArray) -> Values:
        """Return V and Q of always choosing a best token, without any penalty."""
        return self._backwards(scores, lambda _, following: following.max(-1))

    def kl_optimum(self, reference_logprobs: FloatArray, scores: FloatArray, kl_weight: float) -> Optimum:
        """Return the policy that maximises E[score] - kl_weight * KL(pi || reference), and its values.

        pi*(a | s) = reference(a | s) * exp((V*(s, a) - V*(s)) / kl_weight)
        V*(s) = kl_weight * log sum over a of reference(a | s) * exp(V*(s, a) / kl_weight)   (Ziegler et al. 2019, arXiv:1909.08593, eq. 3)

        Args:
            reference_logprobs: [..., num_prefixes, V]. scores: [..., num_nodes]. kl_weight: above 0.
        """
        if kl_weight <= 0:
            raise ValueError(f"kl_weight must be above 0, got {kl_weight}: without it the optimum is `best`, and need not be unique")
        self._check(reference_logprobs)
        states = self._backwards(
            scores,
            lambda here, following: kl_weight * _log_sum_exp(reference_logprobs[..., here, :] + following / kl_weight),
            reference_logprobs,
        )
        differences = (states.actions - states.states[..., : self.num_prefixes, None]) / kl_weight
        logprobs = np.where(self.is_state[:, None], reference_logprobs + differences, reference_logprobs)
        return Optimum(logprobs, self.values(logprobs, scores, kl_weight, reference_logprobs))

    def entropy_optimum(self, scores: FloatArray, entropy_weight: float) -> Optimum:
        """Return the policy that maximises E[score + entropy_weight * entropy of each token's distribution], and its values.

        pi*(a | s) ~ exp(Q*(s, a) / entropy_weight)     (Haarnoja et al. 2017, arXiv:1702.08165)

        Adding entropy_weight * log V for each token makes it a divergence from the uniform policy, so the two have the same recursion.
        """
        if entropy_weight <= 0:
            raise ValueError(f"entropy_weight must be above 0, got {entropy_weight}")
        zeros = np.zeros((self.num_prefixes, self.vocab_size))
        states = self._backwards(scores, lambda _, following: entropy_weight * _log_sum_exp(following / entropy_weight))
        differences = (states.actions - states.states[..., : self.num_prefixes, None]) / entropy_weight
        uniform = -np.log(self.vocab_size)
        logprobs = np.where(self.is_state[:, None], differences, uniform)
        return Optimum(logprobs, self.values(logprobs, scores, entropy_weight, zeros))

    def _backwards(self, scores: FloatArray, combine: Combine, *tables: FloatArray, penalty: FloatArray | None = None) -> Values:
        """Go from the leaves to the root.

        Args:
            combine: (level, its Q) -> its V.
            tables: what `combine` reads, [..., num_prefixes, V], whose further axes the result has too.
            penalty: [..., num_prefixes, V], taken off Q.
        """
        assert scores.shape[-1] == self.num_nodes, f"scores must be [..., {self.num_nodes}], got {scores.shape}"
        read = tables if penalty is None else (*tables, penalty)
        front = np.broadcast_shapes(scores.shape[:-1], *(table.shape[:-2] for table in read))
        states = np.broadcast_to(np.where(self.is_finished, scores, 0.0), (*front, self.num_nodes)).copy()
        actions = np.zeros((*front, self.num_prefixes, self.vocab_size))
        for length in reversed(range(self.horizon)):
            here = self._level(length)
            following = states[..., self._level(length + 1)].reshape(*front, -1, self.vocab_size)
            if penalty is not None:
                following = following - penalty[..., here, :]
            is_state = self.is_state[here]
            states[..., here] = np.where(is_state, combine(here, following), states[..., here])
            actions[..., here, :] = np.where(is_state[:, None], following, 0.0)
        return Values(states, actions)

    def _level(self, length: int) -> slice:
        """Return where the nodes of one length stand."""
        first = sum(self.vocab_size**shorter for shorter in range(length))
        return slice(first, first + self.vocab_size**length)

    def _check(self, logprobs: FloatArray) -> None:
        expected = (self.num_prefixes, self.vocab_size)
        assert logprobs.shape[-2:] == expected, f"a policy's table must be [..., {expected[0]}, {expected[1]}], got {logprobs.shape}"


def _log_ratio(logprobs: FloatArray, reference_logprobs: FloatArray) -> FloatArray:
    """Return log pi - log reference, and 0 where pi never goes, so that it can be multiplied by pi."""
    goes = np.isfinite(logprobs)
    return np.where(goes, np.where(goes, logprobs, 0.0) - reference_logprobs, 0.0)


def _log_sum_exp(exponents: FloatArray) -> FloatArray:
    largest = exponents.max(axis=-1, keepdims=True)
    total: FloatArray = (largest + np.log(np.exp(exponents - largest).sum(axis=-1, keepdims=True)))[..., 0]
    return total
