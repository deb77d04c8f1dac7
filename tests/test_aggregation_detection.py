"""Test that bad annotators are found, each for what they are, and that honest ones are accused no more often than is said."""

import numpy as np
import pytest

from feedback.aggregation.annotator_detection import (
    detect_in_comparisons,
    detect_in_labels,
    detect_in_ratings,
    holm,
    one_by_one,
    shift_between_halves,
)
from feedback.aggregation.bradley_terry import sigmoid
from feedback.aggregation.opinions import Comparisons, Labels

KINDS = ("is_inverted", "is_careless", "is_constant", "is_drifting")


def honest(num_people, num_units, seed, noise=1.0):
    """Let people rate from 1 to 5, each with a severity and a stretch of the scale of their own."""
    generator = np.random.default_rng(seed)
    severity, stretch = generator.normal(0.0, 0.4, (num_people, 1)), generator.uniform(0.7, 1.3, (num_people, 1))
    felt = generator.normal(size=num_units) * 1.2 + noise * generator.normal(size=(num_people, num_units))
    return np.clip(np.round(3 + severity + stretch * felt), 1, 5)


def flagged(findings):
    return [[name for name in KINDS if getattr(each, name)] for each in findings]


def test_each_bad_annotator_is_found_for_what_they_are():
    ratings, generator = honest(8, 200, 0), np.random.default_rng(100)
    ratings[2] = 6 - ratings[2]
    ratings[4] = generator.integers(1, 6, 200)
    ratings[5] = 4
    ratings[6, 100:] = np.clip(ratings[6, 100:] + 2, 1, 5)
    ratings[7, 100:] = np.round(2 * ratings[7].mean() - ratings[7, 100:])  # what drifts is the sense, not the mean
    found = detect_in_ratings(ratings)
    assert flagged(found) == [[], [], ["is_inverted"], [], ["is_careless"], ["is_constant"], ["is_drifting"], ["is_drifting"]]
    assert found[6].shift > 1.0 > 2 * abs(found[7].shift)
    assert found[2].with_others.high < 0 < found[0].with_others.low


def test_who_turns_the_scale_round_halfway_drifts_even_where_the_mean_stays():
    ratings = honest(4, 200, 10)
    halves = np.split(ratings[1], 2)
    ratings[1] = np.concatenate([halves[0] - halves[0].mean(), halves[1].mean() - halves[1]])
    found = detect_in_ratings(ratings)
    assert flagged(found) == [[], ["is_drifting"], [], []]
    assert abs(found[1].shift) < 0.1 and found[1].turn < -1.0
    assert all(abs(each.turn) < 0.3 for each in (found[0], *found[2:]))


def test_who_is_less_reliable_than_the_others_but_looks_is_not_careless():
    generator, ratings = np.random.default_rng(11), honest(5, 400, 12, noise=0.6)
    ratings[2] += 1.3 * generator.normal(size=400)
    found = detect_in_ratings(ratings)
    assert found[2].with_others.high < min(found[number].with_others.low for number in (0, 1, 3, 4))
    assert not any(flagged(found)[2])


@pytest.mark.slow
def test_honest_people_are_accused_no_more_often_than_is_said():
    accused = np.zeros(len(KINDS), int)
    for seed in range(400):
        found = detect_in_ratings(honest(6, 60, 1000 + seed), error_rate=0.05)
        accused += [any(getattr(each, name) for each in found) for name in KINDS]
    assert accused.max() <= 34  # of 400 studies: at a rate of 0.05, more happen twice in 1,000 times


@pytest.mark.slow
def test_people_who_guess_are_called_inverted_no_more_often_than_is_said():
    generator, accused = np.random.default_rng(2), 0
    for seed in range(200):
        ratings = honest(5, 40, 2000 + seed)
        ratings[3:] = generator.integers(1, 6, (2, 40))
        accused += any(each.is_inverted for each in detect_in_ratings(ratings))
    assert accused <= 20  # of 200 studies: at a rate of 0.05, more happen once in 1,000 times


def test_two_who_turned_the_scale_round_make_nobody_else_look_inverted():
    ratings = honest(5, 150, 3)
    ratings[:2] = 6 - ratings[:2]
    found = detect_in_ratings(ratings)
    assert [each.is_inverted for each in found] == [True, True, False, False, False]
    assert min(each.with_others.value for each in found[2:]) > 0.5


def test_gaps_change_neither_whom_one_is_held_against_nor_what_is_found():
    ratings = honest(6, 300, 4)
    ratings[1] = 6 - ratings[1]
    ratings[np.random.default_rng(5).random(ratings.shape) < 0.4] = np.nan
    ratings[5, 4:] = np.nan
    found = detect_in_ratings(ratings, [f"p{number}" for number in range(6)])
    assert [each.annotator for each in found if each.is_inverted] == ["p1"]
    assert found[5].shift is None and not any(flagged(found)[5])
    own = ~np.isnan(ratings[0])
    others = np.nanmean(np.delete(ratings, [0, 1], axis=0)[:, own & ~np.isnan(np.delete(ratings, [0, 1], axis=0)).all(axis=0)], axis=0)
    shared = own & ~np.isnan(np.delete(ratings, [0, 1], axis=0)).all(axis=0)
    assert found[0].with_others.value == pytest.approx(np.corrcoef(ratings[0, shared], others)[0, 1], abs=1e-9)


def test_labels_are_held_against_the_others_labels():
    ratings = honest(5, 150, 6)
    ratings[3] = 6 - ratings[3]
    annotator, unit = np.nonzero(ratings > 0)
    names, units = (tuple(f"{kind}{number}" for number in range(count)) for kind, count in (("k", 5), ("u", 150)))
    labels = Labels(annotator, unit, (ratings[annotator, unit] > 3).astype(int), names, units, ("bad", "good"))
    assert [each.annotator for each in detect_in_labels(labels) if each.is_inverted] == ["k3"]


def test_comparisons_are_held_against_what_the_others_scores_predict():
    generator, num_people, each = np.random.default_rng(7), 5, 150
    scores, number = generator.normal(0.0, 1.5, 40), num_people * each
    annotator = np.tile(np.arange(num_people), each)
    first = generator.integers(40, size=number)
    second = (first + generator.integers(1, 40, size=number)) % 40  # hardly a pair is judged twice
    target = (generator.random(number) < sigmoid(scores[first] - scores[second])).astype(float)
    shown = np.where(generator.random(number) < 0.5, 1, -1)
    target[annotator == 1] = 1 - target[annotator == 1]
    target[annotator == 2] = generator.random(each) < 0.5
    target[annotator == 3] = shown[annotator == 3] > 0  # always what is shown first
    given = Comparisons.of(first, second, target, tuple(map(str, range(40))), annotator, tuple("abcde"), shown_first=shown)
    assert flagged(detect_in_comparisons(given)) == [[], ["is_inverted"], ["is_careless"], ["is_constant"], []]


def test_nobody_alone_and_nobody_with_few_answers_is_accused():
    assert not any(flagged(detect_in_ratings(honest(1, 50, 8)))[0])
    few = honest(3, 7, 9)
    few[0] = 6 - few[1]
    assert flagged(detect_in_ratings(few)) == [[], [], []]
    assert detect_in_ratings(np.empty((0, 5))) == ()
    assert flagged(detect_in_ratings(np.full((3, 30), 4.0))) == [[], [], []]  # that all say the same is no carelessness
    assert flagged(detect_in_comparisons(Comparisons.of([], [], [], ("a", "b")))) == [[]]


def test_holms_steps_stop_at_the_first_that_is_not_small_enough():
    assert holm([0.03, 0.01, 0.04], 0.05) == [False, True, False]  # 0.05 / 3, 0.05 / 2: 0.03 is above
    assert holm([0.02, 0.01, 0.04], 0.05) == [True, True, True]
    assert holm([], 0.05) == []


def test_whoever_looks_worst_is_left_out_first():
    asked = []

    def negative(left_out):
        asked.append(sorted(left_out))
        return {} if "a" in left_out else {"a": -0.9, "b": -0.3}

    assert one_by_one(negative) == {"a"} and asked == [[], ["a"]]


def test_a_shift_is_told_in_its_standard_errors():
    distance = np.array([0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0])
    shift, in_errors = shift_between_halves(distance)
    assert shift == 2.0 and in_errors == pytest.approx(2.0 / np.sqrt(2 * (1 / 3) / 4))
    assert shift_between_halves(np.repeat([0.0, 1.0], 4)) == (1.0, np.inf)
    assert shift_between_halves(np.zeros(8)) == (0.0, 0.0) and shift_between_halves(np.zeros(7)) == (None, 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: detect_in_ratings([1, 2]), r"ratings must be \[people, units\]"),
        (lambda: detect_in_ratings([[1, 2]], ["a", "b"]), "annotators must be 1 names, one for each row of ratings, got 2"),
        (lambda: detect_in_ratings([[1, 2]], error_rate=0.0), "error_rate must be above 0 and below 1, got 0.0"),
    ],
)
def test_what_is_no_table_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
