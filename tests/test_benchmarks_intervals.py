import math

import numpy as np
import pytest

from benchmarks.intervals import MOST_PAIRS, detectable, mean_interval, pairs_needed, t_quantile, t_within


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),  # printed tables of Student's t
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 10, 2.228), (0.975, 30, 2.042), (0.8, 9, 0.883)],
)
def test_quantiles_of_t_are_those_of_the_printed_tables(probability, degrees, expected):
    assert t_quantile(probability, degrees) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 11, 24, 101])
def test_the_probability_of_t_is_the_integral_of_its_density(degrees):
    grid = np.linspace(-1.7, 1.7, 20_001)
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    density = scale * (1 + grid**2 / degrees) ** (-(degrees + 1) / 2)
    assert t_within(1.7, degrees) == pytest.approx(float(((density[1:] + density[:-1]) / 2 * np.diff(grid)).sum()), abs=1e-8)


def test_with_many_degrees_t_is_normal():
    assert t_within(1.959964, 100_000) == pytest.approx(0.95, abs=1e-5)


def test_the_interval_of_three_values_is_that_of_the_formula():
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.mean, interval.deviation, interval.n) == (2.0, 1.0, 3)
    assert interval.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)
    assert 2.0 - interval.low == pytest.approx(interval.high - 2.0)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_95_percent_of_intervals_hold_the_truth(count):
    draws = np.random.default_rng(count).normal(0.3, 2.0, size=(4000, count))
    intervals = [mean_interval(values) for values in draws]
    assert np.mean([interval.low <= 0.3 <= interval.high for interval in intervals]) == pytest.approx(0.95, abs=0.012)


def test_the_bootstrap_of_three_values_misses_the_truth_far_more_often_than_it_says():
    random = np.random.default_rng(0)
    draws = random.normal(size=(2000, 3))
    means = draws[:, random.integers(3, size=(400, 3))].mean(axis=2)  # [experiments, resamples]
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.85


@pytest.mark.parametrize(("shift", "sign"), [(0.0, 0), (0.04, 0), (0.06, 1), (-0.44, 0), (-0.46, -1)])
def test_a_sign_is_told_where_the_interval_leaves_zero(shift, sign):
    # mean 0.2 + shift, deviation 0.1: the interval reaches 4.303 * 0.1 / sqrt(3) = 0.248 to both sides
    assert mean_interval(np.asarray([0.1, 0.2, 0.3]) + shift).sign == sign


def test_equal_values_have_an_interval_of_length_zero():
    interval = mean_interval([0.1] * 7)
    assert (interval.low, interval.mean, interval.high, interval.deviation, interval.sign) == (0.1, 0.1, 0.1, 0.0, 1)
    assert mean_interval([0.0, 0.0]).sign == 0


@pytest.mark.parametrize(("difference", "deviation"), [(1.5, 1.0), (1.0, 1.0), (-0.3, 0.5)])
def test_the_number_of_pairs_tells_in_80_percent_of_experiments_and_much_fewer_do_not(difference, deviation):
    needed = pairs_needed(difference, deviation)
    assert needed is not None

    def share_told(count):
        draws = np.random.default_rng(count).normal(difference, deviation, size=(8000, count))
        reach = t_quantile(0.975, count - 1) * draws.std(axis=1, ddof=1) / math.sqrt(count)
        return np.mean(np.sign(difference) * draws.mean(axis=1) > reach)

    assert 0.785 < share_told(needed) < 0.87  # one pair more or less is several percent where few are needed
    assert share_told(needed - 1) < 0.815
    assert share_told(max(2, needed // 2)) < 0.6


@pytest.mark.parametrize("ratio", [0.3, 0.5, 2.0, 20.0])
def test_the_number_of_pairs_is_the_first_that_detects_the_difference(ratio):
    slow = next(count for count in range(2, 500) if detectable(1.0, count) <= ratio)
    assert pairs_needed(ratio, 1.0) == slow
    assert pairs_needed(-ratio * 5, 5.0) == slow


def test_a_difference_of_nothing_is_never_told():
    assert pairs_needed(0.0, 1.0) is None
    assert pairs_needed(0.0, 0.0) is None
    assert pairs_needed(1e-6, 1.0) is None
    assert pairs_needed(1e-6, 0.0) == 2
    assert detectable(1.0, MOST_PAIRS) == pytest.approx((1.960 + 0.842) / 100, abs=1e-4)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, math.nan], [[1.0, 2.0]]])
def test_values_without_an_interval_are_refused(values):
    with pytest.raises(ValueError, match="an interval needs at least 2 finite values, got"):
        mean_interval(values)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"probability must be at least 0.5 and below 1, got 1"):
        t_quantile(1.0, 3)
    with pytest.raises(ValueError, match="degrees of freedom must be at least 1, got 0"):
        t_within(1.0, 0)
    with pytest.raises(ValueError, match="a paired test needs at least 2 pairs, got 1"):
        detectable(1.0, 1)
    with pytest.raises(ValueError, match=r"deviation at least 0, got 1\.0 and -1\.0"):
        pairs_needed(1.0, -1.0)
