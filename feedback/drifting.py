"""Change what is wanted while an agent learns: feedback whose source moves with the number of episodes that it has judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from feedback.compose import WeightedSum
from feedback.source import Source, as_feedback
from text_env.scoring import Judge

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback, FloatArray, IntArray, Judgement

Course = Literal["step", "linear", "seasonal", "walk"]


class Drifting(Source):
    """Score by several sources whose weights change with time; time is the number of episodes judged before.

    score = sum_k w_k(time) * score_k,   w_k >= 0,   sum_k w_k = 1. With n sources and x = time / period:
    step      the source number min(floor(x), n - 1) alone: every `period` episodes the next one, up to the last
    linear    between the sources min(floor(x), n - 1) and the next one in proportion to x, up to the last
    seasonal  all sources in turn and again from the first, once round in `period` episodes: w = (1 + cos(pi * distance)) / 2, where
              distance is how far the source is from the place n * x on a ring of n places (at most 1)
    walk      w = softmax(z), where z takes a step drawn from a normal distribution for each source every `period` episodes, from 0

    All episodes of one call are judged at the time of the call, and then time goes on by their number. A source whose weight is 0 is not
    asked. It abstains where a source with weight abstains. Judgements say the parts, as those of `WeightedSum` do.

    Args:
        sources: two or more, or their import paths, on scales that can be compared.
        course: how the weights move, see above.
        period: in judged episodes, see above.
        seed: of the random walk.

    `time` and what `state_dict` returns go with a run, so that one that was resumed meets the same drift (`agents.train` sees to it).
    `at(time)` is the source as it is at one time, for evaluation: it does not move. An empty response is judged by the sources.
    Gamed by: whatever games the sources.
    """

    def __init__(self, sources: Sequence[Feedback | str], course: Course = "step", period: int = 10_000, seed: int = 0) -> None:
        if len(sources) < 2:
            raise ValueError(f"drifting feedback needs at least two sources to move between, got {len(sources)}")
        _check_course(course, period)
        self.sources = tuple(as_feedback(source) for source in sources)
        self.course = course
        self.period = int(period)
        self.seed = int(seed)
        self.time = 0
        self.is_frozen = False
        self.low = min(source.low for source in self.sources)
        self.high = max(source.high for source in self.sources)
        self.unit = " or ".join(dict.fromkeys(source.unit for source in self.sources if source.unit))
        self.is_comparative = any(Judge(source).is_comparative for source in self.sources)

    @classmethod
    def example(cls) -> Drifting:
        """Return sentiment, which after ten thousand episodes gives way to a wish for variety."""
        from feedback.repetition import DistinctNGrams
        from feedback.sentiment import Sentiment

        return cls([Sentiment(), DistinctNGrams()])

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the judgement of each episode at the present time, and let time go on unless it is frozen."""
        weights = self.weights(self.time).tolist()
        present = WeightedSum([(weight, source) for weight, source in zip(weights, self.sources, strict=True) if weight > 0])
        judgements = present(episodes)
        if not self.is_frozen:
            self.time += len(episodes)
        return judgements

    def weights(self, time: int) -> FloatArray:
        """Return the weight of each source at a time: [number of sources]."""
        if time < 0:
            raise ValueError(f"time must be at least 0 judged episodes, got {time}")
        return np.asarray(course_weights(self.course, np.array([time]), len(self.sources), self.period, self.seed)[0])

    def at(self, time: int) -> Drifting:
        """Return this source as it is at a time; it stays there."""
        self.weights(time)  # refuses a time that does not exist
        frozen = Drifting(self.sources, self.course, self.period, self.seed)
        frozen.time, frozen.is_frozen = int(time), True
        return frozen

    def state_dict(self) -> dict[str, Any]:
        """Return the time."""
        return {"time": self.time}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the time of a state."""
        self.time = int(state["time"])


def course_weights(course: Course, times: IntArray, number: int, period: int, seed: int = 0) -> FloatArray:
    """Return the weights of several things at several times: [N, number]. The courses are those of `Drifting`.

    Args:
        times: [N], at least 0. number: of the things. period: in the unit of the times. seed: of a walk.

    Errors: ValueError for fewer than two things, an unknown course, or a period below 1.
    """
    if number < 2:
        raise ValueError(f"weights move between two or more, got {number}")
    _check_course(course, period)
    place = times / period
    if course == "walk":
        epochs = times // period
        steps = np.random.default_rng(seed).normal(size=(int(epochs.max(initial=0)), number))
        likings = np.concatenate([np.zeros((1, number)), np.cumsum(steps, axis=0)])[epochs]
        likings = np.exp(likings - likings.max(axis=1, keepdims=True))
        return np.asarray(likings / likings.sum(axis=1, keepdims=True))
    numbers = np.arange(number)
    if course == "seasonal":
        around = np.abs(numbers - number * (place % 1.0)[:, None])
        distance = np.minimum(np.minimum(around, number - around), 1.0)
        return np.asarray((1.0 + np.cos(np.pi * distance)) / 2.0)
    place = np.minimum(times // period if course == "step" else place, number - 1.0)
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(numbers - place[:, None])))


def _check_course(course: Course, period: int) -> None:
    if course not in get_args(Course):
        raise ValueError(f"course must be one of {', '.join(get_args(Course))}, got {course!r}")
    if period < 1:
        raise ValueError(f"period must be at least 1 episode, got {period}")
