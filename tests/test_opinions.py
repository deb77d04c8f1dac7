"""Test the arrays in which answers are aggregated, and the ratings of ten people that come with VADER."""

import numpy as np
import pytest

from feedback.aggregation.agreement import krippendorff_alpha
from feedback.aggregation.opinions import Comparisons, Labels
from feedback.aggregation.vader_raters import vader_ratings


def test_ten_people_rated_each_of_the_tokens_and_agree_as_was_measured_before():
    tokens, ratings = vader_ratings()
    assert ratings.shape == (len(tokens), 10) == (7520, 10)
    assert krippendorff_alpha(ratings.T) == pytest.approx(0.726, abs=5e-4)  # by another implementation
    with pytest.raises(ValueError, match="read-only"):
        ratings[0, 0] = 0


def test_some_of_the_comparisons_are_taken_with_all_that_was_said_of_them():
    given = Comparisons.of([0, 1, 2], [1, 2, 0], [1.0, 0.5, 0.0], ("a", "b", "c"), weight=[1, 2, 3], shown_first=[1, -1, 0])
    some = given.take(np.array([False, True, True]))
    assert some.num_comparisons == 2
    assert (some.first.tolist(), some.second.tolist(), some.target.tolist()) == ([1, 2], [2, 0], [0.5, 0.0])
    assert (some.weight.tolist(), some.shown_first.tolist()) == ([2.0, 3.0], [-1, 0])
    assert some.items == given.items


@pytest.mark.parametrize(
    ("first", "second", "target", "options", "message"),
    [
        ([0], [0], [1.0], {}, "comparison 0 is of 'a' with itself"),
        ([0], [2], [1.0], {}, "second must be numbers of the 2 items, got 2 to 2"),
        ([0], [1], [1.5], {}, r"target of comparison 0 must be from 0 to 1, got 1\.5"),
        ([0], [1], [float("nan")], {}, "target of comparison 0 must be from 0 to 1, got nan"),
        ([0], [1], [1.0], {"weight": [-1.0]}, "weight of comparison 0 must be at least 0"),
        ([0, 1], [1, 0], [1.0], {}, "target must have one number for each of 2 comparisons, got 1"),
        ([0], [1], [1.0], {"annotators": ("x", "x")}, "annotators must be different names, got 'x' more than once"),
    ],
)
def test_comparisons_that_cannot_be_are_refused_by_name(first, second, target, options, message):
    with pytest.raises(ValueError, match=message):
        Comparisons.of(first, second, target, ("a", "b"), **options)


def test_an_annotator_labels_a_unit_once():
    with pytest.raises(ValueError, match="'ann' labels 'two' twice"):
        Labels(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 1, 0]), ("bob", "ann"), ("one", "two"), ("no", "yes"))
