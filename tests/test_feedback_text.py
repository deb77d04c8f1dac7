from __future__ import annotations

import copy
import functools
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

from feedback.check import check_feedback
from feedback.example_episodes import byte_episode, example_episodes
from feedback.text import TextFeedback, text_feedback
from text_env.episode import Ending, Feedback, Prompt
from text_env.scoring import FeedbackError, Judge

EPISODES = example_episodes()


@text_feedback
def likes_cats(prompt: str, response: str) -> float | None:
    """Like cats."""
    return response.count("cat")


@text_feedback(low=0, high=10, unit="letters")
def repeats_the_prompt(prompt: str, response: str) -> float | None:
    return float(sum(letter in prompt for letter in response[:10])) if response else None


def shorter_is_better(prompt: str, response: str) -> float:
    return -float(len(response))


brevity = text_feedback(shorter_is_better, high=0.0, unit="characters")


class Shop:
    @text_feedback
    @staticmethod
    def praise(prompt: str, response: str) -> float:
        return 1.0


def test_a_plain_function_becomes_a_source_of_its_prompt_and_response() -> None:
    episode = byte_episode(Prompt("My pet is", np.zeros(1, dtype=np.int64)), " a cat, a cat", Ending.EOS, 0)
    assert isinstance(likes_cats, Feedback)
    assert likes_cats([episode, episode]) == [2, 2]
    seen: list[tuple[str, str]] = []
    text_feedback(lambda prompt, response: seen.append((prompt, response)))([episode])
    assert seen == [("My pet is", " a cat, a cat")]


def test_the_decorator_keeps_the_function_its_name_and_its_documentation() -> None:
    assert (likes_cats.__name__, likes_cats.__doc__, likes_cats.__module__) == ("likes_cats", "Like cats.", __name__)
    assert likes_cats.function("My pet is", " a cat") == 1
    assert repr(likes_cats) == "text_feedback(likes_cats)"


def test_the_scale_is_unbounded_unless_stated() -> None:
    assert (likes_cats.low, likes_cats.high, likes_cats.unit) == (-math.inf, math.inf, "")
    assert (repeats_the_prompt.low, repeats_the_prompt.high, repeats_the_prompt.unit) == (0.0, 10.0, "letters")


def test_no_opinion_is_an_abstention() -> None:
    assert Judge(repeats_the_prompt).ask(EPISODES)[4].score is None


def test_a_function_that_answers_yes_or_no_scores_one_or_zero() -> None:
    has_cat = text_feedback(lambda prompt, response: "cat" in response)
    assert [judgement.score for judgement in Judge(has_cat).ask(EPISODES[1:3])] == [0.0, 1.0]


@pytest.mark.parametrize("answer", ["good", math.nan, math.inf, [1.0], {}])
def test_an_answer_that_is_no_number_is_an_error_that_names_the_function(answer: Any) -> None:
    @text_feedback
    def confused(prompt: str, response: str) -> Any:
        return answer

    with pytest.raises(
        FeedbackError, match=re.escape(f"feedback confused must return a finite number, None (no opinion) or a Judgement, got {answer!r}")
    ):
        Judge(confused).ask(EPISODES[:1])


@pytest.mark.parametrize("source", [likes_cats, repeats_the_prompt, brevity, Shop.praise], ids=repr)
def test_a_source_made_of_a_module_level_function_can_be_copied_and_pickled(source: TextFeedback) -> None:
    for twin in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        assert (twin.__name__, twin.low, twin.high, twin.unit) == (source.__name__, source.low, source.high, source.unit)
        assert twin(EPISODES) == source(EPISODES)
    check_feedback(source)


def test_a_decorated_function_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(likes_cats)) is likes_cats


def test_a_source_made_of_a_local_function_works_but_cannot_be_pickled() -> None:
    @text_feedback
    def local(prompt: str, response: str) -> float:
        return 1.0

    assert copy.deepcopy(local)(EPISODES[:1]) == [1.0]
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(local)


def test_anything_that_can_be_called_with_two_texts_will_do() -> None:
    class Counter:
        def __call__(self, prompt: str, response: str) -> float:
            return float(len(prompt))

    def weigh(weight: float, prompt: str, response: str, base: float = 1.0) -> float:
        return base + weight

    assert text_feedback(Counter())(EPISODES[:1]) == [12.0]
    assert text_feedback(functools.partial(weigh, 2.0))(EPISODES[:1]) == [3.0]
    assert text_feedback(Counter()).__name__ == "Counter"


def takes_one(response: str) -> float:
    return 0.0


def takes_three(prompt: str, response: str, episode: object) -> float:
    return 0.0


def takes_names_only(*, prompt: str, response: str) -> float:
    return 0.0


async def waits(prompt: str, response: str) -> float:
    return 0.0


def yields(prompt: str, response: str) -> Any:
    yield 0.0


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (takes_one, "takes_one(response: 'str') -> 'float'"),
        (takes_three, "takes_three(prompt: 'str', response: 'str', episode: 'object') -> 'float'"),
        (takes_names_only, "takes_names_only(*, prompt: 'str', response: 'str') -> 'float'"),
        (waits, f"{waits!r}, which is asynchronous or a generator"),
        (yields, f"{yields!r}, which is asynchronous or a generator"),
        (Shop, f"{Shop!r}"),
        ("feedback.text:count_cats", "'feedback.text:count_cats'"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value).partition(" at 0x")[0],
)
def test_what_cannot_be_called_with_two_texts_is_refused(function: Any, got: str) -> None:
    message = f"text_feedback needs a function f(prompt: str, response: str) -> float | None, got {got}"
    with pytest.raises(TypeError, match=re.escape(message) + "$"):
        text_feedback(function)


@pytest.mark.parametrize(("low", "high"), [(1, 0), (math.nan, 1)])
def test_a_scale_upside_down_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"a scale needs low <= high, got {low} and {high}")):
        text_feedback(low=low, high=high)(shorter_is_better)
