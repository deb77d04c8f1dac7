"""Answer questions as a noisy person would, so that a study can be rehearsed before people are asked.

The utility of a passage is what a feedback source says of it, on that source's scale turned into -1 to 1; noise is added to it, drawn anew
for each question and passage from a hash of the seed, the person and the question's content: neither the order of the questions nor what
else is asked changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feedback.source import as_feedback
from feedback.study.queueing import Queue, Reply, Showing
from feedback.study.records import Interface, Kind, Outcome, Passage, Person
from text_env.episode import Ending, Episode, Prompt
from text_env.scoring import Judge

WORDS = ("This is terrible.", "Not good.", "It is okay.", "Good.", "Excellent, very well written.")  # critiques, worst to best


@dataclass(frozen=True)
class NoisyRater:
    """Judge by a feedback source, with noise.

    Args:
        taste: the source or its import path; its scale must be bounded.
        noise: standard deviation of what is added to a utility between -1 and 1; 0 = none.
        lapse: share of the answers that are given blindly.
        tie_within: two utilities that differ by less are a tie.
        seed: decides the noise.

    It abstains where the source does, and on kinds of questions that need a text of its own (corrections, spans).
    """

    taste: Any
    noise: float = 0.0
    lapse: float = 0.0
    tie_within: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        source = as_feedback(self.taste)
        if not np.isfinite([source.low, source.high]).all() or source.low == source.high:
            raise ValueError(f"a simulated person needs a source with a bounded scale, got {source.low} to {source.high}: clip it")
        if self.noise < 0 or self.tie_within < 0 or not 0 <= self.lapse <= 1:
            raise ValueError(
                f"noise and tie_within must be at least 0 and lapse a share, got {self.noise}, {self.tie_within}, {self.lapse}"
            )

    def reply(self, showing: Showing, person: Person) -> Reply:
        """Return what this person says of what they are shown."""
        generator = self._generator(showing, person)
        passages = _in_one_order(showing)
        utilities = self.utilities(passages)
        if any(value is None for value in utilities) or showing.question.kind in (Kind.CORRECT, Kind.SPAN):
            return Reply(Outcome.ABSTAIN)
        felt = np.array(utilities, dtype=np.float64) + self.noise * generator.normal(size=len(utilities))
        if generator.random() < self.lapse:
            felt = generator.uniform(-1.0, 1.0, size=len(felt))
        names = [passage.id for passage in passages]
        return self._said(showing, names, felt)

    def answer_all(self, queue: Queue, person: Person, limit: int | None = None) -> int:
        """Answer what the queue has for a person, at most `limit` questions; return how many."""
        count = 0
        while limit is None or count < limit:
            showing = queue.next_for(person, Interface.SIMULATED)
            if showing is None:
                break
            queue.answer(person, showing.lease.id, showing.lease.id, self.reply(showing, person))
            count += 1
        return count

    def utilities(self, passages: Sequence[Passage]) -> list[float | None]:
        """Return what the source says of each passage, from -1 to 1."""
        source = as_feedback(self.taste)
        said = Judge(source).ask([as_episode(passage) for passage in passages])
        middle, half = (source.low + source.high) / 2, (source.high - source.low) / 2
        return [None if judgement.score is None else (judgement.score - middle) / half for judgement in said]

    def _said(self, showing: Showing, names: list[str], felt: Any) -> Reply:
        kind, question = showing.question.kind, showing.question
        if kind is Kind.BINARY:
            return Reply(Outcome.ANSWERED, {"good": bool(felt[0] > 0)})
        if kind is Kind.RATE:
            assert question.scale is not None
            low, high = question.scale.low, question.scale.high
            return Reply(Outcome.ANSWERED, {"step": int(np.clip(np.rint(low + (felt[0] + 1) / 2 * (high - low)), low, high))})
        if kind is Kind.CRITIQUE:
            place = int(np.clip(np.rint((felt[0] + 1) / 2 * (len(WORDS) - 1)), 0, len(WORDS) - 1))
            return Reply(Outcome.ANSWERED, {"text": WORDS[place]})
        groups: list[list[str]] = []
        best_first = np.argsort(-felt, kind="stable")
        for place, number in enumerate(best_first):
            is_tied = place > 0 and felt[best_first[place - 1]] - felt[number] <= self.tie_within
            if is_tied:
                groups[-1].append(names[number])
            else:
                groups.append([names[number]])
        return Reply(Outcome.TIE) if len(groups) == 1 else Reply(Outcome.ANSWERED, {"groups": groups})

    def _generator(self, showing: Showing, person: Person) -> np.random.Generator:
        asked = showing.question
        contents = " ".join(sorted(passage.content for passage in showing.passages))
        key = f"{self.seed} {person.handle} {asked.kind} {asked.purpose} {asked.ticket} {contents}"
        return np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))


def as_episode(passage: Passage, index: int = 0) -> Episode:
    """Return a passage as a finished episode, for asking a feedback source."""
    ids = np.array(passage.ids, dtype=np.int64)
    prompt = Prompt(passage.prompt, np.zeros(0, dtype=np.int64))
    ending = Ending(passage.ending) if passage.ending else Ending.EOS
    return Episode(prompt, ids, np.ones(len(ids), dtype=np.bool_), passage.text, ending, index)


def _in_one_order(showing: Showing) -> list[Passage]:
    """Return the passages in the order of their contents, so that neither display nor writing order decides anything."""
    return sorted(showing.passages, key=lambda passage: passage.content)
