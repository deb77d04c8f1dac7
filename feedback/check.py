"""Check a feedback source as Gymnasium's `check_env` checks an environment: each promise of the protocol, with its own message."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from feedback.example_episodes import byte_episode, example_episodes
from text_env.episode import Ending, Episode, Feedback, Judgement
from text_env.scoring import FeedbackError, Judge


def check_feedback(
    source: Feedback | str, episodes: Sequence[Episode] | None = None, *, skip: Collection[str] = (), tolerance: float = 1e-5
) -> list[str]:
    """Check that a feedback source keeps what the `Feedback` protocol promises, and return the names of the checks that it passed.

    Answers are read as the environment reads them: an answer is a finite number, None or a `Judgement`; True counts as 1.0, and numpy and
    torch scalars count as numbers; strings do not. A source that is random, as a person or a remote model is, can `skip=["determinism"]`,
    but will then rarely pass "order" and "batch". That it cannot be copied or pickled is a warning: it works, but not in spawned workers.

    Args:
        source: the source or its import path.
        episodes: what to ask about; a dozen short texts of many kinds if None. A source that needs others (its own prompts, a language,
            references) should be given some on which it does not abstain.
        skip: names of checks to leave out, from `CHECKS`.
        tolerance: by how much two scores that should be equal may differ, as a share of high - low (of 1 where that is infinite). A neural
            source needs some, since a sum in another order rounds differently.

    Errors: `FeedbackError` that names the source and the promise; ValueError for an unknown check or no episodes.
    """
    unknown = sorted(set(skip) - set(CHECKS))
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r} to skip; the checks are {', '.join(CHECKS)}")
    if episodes is not None and len(episodes) == 0:
        raise ValueError("episodes must hold at least one episode, got none; leave it out to ask about the default ones")
    judge = _judge(source)
    given = list(example_episodes() if episodes is None else episodes)
    subject = Subject(judge, given, copy.deepcopy(given), tolerance)
    chosen = [name for name in CHECKS if name not in skip]
    for name in chosen:
        CHECKS[name](subject)
    return chosen


@dataclass(frozen=True)
class Subject:
    """Hold what every check needs.

    Args:
        judge: asks the source.
        untouched: the episodes as they were given.
        episodes: copies to ask about, so that a source that changes them spoils nobody else's.
        tolerance: by how much equal scores may differ, as a share of the scale.
    """

    judge: Judge
    untouched: list[Episode]
    episodes: list[Episode]
    tolerance: float

    @property
    def source(self) -> Any:
        """Return the source that is checked."""
        return self.judge.source

    @cached_property
    def told(self) -> list[Judgement]:
        """Return what the source said when it was first asked about all episodes."""
        return self.ask(self.episodes)

    def ask(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the source's judgements, checked as the environment checks them."""
        return self.judge.ask(list(episodes))

    def fail(self, message: str) -> FeedbackError:
        """Return the error to raise, with the source's name in front."""
        return FeedbackError(f"feedback {self.judge.name} {message}")

    def compare(self, ones: Sequence[Judgement], others: Sequence[Judgement], how: str, advice: str) -> None:
        """Raise the error for the first episode whose two judgements differ."""
        for episode, one, other in zip(self.episodes, ones, others, strict=True):
            if not self._agree(one, other):
                what = "other token scores" if one.score == other.score else f"{one.score} and {other.score}"
                raise self.fail(f"gave {what} for episode {episode.index}, {how}: {advice}")

    def _agree(self, one: Judgement, other: Judgement) -> bool:
        if one.score is None or other.score is None:
            return one.score is other.score
        width = self.source.high - self.source.low
        slack = self.tolerance * (width if math.isfinite(width) else 1.0)
        if abs(one.score - other.score) > slack or (one.token_scores is None) != (other.token_scores is None):
            return False
        return one.token_scores is None or np.allclose(one.token_scores, np.asarray(other.token_scores), rtol=0.0, atol=slack)


def check_scale(subject: Subject) -> None:
    """Check that the source states its scale: two numbers, low <= high, and a unit."""
    for name in ("low", "high", "unit"):
        if not hasattr(subject.source, name):
            raise subject.fail(f"has no {name}: state the scale as low, high and unit; feedback.text_feedback does it for a plain function")
    low, high, unit = subject.source.low, subject.source.high, subject.source.unit
    if not (isinstance(low, int | float | np.number) and isinstance(high, int | float | np.number) and low <= high):
        raise subject.fail(f"states a scale from {low!r} to {high!r}: low and high must be numbers with low <= high")
    if not isinstance(unit, str):
        raise subject.fail(f"states the unit {unit!r}: a unit must be a string, empty if there is none")
    if not isinstance(getattr(subject.source, "is_comparative", False), bool):
        raise subject.fail(f"states is_comparative = {subject.source.is_comparative!r}: it must be True or False")


def check_empty_batch(subject: Subject) -> None:
    """Check that nothing asked is nothing answered."""
    try:
        answers = list(subject.source([]))
    except Exception as error:
        raise subject.fail(f"raised {type(error).__name__}: {error} when asked about no episode: return an empty list") from error
    if answers:
        raise subject.fail(f"gave {len(answers)} answers when asked about no episode: return an empty list")


def check_answers(subject: Subject) -> None:
    """Check that every episode gets one answer: a finite number, None or a judgement."""
    assert len(subject.told) == len(subject.episodes)


def check_empty_response(subject: Subject) -> None:
    """Check that the source can judge a response without text."""
    _check_edge(subject, "an empty response", "", Ending.EOS)


def check_long_response(subject: Subject) -> None:
    """Check that the source can judge 2,000 words."""
    _check_edge(subject, "a response of 2,000 words", " word after word, and not one good one" * 250, Ending.LENGTH)


def check_unicode_response(subject: Subject) -> None:
    """Check that the source can judge other scripts, emoji, combining and control characters."""
    scripts = " cafe\u0301 \u4f60\u597d \u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f680 \ufffd\x00\u202e"
    _check_edge(subject, "a response in other scripts", scripts, Ending.EOS)


def check_abstention(subject: Subject) -> None:
    """Check that the source has an opinion on some episode, without which the checks below say nothing."""
    if all(judgement.score is None for judgement in subject.told):
        raise subject.fail(f"abstained from all {len(subject.episodes)} episodes: give check_feedback episodes that it judges")


def check_range(subject: Subject) -> None:
    """Check that every score lies within the stated scale."""
    low, high = subject.source.low, subject.source.high
    for episode, judgement in zip(subject.episodes, subject.told, strict=True):
        if judgement.score is not None and not low - 1e-9 <= judgement.score <= high + 1e-9:
            raise subject.fail(f"scored episode {episode.index} {judgement.score}, outside its scale from {low} to {high}")


def check_mutation(subject: Subject) -> None:
    """Check that the source leaves the batch and the episodes as they were."""
    episodes = copy.deepcopy(subject.untouched)
    given = list(episodes)
    subject.source(given)
    if [id(episode) for episode in given] != [id(episode) for episode in episodes]:
        raise subject.fail("changed the list of episodes that it was given: work on a copy")
    for now, then in zip(episodes, subject.untouched, strict=True):
        if _contents(now) != _contents(then):
            raise subject.fail(f"changed episode {then.index}: episodes are shared, so work on a copy")


def check_determinism(subject: Subject) -> None:
    """Check that the same question twice gets the same answer."""
    subject.compare(subject.told, subject.ask(subject.episodes), "asked twice", "draw any noise from a generator keyed by the episode")


def check_order(subject: Subject) -> None:
    """Check that an episode's score does not depend on its place in the batch."""
    backwards = subject.ask(subject.episodes[::-1])[::-1]
    subject.compare(subject.told, backwards, "with the batch forwards and backwards", "answer in the order asked")


def check_batch(subject: Subject) -> None:
    """Check that an episode's score does not depend on the others of its batch, unless the source compares them."""
    if not subject.judge.is_comparative:
        alone = [subject.ask([episode])[0] for episode in subject.episodes]
        subject.compare(subject.told, alone, "in a batch and alone", "state is_comparative = True if the source compares the batch")


def check_copies(subject: Subject) -> None:
    """Check that copies judge alike; warn where there can be none, since worker processes need them."""
    for verb, duplicate in (("deep-copied", copy.deepcopy), ("pickled", _pickled)):
        try:
            twin = duplicate(subject.source)
        except Exception as error:
            warnings.warn(
                f"feedback {subject.judge.name} cannot be {verb}, so it cannot be sent to worker processes: {error}", stacklevel=3
            )
        else:
            subject.compare(subject.told, Judge(twin).ask(subject.episodes), f"itself and {verb}", "a copy must judge alike")


# In this order, since a later check trusts what an earlier one has found.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "scale": check_scale,
    "empty_batch": check_empty_batch,
    "empty_response": check_empty_response,
    "long_response": check_long_response,
    "unicode_response": check_unicode_response,
    "answers": check_answers,
    "abstention": check_abstention,
    "range": check_range,
    "mutation": check_mutation,
    "determinism": check_determinism,
    "order": check_order,
    "batch": check_batch,
    "copies": check_copies,
}


def _judge(source: Any) -> Judge:
    """Return what asks the source, refusing what is no source of finished episodes."""
    if isinstance(source, type):
        raise FeedbackError(f"feedback {source.__name__} is a class: check an instance of it, as in check_feedback({source.__name__}())")
    judge = Judge(source)
    if judge.pays_at_each_step:
        raise FeedbackError(f"feedback {judge.name} pays at each step: check_feedback checks sources that judge finished episodes")
    return judge


def _check_edge(subject: Subject, kind: str, response: str, ending: Ending) -> None:
    """Ask about one unusual response beside an ordinary one, since a source that compares needs two."""
    ordinary = subject.episodes[0]
    unusual = byte_episode(ordinary.prompt, response, ending, ordinary.index + len(subject.episodes))
    try:
        subject.ask([ordinary, unusual])
    except FeedbackError as error:
        raise subject.fail(f"cannot judge {kind}: {error}") from error


def _pickled(source: Any) -> Any:
    return pickle.loads(pickle.dumps(source))


def _contents(episode: Episode) -> tuple[Any, ...]:
    prompt = episode.prompt
    return (
        (prompt.text, prompt.ids.tobytes(), prompt.references, prompt.id),
        (episode.ids.tobytes(), episode.is_action.tobytes(), episode.response, episode.ending, episode.index),
    )
