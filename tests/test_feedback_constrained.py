"""What the sources for JSON fields and for digits pay, and what games them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from feedback import DigitSum, JsonFields
from feedback.check import check_feedback
from feedback.example_episodes import byte_episode
from text_env.episode import Ending, Prompt

WANTED = {"mood": "good", "stars": 5, "words": ["fine", "great"]}


def with_reference(response, *references):
    return byte_episode(Prompt("?", np.array([63]), references), response, Ending.EOS, 0)


def episode(response):
    return with_reference(response)


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (json.dumps(WANTED), 1.0),
        (json.dumps(WANTED | {"stars": 4}), 2 / 3),
        (json.dumps(WANTED | {"words": ["great", "dull"]}), (2 + 1 / 3) / 3),
        (json.dumps(WANTED | {"words": ["great", "fine", "fine"]}), 1.0),
        (json.dumps({"mood": "good"}), 1 / 3),
        (json.dumps(WANTED | {"stars": True}), 2 / 3),
        ("{}", 0.0),
        ("[]", 0.0),
        ("good", 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_json_fields_pays_the_share_of_fields_that_agree(response, score):
    assert JsonFields()([with_reference(response, json.dumps(WANTED))])[0] == pytest.approx(score, abs=1e-12)


def test_the_best_of_several_references_counts_and_none_is_no_opinion():
    references = [json.dumps({"a": 1, "b": 2}), json.dumps({"a": 3})]
    assert JsonFields()([with_reference('{"a": 3}', *references), episode('{"a": 3}')]) == [1.0, None]


def test_true_is_not_one_where_a_number_is_wanted():
    assert JsonFields()([with_reference('{"a": true}', '{"a": 1}')]) == [0.0]


@pytest.mark.parametrize("reference", ["", "[1]", "{}", "3", "Paris"])
def test_references_that_are_no_objects_with_fields_agree_with_nothing(reference):
    assert JsonFields()([with_reference('{"a": 1}', reference), with_reference('{"a": 1}', reference, '{"a": 1}')]) == [0.0, 1.0]


def test_json_fields_is_gamed_by_further_fields_and_by_the_most_common_values():
    wordy = WANTED | {"mood of the other guests": "bad " * 50}
    assert JsonFields()([with_reference(json.dumps(wordy), json.dumps(WANTED))]) == [1.0]
    moods = [json.dumps({"mood": mood}) for mood in ("good", "good", "good", "bad")]
    assert sum(JsonFields()([with_reference('{"mood": "good"}', mood) for mood in moods])) == 3.0


@pytest.mark.parametrize(("response", "score"), [("", 0.0), ("no", 0.0), ("9", 1.0), ("0", 0.0), ("1-8", 0.5), ("a9b9", 1.0), ("٩", 0.0)])
def test_digit_sum_pays_the_mean_digit_in_nines(response, score):
    assert DigitSum()([episode(response)]) == [score]


def test_digit_sum_is_gamed_by_a_single_nine():
    assert DigitSum()([episode("call 9")]) > DigitSum()([episode("call 555-8898")])


def test_both_keep_the_contract_of_sources():
    check_feedback(JsonFields())
    check_feedback(DigitSum())
