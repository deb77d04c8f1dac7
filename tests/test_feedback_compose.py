from __future__ import annotations

import copy
import math
import pickle
import re
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from feedback.cached import Cached
from feedback.compose import Clipped, WeightedSum
from feedback.contains import Contains
from feedback.exact_match import ExactMatch
from feedback.example_episodes import byte_episode, example_episodes
from feedback.repetition import Repetition
from feedback.sentiment import Sentiment
from feedback.source import Source
from feedback.text import text_feedback
from text_env.episode import Ending, Episode, Judgement, Prompt, Scored
from text_env.scoring import FeedbackError

EPISODES = example_episodes()


class Told(Source):
    """Give prepared answers and remember what it was asked about."""

    low = -10.0
    high = 20.0
    unit = "points"

    def __init__(self, answer: Callable[[Episode], Scored]) -> None:
        self._answer = answer
        self.batches: list[list[Episode]] = []

    def __call__(self, episodes: Sequence[Episode]) -> list[Scored]:
        self.batches.append(list(episodes))
        return [self._answer(episode) for episode in episodes]


class Foreign:
    """Be a feedback source without our base class."""

    low = 0.0
    high = 4.0
    unit = "points"

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        return [4.0 for _ in episodes]


class Ranked(Told):
    """Compare the members of a batch."""

    is_comparative = True


def number(value: float | None) -> Told:
    return Told(lambda _: value)


def scores(source: Source, episodes: Sequence[Episode] = EPISODES[:1]) -> list[float | None]:
    return [judgement.score for judgement in source(episodes) if isinstance(judgement, Judgement)]


def by_token(*token_scores: float) -> Judgement:
    return Judgement(sum(token_scores), np.array(token_scores))


def three_tokens(is_action: Sequence[bool] = (True, True, True)) -> Episode:
    plain = byte_episode(Prompt("", np.zeros(0, dtype=np.int64)), "abc", Ending.LENGTH, 0)
    return Episode(plain.prompt, plain.ids, np.array(is_action), "abc", Ending.LENGTH)


# arithmetic


def test_a_weighted_sum_is_the_sum_of_the_weighted_scores() -> None:
    summed = 0.7 * Sentiment() - 0.2 * Repetition() + 3
    expected = [0.7 * one - 0.2 * other + 3 for one, other in zip(Sentiment()(EPISODES), Repetition()(EPISODES), strict=True)]
    assert scores(summed, EPISODES) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("source", "score"),
    [
        (number(2) + number(3), 5),
        (number(2) - number(3), -1),
        (-number(2), -2),
        (number(2) * 3, 6),
        (np.float64(0.5) * number(2), 1),
        (np.float32(0.5) * number(2), 1),
        (1 - number(2), -1),
        (number(2) - 1, 1),
        (sum([number(1), number(2), number(3)]), 6),
        (2 * (number(1) - 3 * number(2) + 1), -8),
        (Foreign() + number(1), 5),
        (number(1) - Foreign(), -3),
        ("feedback.repetition:Repetition" + number(1), 1),
        (number(1) - "feedback.repetition:Repetition", 1),
    ],
)
def test_operators_mean_what_they_mean_for_numbers(source: WeightedSum, score: float) -> None:
    assert scores(source) == pytest.approx([score])


def test_a_negative_weight_swaps_the_ends_of_the_scale() -> None:
    source = 2 * number(0) - WeightedSum([(0.5, Foreign())]) + 1  # 2 * [-10, 20] - 0.5 * [0, 4] + 1
    assert (source.low, source.high) == (-20 - 2 + 1, 40 - 0 + 1)


def test_a_weight_of_zero_makes_an_unbounded_scale_a_point() -> None:
    @text_feedback
    def unbounded(prompt: str, response: str) -> float:
        return 3.0

    assert ((0 * unbounded).low, (0 * unbounded).high) == (0, 0)
    assert ((-1 * unbounded).low, (-1 * unbounded).high) == (-math.inf, math.inf)


def test_each_part_is_asked_once_a_batch_even_if_it_stands_there_twice() -> None:
    one, other = number(1), number(2)
    assert scores(one + 2 * other + one - 3 * one, EPISODES) == [3.0] * len(EPISODES)
    assert [len(batch) for batch in one.batches] == [len(EPISODES)]
    assert [len(batch) for batch in other.batches] == [len(EPISODES)]


def test_the_parts_of_a_judgement_sum_to_its_score() -> None:
    (judgement,) = (2 * Contains("good") - 0.5 * Contains("film") + 1 * (number(3) * 2 + 4))(EPISODES[:1])
    assert judgement.parts == {"Contains": 2.0, "Contains (2)": 0.0, "Told": 6.0, "constant": 4.0}
    assert judgement.score == 12.0


def test_a_sum_says_who_judged_and_why_and_for_how_long() -> None:
    told = (
        Judgement(1.0, rater="ann", critique="dull", seconds=0.5),
        Judgement(2.0, rater="bob", seconds=0.25),
        Judgement(3.0, rater="ann"),
    )
    (judgement,) = sum(Told(lambda _, said=said: said) for said in told)(EPISODES[:1])  # type: ignore[misc]
    assert (judgement.score, judgement.rater, judgement.critique, judgement.seconds) == (6.0, "ann, bob", "dull", 0.75)


def test_a_sum_compares_if_a_part_does() -> None:
    assert (number(1) + Ranked(lambda _: 1.0)).is_comparative
    assert Ranked(lambda _: 1.0).clip(0, 1).is_comparative
    assert not (number(1) + number(2)).is_comparative


def test_a_sum_reads_as_it_is_typed() -> None:
    assert repr(0.5 * Sentiment() - 2 * Contains("cat", whole_words=False) - 1) == (
        "0.5 * Sentiment(of='response') - 2 * Contains(words=('cat',), whole_words=False, ignore_case=True) - 1"
    )


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: number(1) * number(2), TypeError, "unsupported operand type(s) for *: 'Told' and 'Told'"),
        (lambda: number(1) - [1], TypeError, "unsupported operand type(s) for -: 'Told' and 'list'"),
        (lambda: number(1) + Sentiment, TypeError, "expected a feedback source, got the class Sentiment: call it, as in Sentiment()"),
        (
            lambda: number(1) + len,
            TypeError,
            "expected a feedback source, got <built-in function len>, which has no low, high, unit; make one of",
        ),
        (lambda: number(1) + "Sentiment", ValueError, "a name must look like \"module:Name\", got 'Sentiment'"),
        (lambda: WeightedSum([]), ValueError, "a weighted sum needs at least one part, got none"),
        (lambda: math.nan * number(1), ValueError, "weights and the constant must be finite, got [nan] and 0.0"),
        (lambda: number(1).clip(2, 1), ValueError, "clipping needs low <= high, got 2 and 1"),
        (lambda: number(1).clip(math.nan), ValueError, "clipping needs low <= high, got nan and inf"),
        (lambda: number(1).otherwise(math.inf), ValueError, "score must be a finite number, got inf"),
        (lambda: number(1).cached(0), ValueError, "size must be at least 1 episode, got 0"),
        (lambda: Ranked(lambda _: 1.0).cached(), ValueError, "Ranked compares the members of a batch, so its scores cannot be cached"),
    ],
)
def test_a_composition_that_makes_no_sense_is_refused(build: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        build()


@pytest.mark.parametrize("compose", [lambda source: source + 1, lambda source: source.clip(0, 1), lambda source: source.cached()])
def test_a_part_that_answers_nan_is_an_error_that_names_the_part(compose: Callable[[Source], Source]) -> None:
    with pytest.raises(FeedbackError, match="feedback Told must return a finite number, None"):
        compose(number(math.nan))(EPISODES[:2])


# abstention


def test_a_sum_abstains_where_any_part_abstains() -> None:
    source = Sentiment() + ExactMatch()
    assert [score is None for score in scores(source, EPISODES)] == [not episode.prompt.references for episode in EPISODES]


def test_an_abstaining_sum_still_shows_the_parts_that_spoke() -> None:
    (judgement,) = (number(None) + WeightedSum([(2, Foreign())]))(EPISODES[:1])
    assert (judgement.score, judgement.parts) == (None, {"Foreign": 8.0})


def test_otherwise_says_what_silence_is_worth() -> None:
    source = number(None).otherwise(30)
    assert (scores(source), source.low, source.high) == ([30.0], -10.0, 30.0)
    assert (number(None).otherwise(-30).low, number(None).otherwise(-30).high) == (-30.0, 20.0)
    assert scores(ExactMatch().otherwise(0) + number(1)) == [1.0]


def test_a_score_of_zero_is_not_silence() -> None:
    assert scores(number(0.0).otherwise(30)) == [0.0]
    assert scores(number(0.0) + number(1)) == [1.0]


def test_clipping_and_caching_keep_an_abstention() -> None:
    assert scores(number(None).clip(0, 1)) == [None]
    assert scores(number(None).cached()) == [None]


# token scores


def test_token_scores_are_summed_by_weight_where_every_part_has_them() -> None:
    source = 2 * Told(lambda _: by_token(1, 2, 3)) - Told(lambda _: by_token(1, 0, 1))
    (judgement,) = source([three_tokens()])
    assert (judgement.token_scores.tolist(), judgement.score) == ([1, 4, 5], 10)


def test_a_part_without_token_scores_is_paid_at_the_last_token_that_the_agent_chose() -> None:
    source = Told(lambda _: by_token(1, 2, 3)) + 0.5 * number(4) - 1
    assert source([three_tokens()])[0].token_scores.tolist() == [1, 2, 3 + 2 - 1]
    assert source([three_tokens((True, True, False))])[0].token_scores.tolist() == [1, 2 + 2 - 1, 3]


def test_parts_without_token_scores_make_a_sum_without_them() -> None:
    assert (number(1) + number(2))([three_tokens()])[0].token_scores is None


def test_token_scores_survive_clipping_only_where_nothing_was_clipped() -> None:
    source = Told(lambda episode: by_token(1, 2, 3)).clip(0, 6)
    assert source([three_tokens()])[0].token_scores.tolist() == [1, 2, 3]
    (judgement,) = Told(lambda episode: by_token(1, 2, 3)).clip(0, 5)([three_tokens()])
    assert (judgement.score, judgement.token_scores) == (5, None)


def test_token_scores_of_huge_parts_that_cancel_still_sum_to_the_score() -> None:
    huge = Judgement(1e9, np.array([3e8, 3e8, 4e8 + 100.0]))  # off by 100, within a judgement's relative tolerance
    (judgement,) = (Told(lambda _: huge) - 1e9)([three_tokens()])
    assert judgement.score == 0.0
    assert judgement.token_scores.sum() == 0.0


# clipping


def test_clipping_holds_scores_and_scale_between_the_limits() -> None:
    source = Told(lambda episode: float(episode.index)).clip(2, 5)
    assert scores(source, EPISODES[:8]) == [2, 2, 2, 3, 4, 5, 5, 5]
    assert (source.low, source.high, source.unit) == (2, 5, "points")
    assert ((number(1).clip(-99, 99)).low, (number(1).clip(-99, 99)).high) == (-10, 20)
    assert ((number(1).clip(low=0)).low, (number(1).clip(low=0)).high) == (0, 20)
    assert ((number(1).clip(30, 40)).low, (number(1).clip(30, 40)).high) == (30, 30)


def test_a_clipped_judgement_shows_what_was_there_before() -> None:
    assert number(9).clip(0, 1)(EPISODES[:1])[0].parts == {"Told": 9.0}
    assert (number(9) + Foreign()).clip(0, 1)(EPISODES[:1])[0].parts == {"Told": 9.0, "Foreign": 4.0}


# caching


def test_a_cached_source_is_asked_once_about_equal_episodes() -> None:
    source = Told(lambda episode: float(len(episode.response)))
    cached = source.cached()
    twice = [*EPISODES, *(copy.deepcopy(episode) for episode in EPISODES)]
    expected = [float(len(episode.response)) for episode in EPISODES]
    assert scores(cached, twice) == expected * 2
    assert scores(cached, EPISODES[::-1]) == expected[::-1]
    assert [len(batch) for batch in source.batches] == [len(EPISODES)]
    assert (cached.misses, cached.hits) == (len(EPISODES), 2 * len(EPISODES))


def test_the_number_of_an_episode_does_not_make_it_another() -> None:
    prompt = Prompt("p", np.zeros(1, dtype=np.int64))
    cached = number(1).cached()
    cached([byte_episode(prompt, "same", Ending.EOS, index) for index in range(5)])
    assert (cached.misses, cached.hits) == (1, 4)


@pytest.mark.parametrize("change", ["text", "prompt_ids", "references", "id", "response", "ids", "is_action", "ending"])
def test_episodes_that_differ_in_anything_a_source_may_read_are_not_mixed_up(change: str) -> None:
    def variant(which: str) -> Episode:
        prompt = Prompt(
            "q" if which == "text" else "p",
            np.array([which == "prompt_ids"], dtype=np.int64),
            ("a",) if which == "references" else (),
            "1" if which == "id" else "",
        )
        return Episode(
            prompt,
            np.array([1, 3 if which == "ids" else 2]),
            np.array([True, which != "is_action"]),
            "s" if which == "response" else "r",
            Ending.STOP if which == "ending" else Ending.EOS,
        )

    source = Told(lambda episode: float(id(episode) % 7))
    Cached(source)([variant(""), variant(change)])
    assert [len(batch) for batch in source.batches] == [2]


def test_a_cache_forgets_what_was_longest_unused() -> None:
    source = number(1)
    cached = source.cached(size=2)
    one, two, three = EPISODES[:3]
    for episode in (one, two, one, three, one, two):  # three pushes two out, since one was used after it
        cached([episode])
    assert [batch[0].index for batch in source.batches] == [0, 1, 2, 1]


def test_a_batch_larger_than_the_cache_is_answered_whole() -> None:
    cached = Told(lambda episode: float(episode.index)).cached(size=3)
    assert scores(cached, EPISODES) == [float(episode.index) for episode in EPISODES]


def test_a_cached_abstention_is_not_asked_again() -> None:
    source = number(None)
    cached = source.cached()
    assert [scores(cached), scores(cached)] == [[None], [None]]
    assert len(source.batches) == 1


def test_nothing_is_asked_if_everything_is_known() -> None:
    source = number(1)
    cached = source.cached()
    assert list(cached([])) == []
    assert source.batches == []


def test_an_error_is_not_remembered() -> None:
    answers = iter([math.nan, 2.0])
    cached = Told(lambda _: next(answers)).cached()
    with pytest.raises(FeedbackError):
        cached(EPISODES[:1])
    assert scores(cached) == [2.0]


def test_a_copy_of_a_cache_starts_empty() -> None:
    cached = Sentiment().cached(size=7)
    cached(EPISODES)
    for twin in (copy.deepcopy(cached), pickle.loads(pickle.dumps(cached))):
        assert (twin.size, twin.hits, twin.misses) == (7, 0, 0)
        assert scores(twin, EPISODES) == scores(cached, EPISODES)


def test_threads_may_share_a_cache() -> None:
    cached = Told(lambda episode: float(episode.index)).cached(size=4)
    wrong: list[object] = []

    def ask(offset: int) -> None:
        for turn in range(300):
            chosen = [EPISODES[(turn + offset + step) % len(EPISODES)] for step in range(3)]
            if scores(cached, chosen) != [float(episode.index) for episode in chosen]:
                wrong.append(chosen)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cached.hits + cached.misses == 6 * 300 * 3


def test_a_deep_copy_of_a_composition_asks_its_own_copies() -> None:
    part = number(1)
    for source in (part + 1, part.clip(0, 1), part.otherwise(0), part.cached()):
        copy.deepcopy(source)(EPISODES)
    assert part.batches == []


def test_compositions_of_compositions_judge_alike_when_pickled() -> None:
    source = (0.7 * Sentiment().cached() - 0.2 * Clipped(Repetition(), 0.1) + 1).clip(0, 1)
    twin = pickle.loads(pickle.dumps(source))
    assert scores(twin, EPISODES) == scores(source, EPISODES)
