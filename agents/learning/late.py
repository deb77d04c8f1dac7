"""Train on scores that come late: go on writing while people judge, and put each score where its episode is.

Training waits for nobody as long as fewer than `most_waiting` responses are unanswered: it writes more, and learns from whatever has been
judged meanwhile, whole groups at a time. What is learned from may have been written by an earlier version of the policy; the agents here
correct for that by importance weights, since a rollout keeps the log-probabilities of those who wrote it, and what is older than `max_age`
updates is given up. An agent's package knows no feedback source: `LateFeedback` is all that it asks of one
(`feedback.Asynchronous` is one).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from agents.agent import Agent, Imitator
from agents.learning.collect import Env, collect, version_of
from agents.learning.recorder import pay
from agents.learning.rollout import BoolArray, Rollout
from text_env.episode import Episode, Judgement


@runtime_checkable
class LateFeedback(Protocol):
    """Take episodes now, abstain, and say later what was thought of them.

    most_waiting: responses that may be unanswered before no more are written. max_age: updates of the policy after which a response is
    given up. poll: seconds between two looks while there is nothing else to do.
    """

    most_waiting: int
    max_age: int
    poll: float

    def write_as(self, policy: str, version: int) -> None:
        """Note who writes from now on."""
        ...

    def settled(self) -> list[tuple[Episode, Judgement]]:
        """Return what has been judged since the last call, each episode once."""
        ...

    def give_up(self, episodes: Sequence[Episode]) -> None:
        """Ask about these no more."""
        ...


def late_source(env: Env) -> LateFeedback | None:
    """Return the environment's source if it judges late."""
    writing = getattr(env.unwrapped, "writing", None)
    source = None if writing is None else writing.judge.source
    return source if isinstance(source, LateFeedback) else None


class Rollouts(Protocol):
    """Give the episodes of one update after the other."""

    def next(self, num_episodes: int, seeds: Iterator[int]) -> Rollout:
        """Return the episodes of an update; whatever is written takes the next of the seeds."""
        ...

    def metrics(self) -> dict[str, float]:
        """Return measurements of the last ones."""
        ...


def rollouts_of(env: Env, agent: Agent) -> Rollouts:
    """Return what gives an agent's updates their episodes: what it imitates, or what it writes, judged at once or late."""
    if isinstance(agent, Imitator):
        return DemonstrationRollouts(env, agent)
    source = late_source(env)
    return PromptRollouts(env, agent) if source is None else LateRollouts(env, agent, source, type(agent).__name__)


@dataclass(frozen=True)
class PromptRollouts:
    """Write the episodes of an update, judged as they end."""

    env: Env
    agent: Agent

    def next(self, num_episodes: int, seeds: Iterator[int]) -> Rollout:
        """Return exactly `num_episodes` episodes."""
        return collect(self.env, self.agent, num_episodes, seed=next(seeds))

    def metrics(self) -> dict[str, float]:
        """Return nothing: there is nothing to wait for."""
        return {}


@dataclass
class DemonstrationRollouts:
    """Give an imitator what it is to imitate."""

    env: Env
    agent: Imitator
    share_left_out: float = 0.0

    def next(self, num_episodes: int, seeds: Iterator[int]) -> Rollout:
        """Return `num_episodes` demonstrations, less those that are left out."""
        rollout = self.agent.demonstrations(self.env, num_episodes, seed=next(seeds))
        self.share_left_out = 1 - len(rollout) / num_episodes
        return rollout

    def metrics(self) -> dict[str, float]:
        """Return which share of the last demonstrations was left out, because it does not fit the budget of tokens."""
        return {"share_left_out": self.share_left_out}


@dataclass
class Waiting:
    """Hold a rollout whose episodes are judged one after the other.

    Args:
        is_settled: [B], judged or never to be. is_taken: [B], handed to the learner or given up.
    """

    rollout: Rollout
    is_settled: BoolArray
    is_taken: BoolArray


@dataclass
class LateRollouts:
    """Give a learner what has been judged, and keep the rest.

    Args:
        env: its feedback is `source`.
        agent: writes.
        source: judges late.
        name: who writes, for the study's record.
    """

    env: Env
    agent: Agent
    source: LateFeedback
    name: str = ""
    num_given_up: int = 0
    age: float = 0.0  # updates, mean over what was handed out last
    _parts: list[Waiting] = field(default_factory=list)
    _place: dict[int, tuple[Waiting, int]] = field(default_factory=dict)  # by the identity of an episode, which its part holds

    @property
    def num_waiting(self) -> int:
        """Return how many responses nobody has judged yet."""
        return sum(int((~part.is_settled & ~part.is_taken).sum()) for part in self._parts)

    def next(self, num_episodes: int, seeds: Iterator[int]) -> Rollout:
        """Return at least `num_episodes` judged episodes, as soon as there are so many.

        Args:
            seeds: one for each rollout that is written meanwhile.
        """
        if self.source.most_waiting < num_episodes:
            raise ValueError(
                f"an update needs {num_episodes} judged responses, but only {self.source.most_waiting} may wait: raise most_waiting"
            )
        while True:
            self._patch()
            self._drop_old()
            if sum(int(self._ready(part).sum()) for part in self._parts) >= num_episodes:
                return self._take()
            if self.num_waiting + num_episodes <= self.source.most_waiting:
                self.source.write_as(self.name, version_of(self.agent))
                self._add(collect(self.env, self.agent, num_episodes, seed=next(seeds)))
            else:
                time.sleep(self.source.poll)

    def metrics(self) -> dict[str, float]:
        """Return how many responses wait, how old the last ones were in updates, and how many were given up in all."""
        return {"num_waiting": float(self.num_waiting), "age_updates": self.age, "num_given_up": float(self.num_given_up)}

    def _add(self, rollout: Rollout) -> None:
        settled = np.array([episode is None or episode.ending is None for episode in rollout.episodes])  # cut from outside: never asked
        part = Waiting(rollout, settled, np.zeros(len(rollout), dtype=bool))
        self._parts.append(part)
        for row in np.flatnonzero(~settled):
            self._place[id(rollout.episodes[row])] = (part, int(row))

    def _patch(self) -> None:
        """Write what was judged into the rollouts that the episodes are in."""
        found: dict[int, tuple[Waiting, list[tuple[int, Judgement]]]] = {}
        for episode, judgement in self.source.settled():
            place = self._place.pop(id(episode), None)
            if place is not None:
                part, row = place
                found.setdefault(id(part), (part, []))[1].append((row, judgement))
                part.is_settled[row] = True
        for part, judged in found.values():
            part.rollout = scored(part.rollout, judged)

    def _drop_old(self) -> None:
        """Give up what was written too many updates ago."""
        for part in self._parts:
            if version_of(self.agent) - part.rollout.version > self.source.max_age:
                rows = np.flatnonzero(~part.is_taken)
                episodes = [part.rollout.episodes[row] for row in rows if not part.is_settled[row]]
                self.source.give_up([episode for episode in episodes if episode is not None])
                for episode in episodes:
                    self._place.pop(id(episode), None)
                self.num_given_up += len(rows)
                part.is_taken[:] = True
        self._parts = [part for part in self._parts if not part.is_taken.all()]

    def _ready(self, part: Waiting) -> BoolArray:
        """Return which episodes can be learned from now: those of groups that are settled as a whole."""
        number = np.unique(part.rollout.group, return_inverse=True)[1]
        is_open = np.bincount(number, ~part.is_settled) > 0
        return ~is_open[number] & ~part.is_taken

    def _take(self) -> Rollout:
        taken, ages = [], []
        for part in self._parts:
            ready = self._ready(part)
            if ready.any():
                taken.append(part.rollout.take(np.flatnonzero(ready)))
                ages.append((version_of(self.agent) - part.rollout.version) * int(ready.sum()))
                part.is_taken |= ready
        joined = Rollout.joined(taken)
        self.age = sum(ages) / len(joined)
        return joined


def scored(rollout: Rollout, judged: Sequence[tuple[int, Judgement]]) -> Rollout:
    """Return a rollout with judgements in it: the score on the last action of its row, or on the tokens that earned it.

    Args:
        judged: rows and what was said of them; an abstention changes nothing.
    """
    scores, is_scored, rewards = rollout.scores.copy(), rollout.is_scored.copy(), rollout.rewards.copy()
    for row, judgement in judged:
        if judgement.score is None:
            continue
        scores[row], is_scored[row] = judgement.score, True
        pay(rewards[row], rollout.is_action[row], judgement, pays=True, move=True)
    return replace(rollout, scores=scores, is_scored=is_scored, rewards=rewards)
