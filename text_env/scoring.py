"""Ask a feedback source, and accept nothing from it that is not a judgement."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Literal, SupportsFloat

import numpy as np

from text_env.episode import Episode, Feedback, Judgement, PrefixFeedback
from text_env.kept import HoldsObjects
from text_env.names import resolve

OnError = Literal["raise", "abstain"]


class FeedbackError(RuntimeError):
    """Report a feedback source that raised, or that returned something other than judgements."""


class Judge(HoldsObjects):
    """Ask one source about finished episodes and check its answers.

    Args:
        source: a `Feedback`, a `PrefixFeedback`, or the import path of one.
        kwargs: arguments for a class given by name.
        on_error: "raise", or "abstain": ask again one by one, and let only the episodes that fail abstain.

    Errors: ValueError for something that is no feedback source.
    """

    held = ("source",)

    def __init__(self, source: Any, kwargs: dict[str, Any] | None = None, on_error: OnError = "raise") -> None:
        if on_error not in ("raise", "abstain"):
            raise ValueError(f'on_error must be "raise" or "abstain", got {on_error!r}')
        if isinstance(source, str):
            source = resolve(source, **(kwargs or {}))
        elif kwargs:
            raise ValueError("feedback_kwargs go with a feedback given by name; this one is an object already")
        if isinstance(source, type):
            name = source.__name__
            raise ValueError(f"feedback must be a source, got the class {name}: write {name}(...), or give its import path")
        self.pays_at_each_step = isinstance(getattr(source, "pay", None), type(self.ask))
        if not self.pays_at_each_step and not callable(source):
            raise ValueError(f"feedback must be a source (an object called with episodes) or its import path, got {type(source).__name__}")
        if self.pays_at_each_step and on_error == "abstain":
            raise ValueError('on_error="abstain" needs a source that judges finished responses; one that pays at each step cannot abstain')
        if inspect.isfunction(source) and _num_required(source) > 1:
            raise ValueError(
                f"feedback {source.__name__} takes {_num_required(source)} arguments, but a source is called with one, the episodes that "
                "have finished: a function of prompt and response becomes a source by @feedback.text_feedback"
            )
        self.source: Feedback | PrefixFeedback = source
        self.is_comparative = bool(getattr(source, "is_comparative", False))
        self.on_error = on_error
        self.num_errors = 0

    @property
    def name(self) -> str:
        """Return what to call the source in messages."""
        return str(getattr(self.source, "__name__", type(self.source).__name__))

    def ask(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return one judgement per episode, in order, in one call of the source.

        Errors: FeedbackError that names the source, the episode and the value.
        """
        if not episodes:
            return []
        try:
            return self._ask_all(episodes)
        except FeedbackError:
            if self.on_error == "raise":
                raise
        judgements = []
        for episode in episodes:
            try:
                judgements += self._ask_all([episode])
            except FeedbackError as error:
                self.num_errors += 1
                judgements.append(Judgement(None, rater=self.name, critique=str(error)))
        return judgements

    def pay(self, prefixes: Sequence[Episode]) -> list[float]:
        """Return what the newest token of each row earned, from a source that pays at each step."""
        assert isinstance(self.source, PrefixFeedback)
        if not prefixes:
            return []
        try:
            paid = self.source.pay(prefixes)
        except Exception as error:
            raise self._failed(error, prefixes) from error
        amounts = self._one_per_episode(paid, prefixes)
        return [self._number(amount, prefix, "a finite number") for amount, prefix in zip(amounts, prefixes, strict=True)]

    def _ask_all(self, episodes: Sequence[Episode]) -> list[Judgement]:
        assert not self.pays_at_each_step
        try:
            answers = self.source(episodes)  # type: ignore[operator]
        except Exception as error:
            raise self._failed(error, episodes) from error
        answers = self._one_per_episode(answers, episodes)
        return [self._judgement(answer, episode) for answer, episode in zip(answers, episodes, strict=True)]

    def _failed(self, error: Exception, episodes: Sequence[Episode]) -> FeedbackError:
        return FeedbackError(f"feedback {self.name} raised {type(error).__name__}: {error} (asked about {_span(episodes)})")

    def _one_per_episode(self, answers: Any, episodes: Sequence[Episode]) -> list[Any]:
        if not isinstance(answers, Iterable) or isinstance(answers, (str, bytes, Mapping, Set)) or getattr(answers, "shape", None) == ():
            raise FeedbackError(
                f"feedback {self.name} must return a list with one answer per episode, in their order: "
                f"asked about {_span(episodes)}, it returned {answers!r}"
            )
        try:
            listed = list(answers)
        except Exception as error:  # a generator raises here and not when it is made
            raise self._failed(error, episodes) from error
        if len(listed) != len(episodes):
            raise FeedbackError(
                f"feedback {self.name} must return one answer per episode: asked about {_span(episodes)} "
                f"({len(episodes)}), it returned {len(listed)}"
            )
        return listed

    def _judgement(self, answer: Any, episode: Episode) -> Judgement:
        if answer is None:
            return Judgement(None, rater=self.name)
        if not isinstance(answer, Judgement):
            expected = "a finite number, None (no opinion) or a Judgement"
            return Judgement(self._number(answer, episode, expected), rater=self.name)
        if answer.token_scores is not None and np.shape(answer.token_scores) != (len(episode.ids),):
            raise FeedbackError(
                f"feedback {self.name} must give one token score per token of episode {episode.index}: "
                f"{len(episode.ids)} tokens, got shape {np.shape(answer.token_scores)}"
            )
        return answer

    def _number(self, value: Any, episode: Episode, expected: str) -> float:
        number = math.nan
        # The first question is asked for speed: a protocol is slow to check.
        if isinstance(value, float) or (isinstance(value, SupportsFloat) and not getattr(value, "shape", ())):
            number = float(value)
        if not math.isfinite(number):
            raise FeedbackError(
                f"feedback {self.name} must return {expected}, got {value!r} for episode {episode.index}: {episode.response[:60]!r}"
            )
        return number


def _num_required(function: Callable[..., Any]) -> int:
    parameters = inspect.signature(function).parameters.values()
    return sum(each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


def _span(episodes: Sequence[Episode]) -> str:
    """Return which episodes a batch holds, for a message."""
    first, last = episodes[0].index, episodes[-1].index
    return f"episode {first}" if len(episodes) == 1 else f"episodes {first} to {last}"
