"""Judge a dialogue turn by turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from feedback.source import Source, as_feedback
from text_env.episode import Ending, Episode, Judgement, Prompt
from text_env.scoring import Judge

if TYPE_CHECKING:
    from text_env.episode import Feedback


class EachTurn(Source):
    """Score the mean of what a source says of each of the agent's turns, as an answer to what was said just before it.

    score = 1/K sum over the agent's turns k = 1..K of source(turn k)

    Turn 1 answers the prompt; a later one answers the partner's line before it, which becomes the prompt of an episode of its own. All
    turns of a batch are judged in one call. A turn on which the source abstains is left out of the mean; where it abstains on all, so does
    this. `Judgement.parts` holds the score of each turn. A response without a partner is one turn, judged as the source judges it.

    Args:
        source: judges a turn; it may be an import path, and may not compare the members of a batch.
        answers: line of a partner: the references for answering it. Lines that are missing have none.

    A turn that the partner answered counts as ended by an end token, whatever ended it. An empty turn, and the empty response, are judged
    by the source.
    Gamed by: what games the source; and, where a partner ends dialogues early, by making it end them after one good turn.
    """

    def __init__(self, source: Feedback | str, answers: Mapping[str, Sequence[str]] | None = None) -> None:
        self.source = as_feedback(source)
        if Judge(self.source).is_comparative:
            raise ValueError(f"{Judge(self.source).name} compares the members of a batch, and turns of one dialogue are no rivals")
        self._answers = {line: tuple(replies) for line, replies in (answers or {}).items()}
        self.low, self.high, self.unit = self.source.low, self.source.high, self.source.unit

    @classmethod
    def example(cls) -> EachTurn:
        """Return the share of right turns."""
        return cls("feedback.exact_match:ExactMatch")

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the mean judgement of each episode's turns."""
        turns = [self._turns(episode) for episode in episodes]
        said = iter(Judge(self.source).ask([turn for each in turns for turn in each]))
        return [_mean([next(said) for _ in each]) for each in turns]

    def _turns(self, episode: Episode) -> list[Episode]:
        """Return each of the agent's turns as an episode whose prompt is the line before it."""
        if len(episode.turns) < 2:
            return [episode]
        starts = np.flatnonzero(np.diff(episode.is_action.astype(np.int8), prepend=0))  # of turns, the agent's and the partner's in turn
        ids = np.split(episode.ids, starts[1:])
        assert len(ids) == len(episode.turns)
        found = []
        for place in range(0, len(ids), 2):
            line = episode.turns[place - 1]
            prompt = Prompt(line, ids[place - 1], self._answers.get(line, ()), f"{episode.prompt.id}:{place}") if place else episode.prompt
            ending = episode.ending if place == len(ids) - 1 else Ending.EOS
            found.append(Episode(prompt, ids[place], np.ones(len(ids[place]), dtype=np.bool_), episode.turns[place], ending, episode.index))
        return found


def _mean(said: Sequence[Judgement]) -> Judgement:
    """Return one judgement of several turns."""
    if len(said) == 1:
        return said[0]
    scores = {f"turn {number}": each.score for number, each in enumerate(said, start=1) if each.score is not None}
    critique = "\n".join(each.critique for each in said if each.critique)
    return Judgement(float(np.mean(list(scores.values()))) if scores else None, rater=said[0].rater, critique=critique, parts=scores)
