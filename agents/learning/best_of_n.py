"""Write n responses to each prompt and keep the best: a way to decode with any agent, at n times the tokens and the questions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agents.agent import Agent
from agents.learning.collect import Env, collect
from agents.learning.preferences import best_rows
from agents.learning.rollout import Rollout


@dataclass(frozen=True, eq=False)
class BestOf:
    """Hold the best responses, and everything that was written and asked to find them.

    Args:
        rollout: the response with the highest score of each group, in the groups' order. Where no response of a group has a score, it has
            no best one and is missing.
        written: all responses.
        n: responses in a group.
    """

    rollout: Rollout
    written: Rollout
    n: int

    @property
    def num_tokens(self) -> int:
        """Return how many tokens were written in all."""
        return int(self.written.lengths.sum())

    @property
    def num_questions(self) -> int:
        """Return how many responses the feedback was asked about: all but those that were cut from outside."""
        return int((~self.written.is_truncated).sum())

    @property
    def num_without(self) -> int:
        """Return how many groups have no response with a score."""
        return len(self.written) // self.n - len(self.rollout)

    @property
    def kl_bound(self) -> float:
        """Return the most that the best of n diverges from what the agent writes, in nats per response (see `best_of_n_kl_bound`)."""
        return best_of_n_kl_bound(self.n)


def best_of_n(env: Env, agent: Agent, num_episodes: int, n: int, seed: int | None = None) -> BestOf:
    """Write responses in groups of n to the same prompt, and pick the best of each group by its score.

    The first of several equal scores wins; an abstention never does. The agent learns nothing. Comparing it with an agent that learned is
    fair at equal tokens and questions, which the result counts, not at equal numbers of prompts.

    Args:
        env: made with `group_size=n`.
        agent: any.
        num_episodes: responses that are written, a multiple of n; num_episodes // n prompts are answered.
        seed: decides the prompts and all tokens, as in `collect`.

    Raises ValueError where n is not positive or not the environment's group size.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    writing = getattr(env.unwrapped, "writing", None)  # without it `collect` says what is wrong with the environment
    if writing is not None and writing.task.group_size != n:
        raise ValueError(
            f"the best of {n} needs {n} responses to each prompt and the environment writes {writing.task.group_size}: "
            f"make it with group_size={n}"
        )
    written = collect(env, agent, num_episodes, seed=seed)
    scored = np.flatnonzero(written.is_scored)
    best = scored[best_rows(written.scores[scored], written.group[scored])]
    return BestOf(written.take(best), written, n)


def best_of_n_kl_bound(n: int) -> float:
    """Return log n - (n - 1) / n, in nats (Stiennon et al. 2020, arXiv:2009.01325).

    It bounds KL(best of n || what the agent writes) from above, and is near it where each response is improbable and the scores differ
    (Beirami et al. 2024, arXiv:2401.01879). The agent's own distance from a reference is not in it.
    """
    return math.log(n) - (n - 1) / n
