"""Ask people what they think of what was written, wait for their answers, and make scores of them.

The people answer elsewhere: on the page (`python -m feedback serve`), in a terminal (`python -m feedback rate`), or simulated for a
rehearsal. What connects them is the study, a database that loses nothing. Nobody's silence becomes a score: an episode that was not
answered in time has none.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from feedback.source import Source
from text_env.episode import Judgement
from text_env.names import resolve
from text_env.tokens import load_tokens

if TYPE_CHECKING:
    from feedback.encoding.encoded import Encoded
    from feedback.simulated.study_rater import SimulatedRater
    from feedback.study.store import Standing, Store
    from text_env.episode import Episode, FloatArray

INSTRUCTIONS = {
    "binary": "Is this text good?",
    "rate": "How good is this text?",
    "compare": "Which of the two texts is better?",
    "rank": "Put the texts in order, the best first.",
    "critique": "What is good or bad about this text?",
    "correct": "Change what is wrong with this text, and nothing else.",
    "span": "Mark what is good and what is bad in this text.",
}
SECONDS_UNTIL_NOTE = 10.0  # of waiting, after which the log says for what
MOST_AT_ONCE = 6  # passages of one ranking
OnMissing = Literal["abstain", "error"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ticket:
    """Hold where to ask for the answers about one episode.

    Args:
        questions: ids of the questions that it is part of; none where there was nothing to compare it with.
        passage: id of what was written. episode: what was written.
    """

    questions: tuple[str, ...]
    passage: str
    episode: Episode


class HumanFeedback(Source):
    """Score by what people say.

    score of an episode = mean over all answers about it of the answer's value, from -1 (bad) to 1 (good); `feedback.encoding` has the rules

    Args:
        study: path or URL of the study's database; it is created where it is not there.
        kind: what people are asked for: binary, rate, compare, rank, critique, correct or span. Comparisons and rankings are made among the
            responses of a batch to the same prompt, so their environment has a group size and deferred scoring.
        instructions: how to judge; None = one sentence for the kind.
        answers: people who are asked about each question. least: answers with which a score is made when the time is over.
        wait: seconds until an unanswered episode is given up; None = as long as it takes.
        on_missing: "abstain", or "error": an episode without enough answers is a TimeoutError.
        steps: of a rating, as many as there are, from 1.
        tokenizer: that of the environment; with kind="span" the marks are put on the tokens that wrote them.
        critic: what makes a number of a critique: an encoder, its import path, or the file of a fitted `LearnedCritique` (*.npz).
        rehearsal: simulated people who answer at once in place of real ones: one `feedback.simulated.SimulatedRater` or several.
            Where one skips or does not answer in time, `wait` should not be None: nobody else is coming.
        poll: seconds between two looks into the study.

    An empty response is shown and judged as any other.
    Two equal texts to equal prompts are asked about once, also in later batches; the answer counts for both.
    A score's `rater` names the people, its `critique` is what they wrote, `parts` holds the number of answers and their spread.
    Gamed by: whatever pleases at first sight.
    """

    low, high, unit = -1.0, 1.0, "mean opinion"

    def __init__(
        self,
        study: str | Path = "study.db",
        kind: str = "rate",
        instructions: str | None = None,
        *,
        answers: int = 1,
        least: int = 1,
        wait: float | None = None,
        on_missing: OnMissing = "abstain",
        steps: int = 5,
        tokenizer: Any = None,
        critic: str | Callable[[str], Encoded] = "feedback.encoding:CritiqueRules",
        rehearsal: SimulatedRater | Sequence[SimulatedRater] | None = None,
        poll: float = 0.25,
    ) -> None:
        if kind not in INSTRUCTIONS:
            raise ValueError(f"kind must be one of {', '.join(INSTRUCTIONS)}, got {kind!r}")
        if on_missing not in ("abstain", "error"):
            raise ValueError(f'on_missing must be "abstain" or "error", got {on_missing!r}')
        if not 1 <= least <= answers:
            raise ValueError(f"a score needs 1 <= least <= answers, got {least} and {answers}")
        if wait is not None and not wait >= 0:
            raise ValueError(f"wait must be at least 0 seconds, or None for as long as it takes, got {wait}")
        if not 2 <= steps <= 101:
            raise ValueError(f"a rating has 2 to 101 steps, got {steps}")
        if not poll > 0:
            raise ValueError(f"poll must be above 0 seconds, got {poll}")
        raters = 1 if not isinstance(rehearsal, Sequence) else len(rehearsal)
        if rehearsal is not None and raters < answers:
            raise ValueError(f"{answers} answers to each question need as many simulated people, got {raters}")
        self.study = str(study)
        self.kind = kind
        self.instructions = INSTRUCTIONS[kind] if instructions is None else instructions
        self.answers, self.least, self.wait, self.on_missing = answers, least, wait, on_missing
        self.steps, self.tokenizer, self.critic, self.poll = steps, tokenizer, critic, poll
        self.rehearsal = rehearsal
        self.is_comparative = kind in ("compare", "rank")

    @classmethod
    def example(cls) -> HumanFeedback:
        """Return one whose person is simulated, in a study that nobody else has."""
        from feedback.simulated.study_rater import SimulatedRater

        folder = tempfile.mkdtemp(prefix="textgen-study-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return cls(Path(folder) / "study.db", rehearsal=SimulatedRater("feedback.sentiment:Sentiment", "oracle"))

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Ask about each episode, wait for the answers, and return what they come to."""
        tickets = self.submit(episodes)
        began, noted = time.monotonic(), False
        found: dict[int, Judgement | None] = dict.fromkeys(range(len(tickets)))
        while True:
            still = [number for number, judgement in found.items() if judgement is None]
            found.update(zip(still, self.judgements([tickets[number] for number in still]), strict=True))
            waited = time.monotonic() - began
            missing = sum(judgement is None for judgement in found.values())
            if not missing or (self.wait is not None and waited >= self.wait):
                break
            if not noted and waited >= SECONDS_UNTIL_NOTE:
                noted = True
                _log.warning(
                    "waiting for people to answer about %d of %d texts; they can with: python -m feedback serve --study %s",
                    missing,
                    len(episodes),
                    self.study,
                )
            time.sleep(self.poll)
        return [self._checked(ticket, judgement) for ticket, judgement in zip(tickets, found.values(), strict=True)]

    def submit(self, episodes: Sequence[Episode], policy: str = "", version: int = 0) -> list[Ticket]:
        """Put questions about episodes into the study, and return a ticket for each; nobody is waited for.

        Args:
            policy, version: who wrote them, kept with what was written.
        """
        from feedback.study.records import Passage

        passages = [
            Passage(
                prompt=_whole_characters(episode.prompt.text),
                text=_whole_characters(episode.response),
                ids=tuple(episode.ids.tolist()),
                policy=policy,
                version=version,
                ending=str(episode.ending or ""),
            )
            for episode in episodes
        ]
        asked: dict[str, list[str]] = {passage.id: [] for passage in passages}
        questions = [self._fresh(question) for question in self._questions(list({each.id: each for each in passages}.values()))]
        for question, ticket in zip(questions, self._store.submit(questions, passages), strict=True):
            for name in question.passages:
                asked[name].append(ticket)
        self._rehearse()
        return [Ticket(tuple(asked[passage.id]), passage.id, episode) for passage, episode in zip(passages, episodes, strict=True)]

    def judgements(self, tickets: Sequence[Ticket]) -> list[Judgement | None]:
        """Return what people have said for each ticket; None where answers are waited for.

        What was given up, or cannot be compared with anything, is an abstention.
        """
        wanted = list(dict.fromkeys(name for ticket in tickets for name in ticket.questions))
        standings = self._store.standings(wanted)
        is_over = [all(standings[name].is_settled for name in ticket.questions) for ticket in tickets]
        decided = dict.fromkeys(name for ticket, over in zip(tickets, is_over, strict=True) if over for name in ticket.questions)
        values = self._encoded(standings[name] for name in decided)
        return [self._judgement(ticket, standings, values) if over else None for ticket, over in zip(tickets, is_over, strict=True)]

    def cancel(self, tickets: Iterable[Ticket]) -> None:
        """Ask nobody any more about these."""
        self._store.cancel(dict.fromkeys(name for ticket in tickets for name in ticket.questions))

    @cached_property
    def _store(self) -> Store:
        from feedback.study import open_study

        return open_study(self.study)

    @cached_property
    def _critic(self) -> Callable[[str], Encoded]:
        if not isinstance(self.critic, str):
            return self.critic
        if self.critic.endswith(".npz"):
            from feedback.encoding import LearnedCritique

            return LearnedCritique.load(Path(self.critic))
        return resolve(self.critic)

    def _questions(self, passages: Sequence[Any]) -> list[Any]:
        """Return the questions about different passages: one for each, or those among the responses to one prompt."""
        if not self.is_comparative:
            return [self._question([passage.id]) for passage in passages]
        groups: dict[str, list[str]] = {}
        for passage in passages:
            groups.setdefault(passage.prompt, []).append(passage.id)
        sets = [group for names in groups.values() for group in (_pairs(names) if self.kind == "compare" else _parts(names))]
        return [self._question(group) for group in sets]

    def _question(self, passages: Sequence[str]) -> Any:
        from feedback.study.records import Kind, Question, Scale

        scale = None
        if self.kind == "rate":
            scale = Scale() if self.steps == 5 else Scale(1, self.steps, ("worst", "best"))
        return Question(
            kind=Kind(self.kind),
            passages=tuple(passages),
            instructions=self.instructions,
            scale=scale,
            least=self.least,
            wanted=self.answers,
            most=self.answers,
            seconds_to_live=self.wait or None,
        )

    def _fresh(self, question: Any) -> Any:
        """Return the question, or the same with a new ticket where it was asked before and given up."""
        from dataclasses import replace

        from feedback.study.records import Question

        attempt = 0
        while self._store.find(Question, question.id) is not None:
            standing = self._store.standings([question.id])[question.id]
            if standing.is_usable or not standing.is_settled:
                break
            attempt += 1
            question = replace(question, ticket=f"attempt {attempt}")
        return question

    def _rehearse(self) -> None:
        if self.rehearsal is None:
            return
        from feedback.study.queueing import Mixing, Queue

        raters = self.rehearsal if isinstance(self.rehearsal, Sequence) else [self.rehearsal]
        queue = Queue(self._store, mixing=Mixing(0, 0, 0))
        for number, rater in enumerate(raters):
            rater.answer_all(queue, self._store.enrol(f"simulated {number + 1}"))

    def _encoded(self, standings: Iterable[Standing]) -> dict[str, list[dict[str, Encoded]]]:
        """Return, for each question by id, what each of its answers says of each passage."""
        from feedback.encoding.answers import encode_answer
        from feedback.study.records import Passage

        found = {}
        for standing in standings:
            question = standing.question
            passages = {name: self._store.record(Passage, name) for name in question.passages}
            found[question.id] = [encode_answer(question, answer, passages, self._critic) for answer in standing.answers]
        return found

    def _judgement(self, ticket: Ticket, standings: Mapping[str, Standing], values: Mapping[str, list[dict[str, Encoded]]]) -> Judgement:
        usable = [name for name in ticket.questions if standings[name].is_usable]
        said = [encoded[ticket.passage] for name in usable for encoded in values[name]]
        given = [answer for name in usable for answer in standings[name].answers]
        people = ", ".join(dict.fromkeys(self._handle(answer.person) for answer in given))
        words = " / ".join(text for answer in given for text in (str(answer.payload.get("text", "")), answer.comment) if text)
        numbers = [encoded.value for encoded in said if encoded.value is not None]
        if not numbers:
            return Judgement(None, rater=people, critique=words)
        seconds = [answer.seconds for answer in given if answer.seconds is not None]
        score = float(np.mean(numbers))
        return Judgement(
            score,
            token_scores=self._on_tokens(ticket, given, score),
            rater=people,
            critique=words,
            seconds=float(np.mean(seconds)) if seconds else None,
            parts={"answers": float(len(numbers)), "spread": float(np.std(numbers))},
        )

    def _checked(self, ticket: Ticket, judgement: Judgement | None) -> Judgement:
        """Return the judgement, or an abstention where there is none yet.

        Errors: TimeoutError where nobody answered and that is an error.
        """
        nobody = judgement is None or (judgement.score is None and not judgement.rater)
        if nobody and ticket.questions and self.on_missing == "error":
            shown = "" if self.wait is None else f" within {self.wait:g} seconds"
            raise TimeoutError(f"nobody answered{shown} about {ticket.episode.response[:60]!r}")
        return Judgement(None) if judgement is None else judgement

    def _handle(self, person: str) -> str:
        from feedback.study.records import Person

        return self._store.record(Person, person).handle

    def _on_tokens(self, ticket: Ticket, given: Sequence[Any], score: float) -> FloatArray | None:
        """Return the score divided among the tokens by the marks on their characters; None where nothing was marked or no tokens known."""
        if self.kind != "span" or self.tokenizer is None:
            return None
        from feedback.encoding.answers import character_scores
        from feedback.study.records import Outcome, Passage

        passage = self._store.record(Passage, ticket.passage)
        marks = [character_scores(passage, answer) for answer in given if answer.outcome is Outcome.ANSWERED]
        if not marks:
            return None
        by_character = np.mean([mark / max(np.abs(mark).sum(), 1.0) for mark in marks], axis=0)
        ends = self._tokens.characters_after(ticket.episode.ids)
        edges = np.minimum(np.array([0, *ends]), len(by_character))
        sums = np.concatenate([[0.0], np.cumsum(by_character)])
        tokens = sums[edges[1:]] - sums[edges[:-1]]
        tokens[np.flatnonzero(ticket.episode.is_action)[-1]] += score - tokens.sum()
        return np.asarray(tokens)

    @cached_property
    def _tokens(self) -> Any:
        return load_tokens(self.tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the settings; the study is opened anew."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which are compared with which: both of two, and each of more with its neighbours on a ring."""
    if len(names) < 2:
        return []
    return [(names[0], names[1])] if len(names) == 2 else [(one, names[(place + 1) % len(names)]) for place, one in enumerate(names)]


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    """Return runs of at most six names, of nearly equal length; a single name has nothing to be ranked with."""
    count = -(-len(names) // MOST_AT_ONCE)
    parts = [names[number * len(names) // count : (number + 1) * len(names) // count] for number in range(count)]
    return [part for part in parts if len(part) > 1]


def _whole_characters(text: str) -> str:
    """Return a text without halves of characters, which a database cannot keep."""
    return text.encode("utf-8", "replace").decode("utf-8")
