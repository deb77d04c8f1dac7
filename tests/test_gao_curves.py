"""Test the curves of over-optimisation, and the best of n, against their formulas and against listing all cases."""

from itertools import combinations, product

import numpy as np
import pytest

from agents.learning.best_of_n import best_of_n_kl_bound
from benchmarks.best_of_pool import exact_best_of_n, kl_nats, pool_best_of_n
from benchmarks.gao_curves import GaoCurve, fit_gao_curve

KL = np.linspace(0.0, 9.0, 40)


@pytest.mark.parametrize("method", ["best_of_n", "rl"])
def test_the_coefficients_of_a_curve_are_found_again(method):
    fitted = fit_gao_curve(KL, GaoCurve(method, 1.3, 0.4, 0.0).at(KL), method)
    assert (fitted.a, fitted.b, fitted.residual) == pytest.approx((1.3, 0.4, 0.0), abs=1e-12)


@pytest.mark.parametrize("method", ["best_of_n", "rl"])
def test_the_peak_is_where_the_curve_is_highest(method):
    curve = GaoCurve(method, 0.5, 0.3, 0.0)
    fine = np.linspace(0.0, 20.0, 2_000_001)
    values = curve.at(fine)
    assert curve.peak_kl == pytest.approx(fine[values.argmax()], abs=1e-4)
    assert curve.peak == pytest.approx(values.max(), abs=1e-9)


def test_a_curve_that_never_turns_down_has_no_peak():
    for method in ("best_of_n", "rl"):
        rising = fit_gao_curve(KL, np.sqrt(KL), method)  # b = 0 up to rounding
        assert rising.b == pytest.approx(0.0, abs=1e-12)
        assert GaoCurve(method, 1.0, -0.1, 0.0).peak is None
    assert GaoCurve("best_of_n", -1.0, 0.1, 0.0).peak is None
    assert GaoCurve("rl", 1.0, 1e-6, 0.0).peak is None


def test_points_without_weight_do_not_count():
    score = GaoCurve("rl", 1.0, 0.5, 0.0).at(KL)
    spoilt = score + np.where(np.arange(len(KL)) % 2, 5.0, 0.0)
    fitted = fit_gao_curve(KL, spoilt, "rl", weight=1 - np.arange(len(KL)) % 2)
    assert (fitted.a, fitted.b) == pytest.approx((1.0, 0.5), abs=1e-12)


@pytest.mark.parametrize(
    ("kl", "score", "message"),
    [([0.0, 1.0], [0.0, 1.0], "two different distances"), ([-1.0, 1.0], [0, 1], "at least 0 nats"), ([1.0, 2.0], [0, np.nan], "finite")],
)
def test_points_from_which_no_curve_follows_are_refused(kl, score, message):
    with pytest.raises(ValueError, match=message):
        fit_gao_curve(kl, score, "rl")


def test_the_best_of_a_pool_is_the_mean_over_every_choice_of_n():
    generator = np.random.default_rng(0)
    choosing, worth = generator.normal(size=(2, 7)), generator.normal(size=(2, 7))
    found = pool_best_of_n(choosing, worth, [1, 2, 3, 7])
    for row in range(2):
        for place, n in enumerate((1, 2, 3, 7)):
            listed = [worth[row, max(drawn, key=lambda at: choosing[row, at])] for drawn in combinations(range(7), n)]
            assert found[place, row] == pytest.approx(np.mean(listed), abs=1e-12)


def test_responses_that_are_chosen_alike_share_their_worth():
    assert pool_best_of_n(np.zeros((1, 4)), np.array([[0.0, 1.0, 2.0, 9.0]]), [3])[0, 0] == pytest.approx(3.0)


def test_the_exact_best_of_n_is_the_mean_over_every_sequence_of_draws():
    probabilities, choosing = np.array([0.1, 0.4, 0.3, 0.2]), np.array([2.0, 1.0, 1.0, 3.0])
    expected = np.zeros(4)
    for drawn in product(range(4), repeat=3):
        best = [at for at in drawn if choosing[at] == choosing[list(drawn)].max()]
        for at in best:
            expected[at] += probabilities[list(drawn)].prod() / len(best)
    assert exact_best_of_n(probabilities, choosing, 3) == pytest.approx(expected, abs=1e-12)


def test_the_distance_of_the_best_of_n_is_the_formula_where_nothing_is_tied():
    generator = np.random.default_rng(1)
    reference, choosing = np.full(20_000, 1 / 20_000), generator.normal(size=20_000)
    for n in (1, 2, 8, 64):
        assert kl_nats(exact_best_of_n(reference, choosing, n), reference) == pytest.approx(best_of_n_kl_bound(n), abs=2e-3)
    tied = np.round(choosing)
    assert kl_nats(exact_best_of_n(reference, tied, 8), reference) < best_of_n_kl_bound(8) - 0.1


def test_a_distance_from_a_reference_that_rules_the_response_out_is_infinite_and_refused():
    with pytest.raises(ValueError, match="infinite"):
        kl_nats(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    assert kl_nats(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
