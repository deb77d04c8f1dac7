"""Test Bradley and Terry's model: its gradient, what it recovers, its edges, and another library's scores of the same comparisons."""

import numpy as np
import pytest

from feedback.aggregation.bradley_terry import fit_bradley_terry, log_posterior, sigmoid
from feedback.aggregation.opinions import Comparisons

PRIOR_SD = 1.5


def names(number):
    return tuple(f"item {each}" for each in range(number))


def drawn(num_items, num_comparisons, seed, nu=None):
    """Return true scores, and comparisons that follow them; with nu, some are ties."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0.0, PRIOR_SD, num_items)
    first = generator.integers(num_items, size=num_comparisons)
    second = (first + generator.integers(1, num_items, size=num_comparisons)) % num_items
    difference = scores[first] - scores[second]
    parts = np.stack([np.exp(difference / 2), np.exp(-difference / 2), np.full(num_comparisons, nu or 0.0)])
    sums = np.cumsum(parts / parts.sum(axis=0), axis=0)
    place = (generator.random(num_comparisons) > sums[:2]).sum(axis=0)
    return scores, Comparisons.of(first, second, np.array([1.0, 0.0, 0.5])[place], names(num_items))


@pytest.mark.parametrize("with_strength", [False, True])
def test_the_gradient_is_that_of_the_log_posterior(with_strength):
    generator = np.random.default_rng(0)
    _, given = drawn(6, 40, 1, nu=0.7)
    given = Comparisons.of(given.first, given.second, given.target, given.items, weight=generator.uniform(0.0, 3.0, 40))
    place = generator.normal(size=6 + with_strength)
    _, gradient = log_posterior(given, place, PRIOR_SD)
    step = 1e-5
    for number in range(len(place)):
        moved = np.eye(len(place))[number] * step
        slope = (log_posterior(given, place + moved, PRIOR_SD)[0] - log_posterior(given, place - moved, PRIOR_SD)[0]) / (2 * step)
        assert gradient[number] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_the_scores_are_where_the_gradient_is_zero_and_the_errors_are_those_of_its_slope(ties):
    _, given = drawn(7, 200, 2, nu=0.7)
    fitted = fit_bradley_terry(given, PRIOR_SD, ties)
    place = np.append(fitted.score, fitted.log_tie_strength) if ties == "davidson" else fitted.score
    value, gradient = log_posterior(given, place, PRIOR_SD)
    assert np.abs(gradient).max() < 1e-6
    assert value == pytest.approx(fitted.log_posterior, rel=1e-12)
    step, size = 1e-4, len(place)
    ahead = [log_posterior(given, place + step * row, PRIOR_SD)[1] for row in np.eye(size)]
    behind = [log_posterior(given, place - step * row, PRIOR_SD)[1] for row in np.eye(size)]
    covariance = np.linalg.inv(-(np.array(ahead) - np.array(behind)) / (2 * step))[:7, :7]
    centring = np.eye(7) - 1 / 7
    assert fitted.standard_error == pytest.approx(np.sqrt(np.diag(centring @ covariance @ centring)), rel=1e-5)


def test_what_three_items_are_worth_is_what_the_likelihood_says_and_not_where_two_steps_end():
    # every number of wins is what scores of 0, log 3 and log 9 would give: a wide prior must find them
    worth = np.array([1.0, 3.0, 9.0])
    pairs = [(0, 1), (0, 2), (1, 2)]
    given = Comparisons.of([a for a, _ in pairs], [b for _, b in pairs], [worth[a] / (worth[a] + worth[b]) for a, b in pairs], names(3))
    fitted = fit_bradley_terry(given, prior_sd=1e4)
    assert fitted.score == pytest.approx(np.log(worth) - np.log(worth).mean(), abs=1e-6)


def test_another_library_gives_the_same_scores():
    choix = pytest.importorskip("choix")
    _, given = drawn(30, 900, 3)
    won = given.target == 1.0
    data = np.stack([np.where(won, given.first, given.second), np.where(won, given.second, given.first)], axis=1)
    theirs = choix.opt_pairwise(30, [tuple(map(int, row)) for row in data], alpha=PRIOR_SD**-2 / 2, method="Newton-CG", tol=1e-10)
    assert fit_bradley_terry(given, PRIOR_SD).score == pytest.approx(theirs - theirs.mean(), abs=1e-5)


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_intervals_hold_the_true_scores_as_often_as_they_say(ties):
    inside, total = 0, 0
    for seed in range(40):
        scores, given = drawn(12, 300, 100 + seed, nu=0.6 if ties == "davidson" else None)
        low, high = fit_bradley_terry(given, PRIOR_SD, ties).interval.T
        centred = scores - scores.mean()
        inside += int(((low <= centred) & (centred <= high)).sum())
        total += 12
    assert abs(inside / total - 0.95) < 0.035  # three standard errors of 480 draws are 0.03; those of one fit hang together


def test_the_strength_of_ties_is_found_again():
    _, given = drawn(10, 20_000, 4, nu=0.6)
    assert fit_bradley_terry(given, PRIOR_SD, "davidson").log_tie_strength == pytest.approx(np.log(0.6), abs=0.07)  # three errors


def test_a_cycle_gives_equal_scores():
    fitted = fit_bradley_terry(Comparisons.of([0, 1, 2], [1, 2, 0], [1.0] * 3, names(3)))
    assert fitted.score == pytest.approx(np.zeros(3), abs=1e-9)


def test_contradictions_and_ties_give_equal_scores_and_more_of_them_smaller_errors():
    once = fit_bradley_terry(Comparisons.of([0, 0], [1, 1], [1.0, 0.0], names(2)))
    often = fit_bradley_terry(Comparisons.of([0] * 20, [1] * 20, [1.0, 0.0] * 10, names(2)))
    tied = fit_bradley_terry(Comparisons.of([0, 1], [1, 0], [0.5, 0.5], names(2)))
    assert once.score == pytest.approx([0.0, 0.0], abs=1e-9) and tied.score == pytest.approx(once.score, abs=1e-9)
    assert often.standard_error[0] < once.standard_error[0]


def test_an_item_that_never_lost_has_a_finite_score():
    for prior_sd in (2.0, 10.0, 100.0):
        fitted = fit_bradley_terry(Comparisons.of([0] * 50, [1] * 50, [1.0] * 50, names(2)), prior_sd)
        lead = 2 * fitted.score[0]
        assert 50 * sigmoid(-lead) == pytest.approx(fitted.score[0] / prior_sd**2, abs=1e-6)  # the slope of the posterior is 0
        assert np.isfinite(fitted.interval).all() and lead > 3.0


def test_items_that_no_chain_joins_are_reported_and_not_compared():
    fitted = fit_bradley_terry(Comparisons.of([4, 1, 2], [0, 2, 3], [1.0, 1.0, 1.0], names(6)))
    assert fitted.component.tolist() == [0, 1, 1, 1, 0, 5]
    assert fitted.num_components == 3
    assert np.isnan(fitted.probability([0, 5], [1, 0])).all()
    assert fitted.probability(4, 0) == pytest.approx(sigmoid(fitted.score[4] - fitted.score[0]))
    assert np.isnan(fitted.standard_error).tolist() == [False] * 5 + [True]
    for members in ([0, 4], [1, 2, 3]):
        assert fitted.score[members].sum() == pytest.approx(0.0, abs=1e-8)


def test_a_long_chain_is_one_component_in_whatever_order():
    order = np.random.default_rng(5).permutation(2000)
    shuffled = np.random.default_rng(6).permutation(1999)
    given = Comparisons.of(order[:-1][shuffled], order[1:][shuffled], np.ones(1999), names(2000))
    assert fit_bradley_terry(given, has_errors=False).num_components == 1


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_a_part_of_its_own_is_scored_as_if_the_others_were_not_there(ties):
    _, one = drawn(5, 60, 7)
    _, other = drawn(4, 50, 8)
    both = Comparisons.of(
        np.append(one.first, 5 + other.first), np.append(one.second, 5 + other.second), np.append(one.target, other.target), names(9)
    )
    together = fit_bradley_terry(both, PRIOR_SD, ties)
    if ties == "half":
        parts = [fit_bradley_terry(part, PRIOR_SD) for part in (one, other)]
        assert together.score == pytest.approx(np.concatenate([part.score for part in parts]), abs=1e-7)
        assert together.standard_error == pytest.approx(np.concatenate([part.standard_error for part in parts]), rel=1e-6)
    assert together.score[:5].sum() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_numbering_the_items_otherwise_and_turning_comparisons_round_change_nothing(ties):
    _, given = drawn(8, 150, 9, nu=0.5)
    order = np.random.default_rng(10).permutation(8)
    turned = np.random.default_rng(11).random(150) < 0.5
    first, second = order[given.first], order[given.second]
    target = np.where(turned, 1.0 - given.target, given.target)
    again = Comparisons.of(np.where(turned, second, first), np.where(turned, first, second), target, names(8))
    before, after = fit_bradley_terry(given, PRIOR_SD, ties), fit_bradley_terry(again, PRIOR_SD, ties)
    assert after.score[order] == pytest.approx(before.score, abs=1e-7)
    assert after.standard_error[order] == pytest.approx(before.standard_error, rel=1e-6)


def test_a_weight_of_three_is_three_comparisons_and_one_of_zero_joins_nothing():
    weighted = fit_bradley_terry(Comparisons.of([0, 1, 2], [1, 0, 0], [1.0, 1.0, 1.0], names(3), weight=[3, 1, 0]))
    repeated = fit_bradley_terry(Comparisons.of([0, 0, 0, 1], [1, 1, 1, 0], [1.0] * 4, names(3)))
    assert weighted.score == pytest.approx(repeated.score, abs=1e-8)
    assert weighted.component.tolist() == [0, 0, 2]


def test_nothing_said_leaves_every_item_at_zero_and_alone():
    fitted = fit_bradley_terry(Comparisons.of([], [], [], names(3)))
    assert fitted.score.tolist() == [0.0] * 3 and fitted.num_components == 3
    assert fit_bradley_terry(Comparisons.of([], [], [], ())).score.shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior_sd": 0.0}, "prior_sd must be finite and positive, and tolerance positive, got 0.0"),
        ({"ties": "drop"}, "ties must be one of half, davidson, got 'drop'"),
        ({"ties": "davidson"}, r"needs targets of 0, 0.5 or 1, got 0.3 in comparison 0: take ties='half'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit_bradley_terry(Comparisons.of([0], [1], [0.3], names(2)), **options)
