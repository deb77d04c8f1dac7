import json

import numpy as np
import pytest

from benchmarks.measure import Measurement, in_turn, median, ratio_of_medians, timed, write_json


def test_a_ratio_is_that_of_the_medians_and_not_the_median_of_ratios():
    assert ratio_of_medians([9.0, 4.0, 5.0], [1.0, 2.0, 4.0]).value == 5 / 2


def test_what_disturbs_both_sides_of_a_round_does_not_widen_the_interval():
    disturbance = np.random.default_rng(0).uniform(1, 10, size=9)
    together = ratio_of_medians(2 * disturbance, disturbance)
    assert (together.low, together.value, together.high) == (2.0, 2.0, 2.0)
    apart = ratio_of_medians(2 * disturbance, disturbance[::-1])
    assert apart.low < 2.0 < apart.high


def test_an_interval_of_one_round_is_its_value():
    assert ratio_of_medians([3.0], [2.0]) == Measurement(1.5, "ratio", 1.5, 1.5, 1)
    assert median([3.0], "s") == Measurement(3.0, "s", 3.0, 3.0, 1)


def test_an_interval_holds_the_true_ratio_nearly_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        ours, theirs = rng.lognormal(0, 0.3, size=(2, 15))
        figure = ratio_of_medians(theirs * 3, ours)
        assert figure.low <= figure.value <= figure.high
        held += figure.low <= 3 <= figure.high
    assert held >= 0.9 * 200  # a percentile bootstrap of 15 rounds covers a little less than 95 %


def test_a_figure_is_the_same_whenever_it_is_computed_from_the_same_rounds():
    costs = np.random.default_rng(0).uniform(1, 2, size=40)
    assert median(costs, "s") == median(costs, "s")


@pytest.mark.parametrize("costs", [[], [0.0], [1.0, -1.0], [float("nan")], [[1.0]]])
def test_a_cost_that_nobody_can_have_measured_is_refused(costs):
    with pytest.raises(ValueError, match="measured at least once and be positive"):
        median(costs, "s")


def test_sides_with_different_numbers_of_rounds_are_refused():
    with pytest.raises(ValueError, match="one value per round, got 2 and 1"):
        ratio_of_medians([1.0, 2.0], [1.0])


def test_works_take_turns_and_none_always_comes_first():
    order: list[str] = []

    def work(name):
        return lambda: (order.append(name), float(len(order)))[1]

    costs = in_turn({"a": work("a"), "b": work("b")}, rounds=2)
    assert order == ["a", "b", "b", "a", "a", "b"]  # the first two warm up
    assert costs["a"].tolist() == [4.0, 5.0]
    assert costs["b"].tolist() == [3.0, 6.0]


def test_at_least_one_round_is_measured():
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        in_turn({"a": lambda: 1.0}, rounds=0)


def test_timed_work_is_done_once_and_returns_seconds():
    done: list[int] = []
    run = timed(lambda: done.append(1))
    assert not done
    assert 0 < run() < 60
    assert done == [1]


def test_json_is_one_flat_object_of_figures(tmp_path):
    path = tmp_path / "new" / "figures.json"
    write_json({"speed": Measurement(1.0, "ratio", 0.9, 1.1, 5)}, path)
    assert json.loads(path.read_text()) == {"speed": {"value": 1.0, "unit": "ratio", "low": 0.9, "high": 1.1, "n": 5}}
