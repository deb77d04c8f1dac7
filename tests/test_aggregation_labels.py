"""Test what majorities, Dawid and Skene's model and MACE make of labels: recovery, likelihood that never falls, ties, and the edges."""

from collections import Counter

import numpy as np
import pytest

from feedback.aggregation.dawid_skene import fit_dawid_skene
from feedback.aggregation.mace import fit_mace
from feedback.aggregation.majority import majority
from feedback.aggregation.opinions import Labels

METHODS = {
    "majority": lambda labels: majority(labels).posterior,
    "dawid-skene": lambda labels: fit_dawid_skene(labels).posterior,
    "mace": lambda labels: fit_mace(labels).posterior,
}
every_method = pytest.mark.parametrize("method", METHODS)


def names(kind, number):
    return tuple(f"{kind}{each:04}" for each in range(number))


def table(rows, num_classes=2):
    """Make labels of [people, units] class numbers; -1 where nothing was said."""
    rows = np.asarray(rows)
    annotator, unit = np.nonzero(rows >= 0)
    return Labels(annotator, unit, rows[annotator, unit], names("k", len(rows)), names("u", rows.shape[1]), names("c", num_classes))


def drawn(confusion, num_units, seed, share_answered=1.0):
    """Return true classes, and labels by people of given confusion matrices."""
    generator, confusion = np.random.default_rng(seed), np.asarray(confusion)
    num_classes = confusion.shape[1]
    truth = generator.integers(num_classes, size=num_units)
    rows = np.array([(generator.random((num_units, 1)) > np.cumsum(each[truth], axis=1)[:, :-1]).sum(axis=1) for each in confusion])
    return truth, table(np.where(generator.random(rows.shape) < share_answered, rows, -1), num_classes)


def symmetric(accuracy, num_classes=3):
    return np.full((num_classes, num_classes), (1 - accuracy) / (num_classes - 1)) + np.eye(num_classes) * (
        accuracy - (1 - accuracy) / (num_classes - 1)
    )


def test_dawid_and_skenes_confusions_are_found_again():
    confusion = [symmetric(0.9), symmetric(0.7), [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7], [0.0, 0.6, 0.4]], symmetric(0.8)]
    truth, labels = drawn(confusion, 4000, 0)
    fitted = fit_dawid_skene(labels)
    assert np.abs(fitted.confusion - confusion).max() < 0.05  # about three standard errors of 1,300 units of a class, and their doubt
    assert np.abs(fitted.prevalence - 1 / 3).max() < 0.03
    met = [(row.posterior.label == truth).mean() for row in (fitted, majority(labels))]
    assert met[0] > met[1] + 0.005
    assert fitted.posterior.reliability == pytest.approx(np.trace(confusion, axis1=1, axis2=2) / 3, abs=0.03)


@pytest.mark.slow
def test_who_looks_and_what_others_say_without_looking_is_found_again():
    competence, habit = np.array([0.9, 0.7, 0.5, 0.05]), np.array([[0.2, 0.8], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9]])
    confusion = competence[:, None, None] * np.eye(2) + (1 - competence[:, None, None]) * habit[:, None, :]
    truth, labels = drawn(confusion, 6000, 1)
    fitted = fit_mace(labels)
    assert fitted.competence == pytest.approx(competence, abs=0.06)
    assert fitted.habit[2:, 0] == pytest.approx(habit[2:, 0], abs=0.05)
    assert (fitted.posterior.label == truth).mean() >= (majority(labels).winner == truth).mean()


@pytest.mark.slow
def test_a_probability_is_as_often_right_as_it_says():
    truth, labels = drawn([symmetric(accuracy, 2) for accuracy in (0.9, 0.8, 0.7, 0.7, 0.6)], 4000, 2)
    for method in ("dawid-skene", "mace"):
        found = METHODS[method](labels)
        sure, right = found.probability.max(axis=1), found.label == truth
        for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
            within = (sure >= low) & (sure < high)
            assert within.sum() > 300
            assert right[within].mean() == pytest.approx(sure[within].mean(), abs=0.05)


@pytest.mark.parametrize("method", ["dawid-skene", "mace"])
@pytest.mark.parametrize("seed", range(3))
def test_the_log_posterior_never_falls(method, seed):
    _, labels = drawn([symmetric(0.9), symmetric(0.4), symmetric(0.34), symmetric(0.6)], 60, 10 + seed, share_answered=0.6)
    history = np.array(METHODS[method](labels).history)
    assert len(history) > 3 and (np.diff(history) >= -1e-9).all()


def test_the_posterior_is_the_products_of_bayes_rule():
    _, labels = drawn([symmetric(0.8), symmetric(0.7)], 30, 3, share_answered=0.8)
    fitted = fit_dawid_skene(labels)
    for unit in range(30):
        odds = fitted.prevalence.copy()
        for annotator, label in zip(labels.annotator[labels.unit == unit], labels.label[labels.unit == unit], strict=True):
            odds *= fitted.confusion[annotator, :, label]
        assert fitted.posterior.probability[unit] == pytest.approx(odds / odds.sum(), abs=1e-9)


def test_confusions_and_shares_are_the_counts_that_the_posterior_expects_and_the_priors():
    _, labels = drawn([symmetric(0.8), symmetric(0.6)], 25, 12, share_answered=0.8)
    fitted = fit_dawid_skene(labels, smoothing=0.2, diagonal=0.7, tolerance=1e-12)
    belief = fitted.posterior.probability
    confusion = 0.2 + 0.7 * np.tile(np.eye(3), (2, 1, 1))
    for annotator, unit, label in zip(labels.annotator, labels.unit, labels.label, strict=True):
        for true in range(3):
            confusion[annotator, true, label] += belief[unit, true]
    assert fitted.confusion == pytest.approx(confusion / confusion.sum(axis=2, keepdims=True), abs=1e-9)
    assert fitted.prevalence == pytest.approx((belief.sum(axis=0) + 0.2) / (25 + 0.6), abs=1e-9)


def test_classes_keep_their_names_however_the_search_begins():
    _, labels = drawn([symmetric(0.85), symmetric(0.8), symmetric(0.75)], 300, 4)
    usual = fit_dawid_skene(labels)
    for order in ([1, 2, 0], [2, 1, 0]):
        turned = fit_dawid_skene(labels, start=majority(labels).posterior.probability[:, order])
        assert turned.posterior.probability == pytest.approx(usual.posterior.probability, abs=1e-4)


def test_several_starts_leave_the_saddle_between_two_camps_where_one_start_stays():
    camp = np.arange(40) % 2
    labels = table([camp, camp, 1 - camp, 1 - camp])
    lone, found = (fit_mace(labels, restarts=number) for number in (1, 10))
    assert lone.posterior.probability == pytest.approx(np.full((40, 2), 0.5))
    assert found.posterior.history[-1] > lone.posterior.history[-1] + 1.0
    assert found.posterior.probability.max(axis=1).min() > 0.9
    one, other = fit_mace(labels, seed=7), fit_mace(labels, seed=7)
    assert np.array_equal(one.posterior.probability, other.posterior.probability)


@every_method
def test_when_all_agree_the_classes_are_theirs_and_everybody_is_reliable(method):
    rows = np.tile(np.arange(40) % 2, (3, 1))
    found = METHODS[method](table(rows))
    assert found.label.tolist() == rows[0].tolist()
    assert found.reliability.min() > 0.9 and np.isfinite(found.probability).all()


@every_method
def test_one_class_is_all_that_is_said(method):
    found = METHODS[method](table(np.zeros((3, 20), int)))
    assert found.label.tolist() == [0] * 20
    assert np.isfinite(found.reliability).all()


@every_method
def test_one_annotator_is_believed(method):
    rows = np.array([[0, 1, 1, 0, 1, 0, 0]])
    found = METHODS[method](table(rows))
    assert found.label.tolist() == rows[0].tolist()
    assert np.isnan(found.reliability).all() == (method == "majority")  # nobody else says how reliable


@every_method
def test_a_class_that_was_never_seen_is_possible_but_never_the_most_probable(method):
    _, labels = drawn([symmetric(0.9, 2), symmetric(0.8, 2), symmetric(0.8, 2)], 100, 6)
    wider = Labels(labels.annotator, labels.unit, labels.label, labels.annotators, labels.units, (*labels.classes, "never"))
    found = METHODS[method](wider)
    assert found.probability.shape == (100, 3) and found.label.max() == 1
    assert np.isfinite(found.probability).all() and found.probability.sum(axis=1) == pytest.approx(np.ones(100))


@every_method
def test_units_and_people_without_answers_have_what_is_known_in_general(method):
    found = METHODS[method](table([[0, 1, -1, 1], [0, 1, -1, 0], [-1, -1, -1, -1]]))
    assert found.probability[2].min() > 0 and found.probability[2].sum() == pytest.approx(1.0)
    assert np.isnan(found.reliability[2]) == (method == "majority")
    nothing = METHODS[method](table(np.full((2, 3), -1)))
    assert nothing.probability == pytest.approx(np.full((3, 2), 0.5))


@every_method
def test_the_order_of_answers_people_and_units_does_not_matter(method):
    _, labels = drawn([symmetric(0.9), symmetric(0.6), symmetric(0.8)], 50, 8, share_answered=0.8)
    generator = np.random.default_rng(9)
    rows, people, units = generator.permutation(labels.num_answers), np.array([2, 0, 1]), generator.permutation(50)
    again = Labels(
        people[labels.annotator[rows]],
        units[labels.unit[rows]],
        labels.label[rows],
        tuple(labels.annotators[number] for number in np.argsort(people)),
        tuple(labels.units[number] for number in np.argsort(units)),
        labels.classes,
    )
    one, other = METHODS[method](labels), METHODS[method](again)
    assert other.probability[units] == pytest.approx(one.probability, abs=1e-6)
    assert other.reliability[people] == pytest.approx(one.reliability, abs=1e-6)


def test_a_tie_is_broken_by_the_seed_and_the_names_and_by_nothing_else():
    rows = np.tile([[0], [1]], (1, 400))
    first = majority(table(rows), seed=1)
    assert first.is_tied.all() and 160 < (first.winner == 0).sum() < 240  # four standard errors of a coin
    assert np.array_equal(first.winner, majority(table(rows[::-1]), seed=1).winner)
    assert np.array_equal(first.winner[:10], majority(table(rows[:, :10]), seed=1).winner)
    assert not np.array_equal(first.winner, majority(table(rows), seed=2).winner)
    assert majority(table(rows), ties="none").winner.tolist() == [-1] * 400
    three = Counter(majority(table(np.tile([[0], [1], [2]], (1, 300)), 3)).winner.tolist())
    assert set(three) == {0, 1, 2} and min(three.values()) > 65


def test_majority_counts_votes_and_measures_each_against_the_others():
    found = majority(table([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, -1], [-1, -1, -1, -1]]), ties="none")
    assert found.winner.tolist() == [0, 0, 1, 1]
    assert found.posterior.probability[1] == pytest.approx([2 / 3, 1 / 3])
    assert found.posterior.reliability[:3] == pytest.approx([(1 + 0.5 + 0.5 + 1) / 4, (1 + 0 + 0.5 + 1) / 4, (1 + 0.5 + 0) / 3])
    assert majority(table(np.full((1, 2), -1))).winner.tolist() == [-1, -1]


def test_the_expected_value_weighs_the_classes_by_their_probability():
    found = majority(table([[0, 1], [1, 1]])).posterior
    assert found.expected([-1.0, 3.0]) == pytest.approx([1.0, 3.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda labels: majority(labels, ties="first"), "ties must be one of random, none, got 'first'"),
        (lambda labels: fit_dawid_skene(labels, smoothing=0.0), "smoothing and tolerance must be positive"),
        (lambda labels: fit_dawid_skene(labels, start=np.ones((1, 2))), r"start must be probabilities of the shape \(2, 2\)"),
        (lambda labels: fit_mace(labels, restarts=0), "restarts at least 1, got 0.5, 1e-06 and 0"),
        (lambda labels: majority(table(np.full((1, 2), -1), 0)), "labels must have at least one class, got none"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(table([[0, 1], [1, 1]]))
