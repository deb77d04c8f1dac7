"""Score by a reward model that is fitted again while people answer, so that training waits for nobody.

Christiano et al. 2017, "Deep Reinforcement Learning from Human Preferences". Left out: choosing the pairs on which members disagree.
"""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from feedback.people import HumanFeedback
from feedback.source import Source, as_feedback
from text_env.episode import Judgement
from text_env.scoring import Judge

if TYPE_CHECKING:
    from feedback.learned.evidence import Evidence
    from feedback.study.store import Store
    from text_env.episode import Episode, Feedback


@runtime_checkable
class LearnedReward(Protocol):
    """Learn from evidence, from the start each time, and judge episodes then."""

    low: float
    high: float
    unit: str

    def fit(self, evidence: Evidence) -> Any:
        """Learn. Errors: NothingToLearnError where the evidence prefers nothing to anything."""
        ...

    def __call__(self, episodes: Sequence[Episode]) -> Sequence[Judgement | float | None]:
        """Return one score for each episode."""
        ...


class Refitted(Source):
    """Score at once by what was learned so far, and put questions about what was written into a study.

    Whenever `every` more answers have come, the model is fitted anew to all answers of the study, also to those of earlier runs. Before the
    first fit it abstains, or a prior source judges. No answer is waited for; a fit takes seconds on an untrained trunk.
    Comparisons are between two responses to the same prompt, of one call or of later ones; an environment with many prompts gives such
    pairs where it has a group size.

    Args:
        study: path or URL of the study's database, in which people answer; it is created where it is not there.
        model: what learns: a `LearnedReward`; None = `RewardModel(trunk)`.
        trunk: of the reward model, where `model` is None.
        kind: what people are asked for, compare or rate.
        every: new opinions until the next fit.
        most_waiting: questions that may be unanswered before no more are asked.
        half_life: later answers after which an answer counts half; infinite = age does not count.
        prior: source, or its import path, that judges until the first fit; None = abstain.
        seed: decides which responses are asked about, where not all can be.
        settings: further ones of `HumanFeedback`, such as answers or instructions.

    `time` (episodes judged) and what `state_dict` returns go with a run: one that was resumed fits its model to the answers that the model
    had when the run was kept. While it is frozen, as in an evaluation, it neither asks nor fits.
    An empty response is asked about and judged as any other. Gamed by: what games the model, until people see it.
    """

    def __init__(
        self,
        study: str | Path = "study.db",
        model: LearnedReward | None = None,
        *,
        trunk: str = "tinylm",
        kind: str = "compare",
        every: int = 32,
        most_waiting: int = 64,
        half_life: float = math.inf,
        prior: Feedback | str | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        from feedback.reward_model import RewardModel

        if kind not in ("compare", "rate"):
            raise ValueError(f'kind must be "compare" or "rate", got {kind!r}')
        if every < 1 or most_waiting < 1 or not half_life > 0:
            raise ValueError(
                f"every and most_waiting must be at least 1 and half_life above 0, got {every}, {most_waiting} and {half_life}"
            )
        if model is not None and not isinstance(model, LearnedReward):
            raise TypeError(f"model must learn by fit(evidence) and state low, high and unit, as RewardModel does; got {model!r}")
        self.people = HumanFeedback(study, kind, **settings)
        self.model: LearnedReward = RewardModel(trunk) if model is None else model
        self.prior = None if prior is None else as_feedback(prior)
        self.every, self.most_waiting, self.half_life, self.seed = every, most_waiting, half_life, seed
        sources: list[Any] = [self.model] if self.prior is None else [self.model, self.prior]
        self.low, self.high = min(each.low for each in sources), max(each.high for each in sources)
        self.unit = self.model.unit
        self.time, self.num_fits, self.is_frozen = 0, 0, False
        self.num_answers = 0  # that had come at the last fit, or at the last attempt
        self._fitted_answers = 0
        self._unpaired: dict[str, Episode] = {}

    @classmethod
    def example(cls) -> Refitted:
        """Return one that sentiment stands in for, in a study in which nobody has answered."""
        folder = tempfile.mkdtemp(prefix="textgen-study-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return cls(Path(folder) / "study.db", prior="feedback.sentiment:Sentiment")

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the present score of each episode; ask about some of them, and fit if enough answers have come."""
        if not self.is_frozen:
            self.refit_if_due()
        judge: Any = self.model if self.num_fits else self.prior
        judgements = [Judgement(None) for _ in episodes] if judge is None else Judge(judge).ask(list(episodes))
        if not self.is_frozen:
            self._ask(episodes)
            self.time += len(episodes)
        return judgements

    def refit_if_due(self) -> bool:
        """Fit the model if `every` more opinions have come since the last attempt; return whether it was fitted.

        Where they prefer nothing to anything, the model stays as it is until as many more have come.
        """
        opinions = self._num_opinions()
        if opinions - self.num_answers < self.every:
            return False
        self.num_answers = opinions
        return self._fit(None)

    def state_dict(self) -> dict[str, Any]:
        """Return the time, and to which answers the model was fitted."""
        return {"time": self.time, "num_fits": self.num_fits, "num_answers": self.num_answers, "fitted_answers": self._fitted_answers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state: fit the model to the answers that it had. Errors: ValueError where the study has fewer."""
        self.time, self.num_answers, num_fits = int(state["time"]), int(state["num_answers"]), int(state["num_fits"])
        if num_fits and not self._fit(int(state["fitted_answers"])):
            raise ValueError(f"the model was fitted to {state['fitted_answers']} answers, which {self.people.study} does not hold")
        self.num_fits = num_fits

    def _fit(self, num_answers: int | None) -> bool:
        from feedback.learned.evidence import NothingToLearnError
        from feedback.learned.evidence_sources import evidence_of

        number = self._num_given() if num_answers is None else num_answers
        evidence = evidence_of(self._store, num_answers=number)
        if math.isfinite(self.half_life):
            evidence = evidence.aged_by_answers(self.half_life)
        try:
            self.model.fit(evidence)
        except NothingToLearnError:
            return False
        self.num_fits, self._fitted_answers = self.num_fits + 1, number
        return True

    def _ask(self, episodes: Sequence[Episode]) -> None:
        """Put as many questions as may wait, about responses in an order by the seed."""
        room = self.most_waiting - self._num_open()
        order = np.random.default_rng((self.seed, self.time)).permutation(len(episodes))
        for number in order:
            if room < 1:
                break
            chosen = self._question([episodes[number]])
            if chosen:
                self.people.submit(chosen)
                room -= 1

    def _question(self, new: list[Episode]) -> list[Episode]:
        """Return what is asked about now that a response has come; nothing while it waits for another one to its prompt."""
        if self.people.kind == "rate":
            return new
        (episode,) = new
        other = self._unpaired.pop(episode.prompt.text, None)
        if other is None or other.response == episode.response:
            self._unpaired[episode.prompt.text] = episode
            return []
        return [other, episode]

    def _num_opinions(self) -> int:
        from sqlalchemy import func, select

        from feedback.study.records import OPINIONS
        from feedback.study.tables import answers

        statement = select(func.count()).select_from(answers).where(answers.c.is_current, answers.c.outcome.in_(sorted(OPINIONS)))
        with self._store.database.reading() as connection:
            return int(connection.execute(statement).scalar_one())

    def _num_given(self) -> int:
        """Return how many answers for training there are in the log, of whatever outcome."""
        from feedback.study.exporting import Selection, chosen

        return sum(1 for _ in chosen(self._store, Selection()))

    def _num_open(self) -> int:
        from sqlalchemy import func, select

        from feedback.study.tables import questions

        with self._store.database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(questions).where(questions.c.is_open)).scalar_one())

    @cached_property
    def _store(self) -> Store:
        from feedback.study import open_study

        return open_study(self.people.study)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle settings and model; the study is opened anew, and a response that waits for another one is left."""
        return {name: value for name, value in vars(self).items() if name != "_store"} | {"_unpaired": {}}
