"""Hold what is said about a reward model's trustworthiness to definitions and to known cases."""

from __future__ import annotations

from itertools import combinations
from math import log

import numpy as np
import pytest

from feedback.aggregation.opinions import Comparisons
from feedback.learned.calibration import (
    accuracy,
    agreement_ceiling,
    brier_score,
    calibration_error,
    calibration_of,
    fitted_temperature,
    log_loss_nats,
)


def drawn(number=20_000, seed=0, scale=1.0):
    """Return differences whose preferences were drawn by sigma(scale * difference)."""
    generator = np.random.default_rng(seed)
    difference = generator.normal(size=number) * 2
    return difference, (generator.random(number) < 1 / (1 + np.exp(-scale * difference))).astype(float), np.ones(number)


def test_a_constant_model_is_right_half_of_the_time_whichever_text_comes_first():
    for target in (np.ones(9), np.zeros(9), np.array([1.0, 0.5, 0.0])):
        assert accuracy(np.zeros(len(target)), target).value == 0.5


def test_ties_of_people_are_no_part_of_the_accuracy_and_alone_leave_it_undefined():
    difference, target = np.array([1.0, -1.0, 1.0, 3.0]), np.array([1.0, 0.5, 0.0, 0.5])
    assert accuracy(difference, target).value == 0.5
    assert accuracy(difference[[1, 3]], target[[1, 3]]) == (None, None, None)


def test_the_figures_of_a_constant_model_are_those_of_a_coin():
    zero, target, weight = np.zeros(4), np.array([1.0, 0.0, 1.0, 1.0]), np.ones(4)
    assert log_loss_nats(zero, target, weight) == pytest.approx(log(2))
    assert brier_score(zero, target, weight) == 0.25
    assert calibration_error(zero, target, weight) == 0.0  # each counts in both orders: a coin is calibrated


def test_probabilities_that_hold_have_no_calibration_error_and_exaggerated_ones_have():
    difference, target, weight = drawn()
    assert calibration_error(difference, target, weight) < 0.02
    assert calibration_error(4 * difference, target, weight) > 0.1


def test_calibration_does_not_depend_on_which_text_is_called_the_first():
    difference, target, weight = drawn(500)
    turn = np.where(np.arange(500) % 3 == 0, -1.0, 1.0)
    turned = difference * turn, np.where(turn < 0, 1 - target, target)
    for figure in (log_loss_nats, brier_score, calibration_error):
        assert figure(*turned, weight) == pytest.approx(figure(difference, target, weight), abs=1e-12)
    always_better = np.abs(difference), np.ones(500)
    assert calibration_error(*always_better, weight) == pytest.approx(calibration_error(-always_better[0], np.zeros(500), weight))


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_the_temperature_that_answers_were_drawn_by_is_found_again(scale):
    difference, target, weight = drawn(scale=scale)
    found = fitted_temperature(difference, target, weight)
    assert found == pytest.approx(1 / scale, rel=0.06)
    losses = [log_loss_nats(difference / temperature, target, weight) for temperature in (found, found * 1.05, found / 1.05)]
    assert losses[0] == min(losses)


def test_too_few_comparisons_leave_the_temperature_alone_and_a_model_worse_than_chance_is_cooled_out():
    difference, target, weight = drawn(29)
    assert fitted_temperature(difference, target, weight) == 1.0
    assert fitted_temperature(np.zeros(50), np.ones(50), np.ones(50)) == 1.0
    difference, target, weight = drawn()
    assert fitted_temperature(-difference, target, weight) == pytest.approx(100.0)


def test_a_model_that_is_right_on_a_few_is_not_called_sure_of_everything():
    """Of n equal differences, all right, and one imagined tie, the share n + 1/2 of n + 1 is right: 1 / T = ln((n + 1/2) / (1/2))."""
    for number in (30, 100):
        found = fitted_temperature(np.ones(number), np.ones(number), np.full(number, 3.0))
        assert found == pytest.approx(1 / log(2 * number + 1), rel=1e-9)


def answers(number=40, people=5, agreement=0.8, seed=0):
    generator = np.random.default_rng(seed)
    rows = [(2 * pair, 2 * pair + 1, float(generator.random() < agreement), who) for pair in range(number) for who in range(people)]
    first, second, target, annotator = (np.array(column) for column in zip(*rows, strict=True))
    names = tuple(map(str, range(2 * number)))
    return Comparisons.of(first, second, target, names, annotator, tuple(f"ann{who}" for who in range(people)))


def test_the_ceiling_is_how_often_two_people_agree():
    said = answers()
    table = said.target.reshape(40, 5)
    expected = np.mean([table[pair, one] == table[pair, other] for pair in range(40) for one, other in combinations(range(5), 2)])
    found = agreement_ceiling(said)
    assert found.value == pytest.approx(expected)
    shares = [agreement_ceiling(answers(seed=seed)).value for seed in range(200)]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(shares), rel=0.4)


def test_the_ceiling_does_not_depend_on_sides_and_a_person_does_not_agree_with_themselves():
    said = answers()
    turned = Comparisons.of(said.second, said.first, 1 - said.target, said.items, said.annotator, said.annotators)
    assert agreement_ceiling(turned) == agreement_ceiling(said)
    mixed = said.take(np.repeat(np.arange(200), 2))
    assert agreement_ceiling(mixed) == agreement_ceiling(said)


def test_without_two_people_on_one_pair_the_ceiling_is_unknown():
    assert agreement_ceiling(answers(people=1)) == (None, None, None)
    ties = answers(people=2)
    ties = Comparisons.of(ties.first, ties.second, np.full(80, 0.5), ties.items, ties.annotator, ties.annotators)
    assert agreement_ceiling(ties) == (None, None, None)


def test_length_and_place_are_probed_beside_the_model():
    lengths = np.array([10.0, 20.0, 30.0, 40.0])
    said = Comparisons.of([1, 2, 3, 0], [0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0], ("a", "b", "c", "d"), shown_first=[1, 1, -1, 0])
    found = calibration_of(lengths * 0.1, lengths, said)
    assert found.longer.value == found.accuracy.value == 0.75
    assert found.shown_first.value == pytest.approx(2 / 3)
    assert found.length_correlation.value == pytest.approx(1.0)
    blind = calibration_of(np.array([0.0, 1.0, 1.0, 0.0]), lengths, said)
    assert blind.length_correlation.value == pytest.approx(0.0, abs=1e-12)


def test_nothing_held_out_has_no_figures():
    said = Comparisons.of([0], [1], [1.0], ("a", "b")).take(np.arange(0))
    found = calibration_of(np.zeros(2), np.ones(2), said)
    assert found.num_comparisons == 0 and found.accuracy.value is None and found.brier is None
