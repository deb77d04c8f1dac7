"""Build feedback from feedback: weighted sums, clipping, and a stand-in for abstentions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.source import Source, as_feedback
from text_env.episode import Judgement
from text_env.scoring import Judge

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback, FloatArray

NUMBER = (int, float, np.number)


class WeightedSum(Source):
    """Score the weighted sum of several sources, plus a constant.

    score = constant + sum_k weight_k * score_k. Each source is asked once a batch. A negative weight swaps its ends of the scale.
    It abstains where any part abstains; give that part an `otherwise(score)` to say what its silence is worth.
    `Judgement.parts` holds each part's contribution (weight times score), which sum to the score.
    If a part has token scores the sum has them too: a contribution without any, and the constant, are put on the last token that the
    agent chose (where the environment would pay them). Critiques are joined, raters listed, seconds added.

    Args:
        parts: (weight, source) pairs; a source may be an import path. The same object given twice is asked once.
        constant: added to every score.

    Edges and weaknesses are those of the parts.
    """

    unit: str = "weighted sum"

    def __init__(self, parts: Sequence[tuple[float, Feedback | str]], constant: float = 0.0) -> None:
        self.parts = _merged([(float(weight), as_feedback(source)) for weight, source in parts])
        self.constant = float(constant)
        if not self.parts:
            raise ValueError("a weighted sum needs at least one part, got none")
        if not all(math.isfinite(number) for number in (self.constant, *(weight for weight, _ in self.parts))):
            raise ValueError(f"weights and the constant must be finite, got {[weight for weight, _ in self.parts]} and {self.constant}")
        bounds = [sorted((_times(weight, source.low), _times(weight, source.high))) for weight, source in self.parts]
        self.low = self.constant + sum(low for low, _ in bounds)
        self.high = self.constant + sum(high for _, high in bounds)
        self.is_comparative = any(Judge(source).is_comparative for _, source in self.parts)
        self._names = _distinct_names([Judge(source).name for _, source in self.parts])

    @classmethod
    def example(cls) -> WeightedSum:
        """Return sentiment less repetition."""
        from feedback.repetition import Repetition
        from feedback.sentiment import Sentiment

        return cls([(0.7, Sentiment()), (-0.2, Repetition())])

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the weighted sum for each episode."""
        judged = [Judge(source).ask(episodes) for _, source in self.parts]
        return [self._sum(episode, of_episode) for episode, of_episode in zip(episodes, zip(*judged, strict=True), strict=True)]

    def __repr__(self) -> str:
        """Show the sum as it would be typed."""
        terms = [f"{weight:g} * {source!r}" for weight, source in self.parts] + [f"{self.constant:g}"] * bool(self.constant)
        return " + ".join(terms).replace("+ -", "- ")

    def _sum(self, episode: Episode, of_parts: Sequence[Judgement]) -> Judgement:
        contributions = {
            name: weight * judgement.score
            for name, (weight, _), judgement in zip(self._names, self.parts, of_parts, strict=True)
            if judgement.score is not None
        }
        if self.constant:
            contributions["constant"] = self.constant
        score = sum(contributions.values()) if all(judgement.score is not None for judgement in of_parts) else None
        return Judgement(
            score=score,
            token_scores=None if score is None else self._token_scores(episode, of_parts, score),
            rater=", ".join(dict.fromkeys(judgement.rater for judgement in of_parts if judgement.rater)),
            critique="\n".join(judgement.critique for judgement in of_parts if judgement.critique),
            seconds=_total([judgement.seconds for judgement in of_parts]),
            parts=contributions,
        )

    def _token_scores(self, episode: Episode, of_parts: Sequence[Judgement], score: float) -> FloatArray | None:
        if len(episode.ids) == 0 or all(judgement.token_scores is None for judgement in of_parts):
            return None
        total = np.zeros(len(episode.ids))
        for (weight, _), judgement in zip(self.parts, of_parts, strict=True):
            if judgement.token_scores is not None:
                total += weight * judgement.token_scores
        chosen = np.flatnonzero(episode.is_action)
        total[chosen[-1] if len(chosen) else -1] += score - total.sum()
        return total


class Clipped(Source):
    """Hold a source's scores between two limits: score = min(max(score, low), high).

    An abstention stays one. Where a score is changed its token scores are dropped, since they no longer sum to it.
    `Judgement.parts` keeps what was there before clipping.
    """

    def __init__(self, source: Feedback | str, low: float = -math.inf, high: float = math.inf) -> None:
        if not low <= high:
            raise ValueError(f"clipping needs low <= high, got {low} and {high}")
        self.source = as_feedback(source)
        self.limits = (float(low), float(high))
        self.low = min(max(self.source.low, low), high)
        self.high = min(max(self.source.high, low), high)
        self.unit = self.source.unit
        self.is_comparative = Judge(self.source).is_comparative

    @classmethod
    def example(cls) -> Clipped:
        """Return sentiment without its negative half."""
        from feedback.sentiment import Sentiment

        return cls(Sentiment(), low=0.0)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return each episode's clipped judgement."""
        return [self._clip(judgement) for judgement in Judge(self.source).ask(episodes)]

    def _clip(self, judgement: Judgement) -> Judgement:
        if judgement.score is None:
            return judgement
        score = min(max(judgement.score, self.limits[0]), self.limits[1])
        parts = judgement.parts or {Judge(self.source).name: judgement.score}
        return replace(judgement, score=score, token_scores=judgement.token_scores if score == judgement.score else None, parts=parts)


class Otherwise(Source):
    """Say a given score where a source abstains, and what the source says elsewhere.

    An abstention is left out of learning, a score is learned from: use this only where silence has a worth.
    """

    def __init__(self, source: Feedback | str, score: float) -> None:
        if not math.isfinite(score):
            raise ValueError(f"score must be a finite number, got {score}")
        self.source = as_feedback(source)
        self.score = float(score)
        self.low = min(self.source.low, self.score)
        self.high = max(self.source.high, self.score)
        self.unit = self.source.unit
        self.is_comparative = Judge(self.source).is_comparative

    @classmethod
    def example(cls) -> Otherwise:
        """Return an exact match that counts a prompt without references as wrong."""
        from feedback.exact_match import ExactMatch

        return cls(ExactMatch(), 0.0)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the source's judgements, with the given score for its abstentions."""
        return [replace(said, score=self.score) if said.score is None else said for said in Judge(self.source).ask(episodes)]


def add(*terms: tuple[Any, Any]) -> WeightedSum:
    """Return the `WeightedSum` of terms, each a weight and a source, an import path or a number.

    Sums are flattened, so that every part is named in the judgement. `NotImplemented` for a weight or a term of another kind, from which
    Python makes the error that names both operands.
    """
    parts: list[tuple[float, Feedback | str]] = []
    constant = 0.0
    for weight, term in terms:
        if not isinstance(weight, NUMBER) or not (isinstance(term, (str, *NUMBER)) or callable(term)):
            return NotImplemented
        if isinstance(term, NUMBER):
            constant += float(weight) * float(term)
        elif isinstance(term, WeightedSum):
            parts += [(float(weight) * own, source) for own, source in term.parts]
            constant += float(weight) * term.constant
        else:
            parts.append((float(weight), term))
    return WeightedSum(parts, constant)


def _merged(parts: Sequence[tuple[float, Feedback]]) -> tuple[tuple[float, Feedback], ...]:
    """Add up the weights of one and the same object, so that it is asked once."""
    weights: dict[int, float] = {}
    sources: dict[int, Feedback] = {}
    for weight, source in parts:
        weights[id(source)] = weights.get(id(source), 0.0) + weight
        sources[id(source)] = source
    return tuple((weights[key], sources[key]) for key in sources)


def _times(weight: float, bound: float) -> float:
    return weight * bound if weight else 0.0  # 0 * inf would be NaN


def _distinct_names(names: Sequence[str]) -> list[str]:
    """Return the names with their repeats numbered: Contains, Contains (2)."""
    return [name if names[:place].count(name) == 0 else f"{name} ({names[:place].count(name) + 1})" for place, name in enumerate(names)]


def _total(seconds: Sequence[float | None]) -> float | None:
    measured = [value for value in seconds if value is not None]
    return sum(measured) if measured else None
