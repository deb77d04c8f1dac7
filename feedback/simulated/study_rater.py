"""Answer the questions of a study as a simulated annotator, so that it can be rehearsed before people are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.simulated.annotator import Annotator
from feedback.simulated.critique_writing import CritiqueWriting
from feedback.simulated.keyed_noise import Draws, content_keys
from feedback.simulated.presets import preset as find_preset
from feedback.simulated.replies_table import Replies
from feedback.simulated.tastes import as_taste, features_of, in_sets, utilities_of
from feedback.study.records import Interface, Kind, Outcome, Passage, Person
from text_env.episode import Ending, Episode, Prompt

if TYPE_CHECKING:
    from feedback.study.queueing import Queue, Reply, Showing

STEPS_OF_WORDS = (-50, 50)  # a critique is about what would be a rating on a scale this fine


class SimulatedRater:
    """Judge what a study shows, by a taste and an annotator.

    Args:
        taste: a feedback source with a bounded scale, its import path, or a function f(prompt, response) from -1 to 1.
        preset: name of the annotator, or an `Annotator`.
        seed: of the noise, which is keyed by the person's handle, what is shown and how often it was asked before.
        writing: how critiques are put into words.

    It abstains where the source does, and on kinds of questions that need a text of its own (corrections, spans). An outcome that the
    question does not offer becomes one that it does: a tie or "all bad" the order in which the contents are felt, a skip an abstention.
    `times` counts each person's answers; what depends on time goes by it. Who is asked about the same words again errs anew, so that a
    repetition shows how steady they are. `state_dict` keeps both counts.
    """

    def __init__(self, taste: Any, preset: str | Annotator = "vader-human", seed: int = 0, writing: CritiqueWriting | None = None) -> None:
        self.taste = taste
        self.annotator = find_preset(preset, seed)
        self.writing = CritiqueWriting() if writing is None else writing
        self.times: dict[str, int] = {}
        self.asked: dict[str, int] = {}  # how often, by person, kind of question and contents
        self._last: dict[str, float] = {}  # of each person, what was felt when it last rated
        as_taste(taste)  # refuses what is none

    def __repr__(self) -> str:
        """Show the taste and the annotator."""
        return f"SimulatedRater({self.taste!r}, {self.annotator!r})"

    def reply(self, showing: Showing, person: Person) -> Reply:
        """Return what this person says of what they are shown, and count it."""
        from feedback.study.queueing import Reply

        time = self.times.get(person.handle, 0)
        self.times[person.handle] = time + 1
        if showing.question.kind in (Kind.CORRECT, Kind.SPAN):
            return Reply(_offered(showing, Outcome.ABSTAIN))
        name = " ".join([person.handle, showing.question.kind, *map(str, sorted(_keys(showing.passages).tolist()))])
        repetition = self.asked.get(name, 0)
        self.asked[name] = repetition + 1
        said = self._said(showing, self.annotator.named(person.handle), repetition, time)
        seconds = None if np.isnan(said.seconds[0]) else float(said.seconds[0])
        if said.outcomes[0] not in (Outcome.ANSWERED, Outcome.TIE, Outcome.ALL_BAD):
            return Reply(_offered(showing, said.outcomes[0]))
        if showing.question.kind in (Kind.COMPARE, Kind.RANK):
            return self._ordered(showing, said, seconds)
        return Reply(Outcome.ANSWERED, self._payload(showing, said, person, repetition), seconds)

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

    def state_dict(self) -> dict[str, Any]:
        """Return how many answers each person gave, how often each was asked what, and what each felt last."""
        return {"times": dict(self.times), "asked": dict(self.asked), "last": dict(self._last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.times = {str(name): int(time) for name, time in state["times"].items()}
        self.asked = {str(name): int(count) for name, count in state["asked"].items()}
        self._last = {str(name): float(felt) for name, felt in state["last"].items()}

    def _said(self, showing: Showing, annotator: Annotator, repetition: int, time: int) -> Replies:
        """Return what the annotator says of one showing."""
        passages, kind = showing.passages, showing.question.kind
        episodes = [as_episode(passage) for passage in passages]
        utilities, steps = utilities_of(as_taste(self.taste), episodes, annotator.points)
        keys = _keys(passages)
        features = features_of([passage.text for passage in passages], steps)
        if kind in (Kind.COMPARE, Kind.RANK):
            together = in_sets(features, np.arange(len(passages))[None])
            if kind is Kind.COMPARE:
                return annotator.compare(utilities[None], keys[None], together, shown_first=[1], repetition=repetition, time=time)
            places = np.arange(len(passages), dtype=np.float64)[None]
            return annotator.rank(utilities[None], keys[None], together, places=places, repetition=repetition, time=time)
        if kind is Kind.BINARY:
            return annotator.thumb(utilities, keys, features, repetition=repetition, time=time)
        scale = showing.question.scale
        said = annotator.rate(
            utilities,
            keys,
            features,
            steps=STEPS_OF_WORDS if scale is None else (scale.low, scale.high),
            repetition=repetition,
            time=time,
            before=self._last.get(annotator.name),
        )
        if said.is_said[0]:
            self._last[annotator.name] = float(said.felt[0, 0])
        return said

    def _payload(self, showing: Showing, said: Replies, person: Person, repetition: int) -> dict[str, Any]:
        """Return the payload of a thumb, a rating or a critique."""
        kind, value = showing.question.kind, float(said.value[0])
        if kind is Kind.BINARY:
            return {"good": value == 1.0}
        if kind is Kind.RATE:
            return {"step": int(value)}
        draws = Draws(self.annotator.named(person.handle).key, _keys(showing.passages)[:, None], np.array(repetition, dtype=np.uint64))
        return {"text": self.writing.write(said.value / STEPS_OF_WORDS[1], draws)[0]}

    def _ordered(self, showing: Showing, said: Replies, seconds: float | None) -> Reply:
        """Return a tie, "all bad", or the passages in order."""
        from feedback.study.queueing import Reply

        outcome = said.outcomes[0]
        if outcome is not Outcome.ANSWERED and outcome in showing.question.allowed:
            return Reply(outcome, seconds=seconds)
        names = [passage.id for passage in showing.passages]
        if outcome is Outcome.ANSWERED:
            places = said.value[0] if said.value.ndim == 2 else np.array([1.0 - said.value[0], said.value[0]])
        else:
            places = np.lexsort((_keys(showing.passages), -said.felt[0])).argsort()  # the key of equal ones is as good as a coin
        groups = [[names[at] for at in np.flatnonzero(places == place)] for place in np.unique(places)]
        return Reply(Outcome.ANSWERED, {"groups": groups}, seconds)


def as_episode(passage: Passage, index: int = 0) -> Episode:
    """Return a passage as a finished episode, for asking a feedback source."""
    ids = np.array(passage.ids, dtype=np.int64)
    prompt = Prompt(passage.prompt, np.zeros(0, dtype=np.int64))
    ending = Ending(passage.ending) if passage.ending else Ending.EOS
    return Episode(prompt, ids, np.ones(len(ids), dtype=np.bool_), passage.text, ending, index)


def _keys(passages: Sequence[Passage]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """Return what names each passage's words: [M]."""
    return content_keys((passage.prompt, passage.text, "" if passage.judged is None else repr(passage.judged)) for passage in passages)


def _offered(showing: Showing, outcome: Outcome) -> Outcome:
    """Return an outcome without an opinion that the question offers; no answer in time is always possible."""
    return next((each for each in (outcome, Outcome.ABSTAIN) if each in showing.question.allowed), Outcome.TIMEOUT)
