"""Turn answers into numbers: each kind by its formula, and nothing where nothing was said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from feedback.encoding.answers import Preference, character_scores, encode_answer, preferences
from feedback.encoding.encoded import Encoded
from feedback.study.records import Answer, Kind, Outcome, Passage, Question, Scale

TEXTS = {name: Passage("It is", f" {name}") for name in "abcd"}
IDS = {name: passage.id for name, passage in TEXTS.items()}
PASSAGES = {passage.id: passage for passage in TEXTS.values()}


def said(kind, outcome=Outcome.ANSWERED, payload=None, *, of="a", confidence=None, reason="", scale=None):
    question = Question(kind, tuple(IDS[name] for name in of), scale=scale)
    return question, Answer(question.id, "p", "l", "k", outcome, 0.0, payload or {}, confidence=confidence, reason=reason)


def critic(text):
    return Encoded(0.5, 0.8, f"heard {text}", "test")


def values(question, answer):
    encoded = encode_answer(question, answer, PASSAGES, critic)
    assert set(encoded) == set(question.passages)
    return {name: encoded[IDS[name]].value for name in TEXTS if IDS[name] in encoded}


def groups(*names):
    return {"groups": [[IDS[name] for name in group] for group in names]}


@pytest.mark.parametrize(("good", "value"), [(True, 1.0), (False, -1.0)])
def test_a_thumb_is_one_end_of_the_scale(good, value):
    assert values(*said(Kind.BINARY, payload={"good": good})) == {"a": value}


@pytest.mark.parametrize(
    ("low", "high", "step", "value"), [(1, 5, 1, -1.0), (1, 5, 3, 0.0), (1, 5, 5, 1.0), (0, 10, 7, 0.4), (-4, 4, 1, 0.25)]
)
def test_a_rating_is_its_place_between_the_ends_of_its_scale(low, high, step, value):
    assert values(*said(Kind.RATE, payload={"step": step}, scale=Scale(low, high, ()))) == {"a": pytest.approx(value)}


def test_the_preferred_passage_is_good_and_the_other_bad():
    assert values(*said(Kind.COMPARE, payload=groups("b", "a"), of="ab")) == {"a": -1.0, "b": 1.0}


def test_a_tie_lies_in_the_middle_and_both_bad_at_the_end():
    assert values(*said(Kind.COMPARE, Outcome.TIE, of="ab")) == {"a": 0.0, "b": 0.0}
    assert values(*said(Kind.COMPARE, Outcome.ALL_BAD, of="ab")) == {"a": -1.0, "b": -1.0}
    assert values(*said(Kind.COMPARE, Outcome.ALL_BAD, groups("a", "b"), of="ab")) == {"a": -1.0, "b": -1.0}


@pytest.mark.parametrize("order", list(itertools.permutations("abcd")))
def test_places_of_a_ranking_are_evenly_spaced(order):
    found = values(*said(Kind.RANK, payload=groups(*order), of="abcd"))
    assert [found[name] for name in order] == pytest.approx([1.0, 1 / 3, -1 / 3, -1.0])


def test_tied_passages_share_the_mean_of_their_places():
    assert values(*said(Kind.RANK, payload=groups("b", "ac", "d"), of="abcd")) == pytest.approx({"b": 1.0, "a": 0.0, "c": 0.0, "d": -1.0})


def test_a_passage_that_was_left_out_of_a_ranking_has_no_value():
    assert values(*said(Kind.RANK, payload=groups("b", "d"), of="abcd")) == {"a": None, "b": 1.0, "c": None, "d": -1.0}


def test_a_critique_is_what_its_encoder_makes_of_the_words():
    question, answer = said(Kind.CRITIQUE, payload={"text": "too long"}, confidence=0.5)
    encoded = encode_answer(question, answer, PASSAGES, critic)[IDS["a"]]
    assert (encoded.value, encoded.confidence, encoded.explanation) == (0.5, 0.4, "heard too long")


@pytest.mark.parametrize(("text", "value"), [(" a", 1.0), ("something else", -1.0), ("a b", 2 * (2 * 1 / 3) - 1)])
def test_a_correction_is_worth_the_share_of_the_words_that_stayed(text, value):
    assert values(*said(Kind.CORRECT, payload={"text": text}))["a"] == pytest.approx(value)


def test_marked_parts_are_weighed_by_their_characters():
    passage = Passage("", "good bad neutral")
    question = Question(Kind.SPAN, (passage.id,))
    spans = [{"start": 0, "end": 4, "good": True}, {"start": 5, "end": 6, "good": False}]
    answer = Answer(question.id, "p", "l", "k", Outcome.ANSWERED, 0.0, {"spans": spans})
    encoded = encode_answer(question, answer, {passage.id: passage}, critic)[passage.id]
    assert encoded.value == pytest.approx((4 - 1) / 5)
    np.testing.assert_array_equal(character_scores(passage, answer), [1] * 4 + [0, -1] + [0] * 10)


@pytest.mark.parametrize("outcome", [Outcome.ABSTAIN, Outcome.SKIP, Outcome.TIMEOUT, Outcome.ERROR])
def test_saying_nothing_is_no_value_and_never_zero(outcome):
    question, answer = said(Kind.COMPARE, outcome, of="ab", reason="unclear")
    for encoded in encode_answer(question, answer, PASSAGES, critic).values():
        assert (encoded.value, encoded.confidence) == (None, 0.0)
        assert "unclear" in encoded.explanation
    assert preferences(question, answer) == []


def test_a_stated_confidence_is_kept():
    question, answer = said(Kind.BINARY, payload={"good": True}, confidence=0.3)
    assert encode_answer(question, answer, PASSAGES, critic)[IDS["a"]].confidence == 0.3


def test_a_ranking_decides_every_pair_of_what_it_names():
    found = preferences(*said(Kind.RANK, payload=groups("b", "ac"), of="abcd"))
    better = {(pair.better, pair.worse) for pair in found if not pair.is_tie}
    assert better == {(IDS["b"], IDS["a"]), (IDS["b"], IDS["c"])}
    assert [pair for pair in found if pair.is_tie] == [Preference(IDS["a"], IDS["c"], is_tie=True)]


def test_a_tie_is_a_pair_and_both_bad_is_none():
    assert preferences(*said(Kind.COMPARE, Outcome.TIE, of="ab")) == [Preference(IDS["a"], IDS["b"], is_tie=True)]
    assert preferences(*said(Kind.COMPARE, Outcome.ALL_BAD, of="ab")) == []
    assert preferences(*said(Kind.RATE, payload={"step": 3})) == []
