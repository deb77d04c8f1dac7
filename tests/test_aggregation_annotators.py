"""Test the model of who compares: its gradient, what it recovers, and what becomes of the blind, the inverted and the habitual."""

import numpy as np
import pytest

from feedback.aggregation.annotator_aware import AnnotatorPrior, Place, annotator_log_posterior, fit_annotator_aware
from feedback.aggregation.bradley_terry import sigmoid
from feedback.aggregation.opinions import Comparisons

PRIOR = AnnotatorPrior(score_sd=1.5)


def drawn(reliability, num_each, seed, num_items=15, habit=None):
    """Return true scores and comparisons by people of a given reliability; the rest is reversed, or by habit."""
    generator = np.random.default_rng(seed)
    annotator = np.repeat(np.arange(len(reliability)), num_each)
    scores, number = generator.normal(0.0, 1.5, num_items), len(annotator)
    first = generator.integers(num_items, size=number)
    second = (first + generator.integers(1, num_items, size=number)) % num_items
    shown = np.where(generator.random(number) < 0.5, 1, -1)
    beats = sigmoid(scores[first] - scores[second])
    other = 1 - beats if habit is None else sigmoid(np.asarray(habit)[annotator] * shown)
    g = np.asarray(reliability)[annotator]
    target = (generator.random(number) < g * beats + (1 - g) * other).astype(float)
    items, people = (
        tuple(f"{kind} {each}" for each in range(count)) for kind, count in (("item", num_items), ("person", len(reliability)))
    )
    return scores, Comparisons.of(first, second, target, items, annotator, people, shown_first=shown)


@pytest.mark.parametrize("otherwise", ["reversed", "position"])
def test_the_gradient_is_that_of_the_log_posterior_and_adds_up_over_all_answers_of_a_person(otherwise):
    _, given = drawn([0.9, 0.6, 0.2], 12, 0, num_items=5)
    generator = np.random.default_rng(1)
    target = np.where(generator.random(36) < 0.2, 0.5, given.target)
    given = Comparisons.of(
        given.first, given.second, target, given.items, given.annotator, given.annotators, generator.random(36), given.shown_first
    )
    flat = generator.normal(size=11)  # scores, log odds of the reliabilities, habits

    def at(values):
        return Place(values[:5], sigmoid(values[5:8]), values[8:] if otherwise == "position" else np.zeros(3))

    gradient = np.concatenate(annotator_log_posterior(given, at(flat), PRIOR, otherwise)[1])
    for number in range(11):
        ahead, behind = (
            annotator_log_posterior(given, at(flat + sign * 1e-5 * np.eye(11)[number]), PRIOR, otherwise)[0] for sign in (1, -1)
        )
        assert gradient[number] == pytest.approx((ahead - behind) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("otherwise", ["reversed", "position"])
def test_the_errors_are_those_of_the_slope_of_the_gradient(otherwise):
    habit = [0.0] * 4 if otherwise == "position" else None
    _, given = drawn([0.9, 0.7, 0.5, 0.8], 150, 2, num_items=6, habit=habit)
    fitted = fit_annotator_aware(given, PRIOR, otherwise)
    odds = np.log(fitted.reliability) - np.log1p(-fitted.reliability)
    flat = np.concatenate([fitted.items.score, odds])

    def slope(values):
        return np.concatenate(annotator_log_posterior(given, Place(values[:6], sigmoid(values[6:]), fitted.habit), PRIOR, otherwise)[1][:2])

    second = np.array([(slope(flat + 1e-4 * row) - slope(flat - 1e-4 * row)) / 2e-4 for row in np.eye(10)])
    covariance = np.linalg.inv(-second)
    centring = np.eye(6) - 1 / 6
    assert np.abs(slope(flat)).max() < 1e-3
    assert fitted.items.standard_error == pytest.approx(np.sqrt(np.diag(centring @ covariance[:6, :6] @ centring)), rel=1e-4)
    ends = np.log(fitted.reliability_interval) - np.log1p(-fitted.reliability_interval)
    assert (ends[:, 1] - ends[:, 0]) / 2 / 1.959963984540054 == pytest.approx(np.sqrt(np.diag(covariance)[6:]), rel=1e-4)


@pytest.mark.slow
def test_intervals_hold_the_true_scores_and_reliabilities_as_often_as_they_say():
    reliability, inside, inside_people = np.array([0.95, 0.85, 0.75, 0.65, 0.3]), 0, 0
    for seed in range(30):
        scores, given = drawn(reliability, 250, 100 + seed, num_items=10)
        fitted = fit_annotator_aware(given, PRIOR)
        low, high = fitted.items.interval.T
        centred = scores - scores.mean()
        inside += int(((low <= centred) & (centred <= high)).sum())
        inside_people += int(
            ((fitted.reliability_interval[:, 0] <= reliability) & (reliability <= fitted.reliability_interval[:, 1])).sum()
        )
    assert 0.90 <= inside / 300 <= 0.99
    assert 0.88 <= inside_people / 150 <= 1.0


def test_who_answers_blindly_counts_for_almost_nothing():
    _, given = drawn([0.95, 0.95, 0.95, 0.5], 1500, 3)
    fitted = fit_annotator_aware(given, PRIOR)
    assert abs(fitted.influence[3]) < 0.1 < 0.7 < fitted.influence[:3].min()
    without = fit_annotator_aware(given.take(given.annotator != 3), PRIOR)
    assert fitted.items.score == pytest.approx(without.items.score, abs=0.1)
    assert not fitted.is_inverted.any()


@pytest.mark.parametrize("policy", ["reverse", "drop"])
def test_who_turned_the_scale_round_is_found_and_used_reversed_or_dropped(policy):
    scores, given = drawn([0.95, 0.9, 0.9, 0.05], 400, 4)
    fitted = fit_annotator_aware(given, PRIOR, inverted=policy)
    assert fitted.is_inverted.tolist() == [False, False, False, True]
    assert fitted.reliability[3] < 0.2
    dropped = fit_annotator_aware(given.take(given.annotator != 3), PRIOR)
    if policy == "drop":
        assert fitted.influence[3] == 0.0
        assert fitted.items.score == pytest.approx(dropped.items.score, abs=1e-4)
    else:
        assert fitted.influence[3] < -0.6
        assert (fitted.items.standard_error < dropped.items.standard_error).all()
    assert np.corrcoef(fitted.items.score, scores)[0, 1] > 0.97


def test_who_takes_what_is_shown_first_is_found_by_their_habit():
    _, given = drawn([0.95, 0.95, 0.15], 800, 5, habit=[0.0, 0.0, 2.0])
    fitted = fit_annotator_aware(given, PRIOR, "position")
    assert fitted.reliability[2] < 0.3 < 0.8 < fitted.reliability[:2].min()
    assert 1.0 < fitted.habit[2] < 3.0
    assert not fitted.is_inverted.any()


@pytest.mark.parametrize("otherwise", ["reversed", "position"])
def test_the_log_posterior_never_falls(otherwise):
    _, given = drawn([0.9, 0.5, 0.3, 0.7], 200, 6, habit=None)
    history = np.array(fit_annotator_aware(given, PRIOR, otherwise).history)
    assert len(history) > 5 and (np.diff(history) >= -1e-9).all()


def test_neither_the_order_of_people_nor_that_of_answers_matters():
    _, given = drawn([0.9, 0.5, 0.2], 100, 7)
    order, people = np.random.default_rng(8).permutation(300), np.array([2, 0, 1])
    names = tuple(given.annotators[number] for number in np.argsort(people))
    again = Comparisons.of(given.first[order], given.second[order], given.target[order], given.items, people[given.annotator[order]], names)
    one, other = fit_annotator_aware(given, PRIOR), fit_annotator_aware(again, PRIOR)
    assert other.items.score == pytest.approx(one.items.score, abs=1e-6)
    assert other.reliability[people] == pytest.approx(one.reliability, abs=1e-6)


def test_without_errors_the_scores_are_the_same_and_nobody_is_called_inverted():
    _, given = drawn([0.95, 0.9, 0.1], 150, 9)
    full, quick = fit_annotator_aware(given, PRIOR), fit_annotator_aware(given, PRIOR, has_errors=False)
    assert np.array_equal(full.items.score, quick.items.score) and full.is_inverted.any() and not quick.is_inverted.any()
    assert np.isnan(quick.items.standard_error).all() and np.isnan(quick.reliability_interval).all()


def test_one_person_a_cycle_and_nothing_are_defined():
    one = fit_annotator_aware(Comparisons.of([0, 1, 2], [1, 2, 0], [1.0] * 3, ("a", "b", "c")))
    assert one.items.score == pytest.approx(np.zeros(3), abs=1e-6)
    nothing = fit_annotator_aware(Comparisons.of([], [], [], ("a", "b")))
    assert nothing.items.score.tolist() == [0.0, 0.0] and nothing.reliability == pytest.approx([0.75])
    assert not nothing.is_inverted.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda given: fit_annotator_aware(given, otherwise="noise"), "otherwise must be one of reversed, position, got 'noise'"),
        (lambda given: fit_annotator_aware(given, inverted="keep"), "inverted must be one of reverse, drop, got 'keep'"),
        (lambda given: fit_annotator_aware(given, otherwise="position"), "needs shown_first, which is 0 everywhere"),
        (lambda given: fit_annotator_aware(given, inverted="drop", has_errors=False), "inverted='drop' needs has_errors=True"),
        (lambda given: AnnotatorPrior(followed=2.0, otherwise=3.0), "followed must be above otherwise, and that above 1, got 2.0 and 3.0"),
        (lambda given: AnnotatorPrior(score_sd=-1.0), "score_sd and habit_sd must be finite and positive, got -1.0"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_way_out(make, message):
    with pytest.raises(ValueError, match=message):
        make(Comparisons.of([0], [1], [1.0], ("a", "b")))
