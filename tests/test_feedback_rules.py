from __future__ import annotations

import copy
import math
import pickle
import random
import re
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from feedback.contains import Contains, Matches
from feedback.exact_match import ExactMatch, normalised
from feedback.example_episodes import byte_episode
from feedback.length_window import LengthWindow
from feedback.repetition import DistinctNGrams, Repetition
from feedback.sentiment import Sentiment
from feedback.unfinished import Unfinished
from feedback.words import words
from text_env.episode import Ending, Episode, Prompt, Scored


def told(*responses: str, prompt: str = "The film was", references: tuple[str, ...] = (), ending: Ending = Ending.EOS) -> list[Episode]:
    asked = Prompt(prompt, np.zeros(1, dtype=np.int64), references)
    return [byte_episode(asked, response, ending, index) for index, response in enumerate(responses)]


def test_words_are_lower_case_runs_of_letters_with_inner_apostrophes() -> None:
    assert words("Don't STOP, it\u2019s 3 o'clock\u2014'quoted'!") == ["don't", "stop", "it\u2019s", "3", "o'clock", "quoted"]


# Sentiment


def test_sentiment_is_the_published_score_of_the_response() -> None:
    # the first two are examples of the VADER documentation, the third is derived here from the lexicon's valence of "good", 1.9
    assert Sentiment()(told("VADER is smart, handsome, and funny.", "Today SUX!")) == [0.8316, -0.5461]
    assert Sentiment()(told("good")) == [round(1.9 / math.sqrt(1.9**2 + 15), 4)]


def test_sentiment_of_no_words_is_neutral() -> None:
    assert Sentiment()(told("", "  \n", "the of and")) == [0.0, 0.0, 0.0]


def test_sentiment_judges_the_response_alone_unless_asked_for_the_whole_text() -> None:
    episodes = told(" long", prompt="A wonderful film, but")
    assert Sentiment()(episodes) == [0.0]
    assert Sentiment(of="text")(episodes)[0] > 0.2


def test_sentiment_refuses_another_part_of_the_episode() -> None:
    with pytest.raises(ValueError, match=re.escape('of must be "response" or "text", got \'prompt\'')):
        Sentiment(of="prompt")  # type: ignore[arg-type]


def test_sentiment_is_copied_and_pickled_without_its_lexicon() -> None:
    source = Sentiment(of="text")
    assert len(pickle.dumps(source)) < 200
    for twin in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        assert twin.of == "text"
        assert twin(told(" good")) == source(told(" good"))


def test_sentiment_gives_the_same_scores_from_many_threads() -> None:
    shared = Sentiment()
    draw = random.Random(0)
    episodes = told(*(" ".join(draw.choices(["good", "bad", "not", "very", "but", "GREAT", "film"], k=12)) for _ in range(200)))
    alone = shared(episodes)
    answers: list[Sequence[Scored]] = []
    threads = [threading.Thread(target=lambda: answers.append(shared(episodes))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [alone] * 8


# Contains, Matches


def test_contains_scores_the_share_of_the_words_found() -> None:
    assert Contains(["cat", "dog"])(told("a Cat.", "cats and dogs", "dog, cat", "", "cat cat cat")) == [0.5, 0.0, 1.0, 0.0, 0.5]


def test_contains_can_look_inside_words_and_mind_the_case() -> None:
    assert Contains("cat", whole_words=False)(told("concatenate")) == [1.0]
    assert Contains("cat", ignore_case=False)(told("Cat", "cat")) == [0.0, 1.0]


def test_contains_takes_words_that_are_signs_literally() -> None:
    assert Contains(["C++", "a.b"])(told("I like C++ best", "C+++", "axb")) == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [([], "words must name at least one word, got none"), (["cat", " "], "words must be non-empty strings, got ' '")],
)
def test_contains_refuses_words_that_say_nothing(given: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Contains(given)


def test_matches_scores_one_where_the_pattern_occurs() -> None:
    assert Matches(r"\d+ cats?\b")(told("I have 12 cats.", "cats", "")) == [1.0, 0.0, 0.0]
    assert Matches(r"^$")(told("", "x")) == [1.0, 0.0]


def test_matches_refuses_a_pattern_that_is_no_regular_expression() -> None:
    with pytest.raises(ValueError, match=re.escape("pattern must be a regular expression, got '(': missing ), unterminated")):
        Matches("(")


# LengthWindow


@pytest.mark.parametrize(
    ("length", "score"), [(0, 0.0), (1, 0.0), (2, 0.25), (4, 0.75), (5, 1.0), (7, 1.0), (8, 0.75), (10, 0.25), (11, 0.0)]
)
def test_a_length_outside_the_window_falls_linearly_to_zero(length: int, score: float) -> None:
    assert LengthWindow(5, 7, fade=4)(told("word " * length)) == [score]


def test_a_window_without_fade_has_hard_edges() -> None:
    assert LengthWindow(2, 3)(told("a", "a b", "a b c", "a b c d")) == [0.0, 1.0, 1.0, 0.0]


def test_the_end_token_does_not_count_as_length() -> None:
    for ending in (Ending.EOS, Ending.LENGTH):
        assert LengthWindow(3, 3, measure="tokens")(told("abc", ending=ending)) == [1.0]  # three bytes, three tokens
    assert LengthWindow(0, 0, measure="tokens")(told("")) == [1.0]


def test_tokens_that_a_partner_wrote_do_not_count_as_length() -> None:
    (whole,) = told("abcd", ending=Ending.LENGTH)
    partly = Episode(whole.prompt, whole.ids, np.array([True, False, False, True]), whole.response, whole.ending)
    assert LengthWindow(2, 2, measure="tokens")([partly]) == [1.0]


def test_characters_are_counted_in_the_response_as_read() -> None:
    assert LengthWindow(2, 2, measure="characters")(told("caf\u00e9", "\u4f60\u597d")) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shortest": 3, "longest": 2}, "the window must satisfy 0 <= shortest <= longest, got 3 to 2"),
        ({"shortest": -1, "longest": 2}, "the window must satisfy 0 <= shortest <= longest, got -1 to 2"),
        ({"shortest": 1, "longest": 2, "measure": "lines"}, "measure must be one of tokens, words, characters, got 'lines'"),
        ({"shortest": 1, "longest": 2, "fade": -1}, "fade must be at least 0 words, got -1"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LengthWindow(**arguments)  # type: ignore[arg-type]


# DistinctNGrams, Repetition


def test_distinct_bigrams_are_counted_within_the_response() -> None:
    # the cat the cat the: bigrams (the cat) (cat the) (the cat) (cat the), two of four distinct
    assert DistinctNGrams(2)(told("The cat, the CAT. The!", "a b c d")) == [0.5, 1.0]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_share_of_distinct_n_grams_equals_a_count_by_hand(n: int) -> None:
    draw = random.Random(n)
    written = [draw.choice("abc") for _ in range(30)]
    seen: list[list[str]] = []
    for start in range(30 - n + 1):
        if (gram := written[start : start + n]) not in seen:
            seen.append(gram)
    assert DistinctNGrams(n)(told(" ".join(written))) == [len(seen) / (30 - n + 1)]


def test_a_response_shorter_than_an_n_gram_repeats_nothing() -> None:
    assert DistinctNGrams(3)(told("", "a", "a a")) == [1.0, 1.0, 1.0]
    assert Repetition(3)(told("", "a", "a a")) == [0.0, 0.0, 0.0]


def test_repetition_is_what_distinct_n_grams_lack() -> None:
    episodes = told("a a a a b", "x y z", "so so so")
    assert [one + other for one, other in zip(DistinctNGrams()(episodes), Repetition()(episodes), strict=True)] == [1.0, 1.0, 1.0]
    assert Repetition(1)(told("so so so so")) == [0.75]


def test_repetition_can_be_counted_in_tokens_where_there_are_no_spaces() -> None:
    (episode,) = told("\u54c8\u54c8\u54c8", ending=Ending.LENGTH)  # one word, but the same three bytes three times
    assert Repetition(1)([episode]) == [0.0]
    assert Repetition(1, of="tokens")([episode]) == [1 - len(set(episode.ids.tolist())) / 9]


def test_n_grams_of_no_length_are_refused() -> None:
    for source in (DistinctNGrams, Repetition):
        with pytest.raises(ValueError, match=re.escape("n must be at least 1, got 0")):
            source(0)
    with pytest.raises(ValueError, match=re.escape('of must be "words" or "tokens", got \'letters\'')):
        DistinctNGrams(of="letters")  # type: ignore[arg-type]


# ExactMatch


def test_any_reference_counts_as_right() -> None:
    assert ExactMatch()(told(" Paris.", '"paris, FRANCE"', " London", "", references=("Paris", "Paris, France"))) == [1.0, 1.0, 0.0, 0.0]


def test_no_reference_is_no_opinion_and_not_a_wrong_answer() -> None:
    assert ExactMatch()(told(" Paris.", "")) == [None, None]


def test_normalising_drops_nothing_inside_an_answer() -> None:
    assert ExactMatch()(told("314", "-5", "cat", references=("3.14", "5", "the cat"))) == [0.0, 0.0, 0.0]
    assert normalised("  \u201cA  b\u201d.\n") == "a b"


def test_an_answer_of_signs_alone_is_not_the_empty_answer() -> None:
    assert ExactMatch()(told("", "!", "?", references=("!",))) == [0.0, 1.0, 0.0]


def test_exact_match_can_compare_the_texts_as_they_are() -> None:
    assert ExactMatch(normalise=False)(told(" Paris", "Paris", references=("Paris",))) == [0.0, 1.0]


# Unfinished


def test_only_a_response_that_the_budget_cut_is_charged() -> None:
    source = Unfinished(0.3)
    assert (source.low, source.high) == (-0.3, 0.0)
    assert [source(told("x", ending=ending))[0] for ending in Ending] == [-0.3 if ending is Ending.LENGTH else 0.0 for ending in Ending]


@pytest.mark.parametrize("penalty", [-1.0, math.inf, math.nan])
def test_a_penalty_that_is_no_penalty_is_refused(penalty: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"penalty must be a finite number of at least 0, got {penalty}; it is subtracted")):
        Unfinished(penalty)
