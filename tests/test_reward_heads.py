"""Fit reward heads on fixed features: converged, right, alike for the same seed, and different within an ensemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from feedback.aggregation.opinions import Comparisons
from feedback.learned.conservative import combine, spread_variance
from feedback.learned.heads import VALUE_LOG_ODDS, Heads, Problem, Ratings, fit_heads


def drawn(num_items=200, num_comparisons=600, width=5, seed=0, lapse=0.0, truth=None, ties=0):
    """Return features, comparisons drawn by Bradley and Terry's model, and the weights that they were drawn by."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num_items, width)) * np.linspace(0.5, 20, width) + 3.0
    weights = generator.normal(size=width) / np.linspace(0.5, 20, width) if truth is None else truth
    first = generator.integers(num_items, size=num_comparisons)
    second = (first + 1 + generator.integers(num_items - 1, size=num_comparisons)) % num_items
    chance = 1 / (1 + np.exp(-(features[first] - features[second]) @ weights))
    target = (generator.random(num_comparisons) < lapse + (1 - 2 * lapse) * chance).astype(float)
    target[:ties] = 0.5
    names = tuple(map(str, range(num_items)))
    return features, Comparisons.of(first, second, target, names, weight=generator.uniform(0.2, 2.0, num_comparisons)), weights


def slowly(features, comparisons, penalty, lapse, ratings=None):
    """Minimise the documented objective by another program's method, in automatic differentiation; return the scores."""
    scale = features.std(axis=0) * np.sqrt(features.shape[1])
    z = torch.tensor((features - features.mean(axis=0)) / scale)
    u = torch.zeros(z.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([u], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")
    weight, target = torch.tensor(comparisons.weight), torch.tensor(comparisons.target)

    def loss():
        optimizer.zero_grad()
        scores = z @ u[:-1]
        p = lapse + (1 - 2 * lapse) * torch.sigmoid(scores[comparisons.first] - scores[comparisons.second])
        total = -(weight * (target * torch.log(p) + (1 - target) * torch.log(1 - p))).sum() + penalty / 2 * (u[:-1] ** 2).sum()
        total = total + 1e-3 / 2 * u[-1] ** 2
        if ratings is not None:
            guess = scores[ratings.item] / VALUE_LOG_ODDS + u[-1]
            each = torch.nn.functional.huber_loss(guess, torch.tensor(ratings.value), reduction="none", delta=1.0)
            total = total + (torch.tensor(ratings.weight) * each).sum()
        total.backward()
        return total

    optimizer.step(loss)
    found = u.detach().numpy()
    return z.numpy() @ found[:-1] + VALUE_LOG_ODDS * found[-1]


@pytest.mark.parametrize("lapse", [0.0, 0.1])
@pytest.mark.parametrize("has_ratings", [False, True])
def test_the_fit_is_the_minimum_that_a_slow_method_finds(lapse, has_ratings):
    features, comparisons, _ = drawn(ties=40)
    generator = np.random.default_rng(5)
    ratings = Ratings(np.arange(40), generator.uniform(-1, 1, 40), generator.uniform(0, 2, 40)) if has_ratings else None
    scores = fit_heads(features, comparisons, penalty=0.3, lapse=lapse, ratings=ratings).scores(features)
    assert scores.shape == (1, 200)
    np.testing.assert_allclose(scores[0], slowly(features, comparisons, 0.3, lapse, ratings), atol=2e-6)


@pytest.mark.parametrize("lapse", [0.0, 0.2])
def test_slopes_are_those_of_finite_differences(lapse):
    features, comparisons, _ = drawn(num_items=20, num_comparisons=30)
    ratings = Ratings(np.array([0, 3, 3]), np.array([-1.0, 0.2, 1.0]), np.ones(3))
    problem = Problem.of(features, comparisons, ratings, 1.0, lapse, comparisons.target)
    predicted = np.random.default_rng(1).normal(size=33) * 3
    is_rating = problem.is_rating
    _, slope, _ = problem._terms(predicted, problem.target, is_rating)
    above, below = (problem._terms(predicted + step, problem.target, is_rating)[0] for step in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (above - below) / 2e-6, atol=1e-8)


def test_weights_that_answers_were_drawn_by_are_found_again():
    features, comparisons, truth = drawn(num_items=2000, num_comparisons=40_000)
    found = fit_heads(features, comparisons, penalty=1e-3).weights[0]
    np.testing.assert_allclose(found * features.std(axis=0), truth * features.std(axis=0), atol=0.06)


def test_a_lapse_that_is_known_is_not_taken_for_indifference():
    truth = np.array([2.0, -0.4])
    features, comparisons, _ = drawn(2000, 40_000, 2, lapse=0.15, truth=truth)
    plain, knowing = (fit_heads(features, comparisons, penalty=1e-3, lapse=lapse).weights[0] for lapse in (0.0, 0.15))
    np.testing.assert_allclose(knowing, truth, rtol=0.1)
    assert (np.abs(plain) < 0.7 * np.abs(truth)).all()


def test_the_members_of_an_ensemble_differ_and_each_is_the_same_for_the_same_seed():
    features, comparisons, _ = drawn()
    one, again, fewer = (fit_heads(features, comparisons, count, seed=3).scores(features) for count in (4, 4, 2))
    other = fit_heads(features, comparisons, 4, seed=4).scores(features)
    assert np.array_equal(one, again) and np.array_equal(one[:2], fewer)
    assert not np.isclose(one, other).all()
    assert min(np.abs(one[a] - one[b]).max() for a in range(4) for b in range(a)) > 0.05


def test_a_single_head_sees_every_judgement_once_whatever_the_seed():
    features, comparisons, _ = drawn()
    one, other = (fit_heads(features, comparisons, seed=seed).scores(features) for seed in (0, 1))
    assert np.array_equal(one, other)


def test_a_heads_bootstrap_spreads_as_the_estimate_does_from_one_set_of_answers_to_the_next():
    truth = np.array([1.0, -0.05])
    fits = [fit_heads(*drawn(300, 500, 2, seed=seed, truth=truth)[:2], penalty=1e-3).weights[0] for seed in range(40)]
    heads = fit_heads(*drawn(300, 500, 2, seed=99, truth=truth)[:2], num_heads=40, penalty=1e-3).weights
    ratio = heads.std(axis=0) / np.std(fits, axis=0)
    assert (ratio > 0.6).all() and (ratio < 1.7).all()


def test_where_nothing_was_learned_heads_agree_unless_their_priors_differ():
    features, comparisons, _ = drawn(width=4)
    features = np.concatenate([features, np.tile(np.arange(2.0), 100)[:, None]], axis=1)
    same_side = comparisons.take(comparisons.first % 2 == comparisons.second % 2)  # the last feature never decides
    unseen = np.eye(5)[4:] * 10
    agreeing, apart = (fit_heads(features, same_side, 8, penalty=1.0, prior_noise=noise).weights @ unseen.T for noise in (0.0, 1.0))
    assert np.abs(agreeing).max() < 1e-6
    assert apart.std() > 1.0


def test_answers_that_never_conflict_have_a_finite_fit_that_a_smaller_penalty_moves_outwards():
    features = np.array([[0.0], [1.0]])
    comparisons = Comparisons.of([1], [0], [1.0], ("a", "b"))
    firm, loose = (float(np.ptp(fit_heads(features, comparisons, penalty=penalty).scores(features))) for penalty in (1.0, 1e-6))
    assert 0 < firm < loose < 30


def test_contradictory_answers_and_ties_leave_all_scores_equal():
    features = np.random.default_rng(0).normal(size=(3, 4))
    names = ("a", "b", "c")
    for first, second, target in (([0, 0], [1, 1], [1.0, 0.0]), ([0, 1, 2], [1, 2, 0], [1.0, 1.0, 1.0]), ([0, 1], [1, 2], [0.5, 0.5])):
        scores = fit_heads(features, Comparisons.of(first, second, target, names)).scores(features)
        np.testing.assert_allclose(scores, 0.0, atol=1e-7)


def test_a_feature_that_never_changes_has_no_weight():
    features, comparisons, _ = drawn()
    wider = np.concatenate([features, np.full((200, 1), 7.0)], axis=1)
    assert fit_heads(wider, comparisons).weights[0, -1] == 0.0


def test_smoothed_answers_and_answers_of_which_some_were_turned_round_move_the_targets():
    """Smoothing by s and then asking for the loss without a share s of flips gives the plain fit back; half of it is half as sure."""
    features, comparisons, _ = drawn(ties=40)
    plain, smoothed, unbiased = (
        fit_heads(features, comparisons, **noise).scores(features)[0] for noise in ({}, {"smoothing": 0.2}, {"flips": 0.2})
    )
    softer = Comparisons.of(
        comparisons.first, comparisons.second, 0.6 * comparisons.target + 0.2, comparisons.items, weight=comparisons.weight
    )
    np.testing.assert_allclose(fit_heads(features, softer).scores(features)[0], smoothed, atol=1e-6)
    np.testing.assert_allclose(fit_heads(features, softer, flips=0.2).scores(features)[0], plain, atol=1e-6)
    assert smoothed.std() < plain.std() < unbiased.std()


def test_the_unbiased_fit_of_turned_answers_is_near_the_fit_of_the_answers_that_were_meant():
    truth = np.array([1.0, -0.1])
    features, meant, _ = drawn(2000, 40_000, 2, truth=truth)
    turn = np.random.default_rng(9).random(40_000) < 0.25
    noisy = Comparisons.of(meant.first, meant.second, np.where(turn, 1 - meant.target, meant.target), meant.items)
    plain, unbiased = (fit_heads(features, noisy, flips=flips).weights[0] for flips in (0.0, 0.25))
    np.testing.assert_allclose(unbiased, truth, rtol=0.1)
    assert (np.abs(plain) < 0.6 * np.abs(truth)).all()


def test_weights_count_as_that_many_answers():
    features, comparisons, _ = drawn(num_comparisons=100)
    twice = comparisons.take(np.repeat(np.arange(100), 2))
    heavy = Comparisons.of(comparisons.first, comparisons.second, comparisons.target, comparisons.items, weight=2 * comparisons.weight)
    np.testing.assert_allclose(*(fit_heads(features, each).scores(features) for each in (twice, heavy)), atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.ones((3, 2))}, r"features must be \[200 items, width\], got the shape \(3, 2\)"),
        ({"features": np.full((200, 2), np.nan)}, "features must be finite, got nan for item 0"),
        ({"num_heads": 0}, "num_heads must be at least 1, got 0"),
        ({"penalty": 0.0}, "penalty must be above 0 and finite, got 0.0"),
        ({"lapse": 0.5}, "lapse must be from 0 to below 0.5"),
        ({"flips": 0.5}, "flips must be from 0 to below 0.5"),
        ({"smoothing": 0.1, "flips": 0.1}, "at most one of lapse, smoothing, flips may be above 0"),
        ({"prior_noise": -1.0}, "prior_noise must be at least 0 and finite, got -1.0"),
        ({"ratings": Ratings(np.array([200]), np.zeros(1), np.ones(1))}, "ratings must be of the 200 items, got item 200 to 200"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    features, comparisons, _ = drawn()
    with pytest.raises(ValueError, match=message):
        fit_heads(**({"features": features, "comparisons": comparisons} | change))


def test_nothing_to_learn_from_and_features_of_another_width_are_refused():
    features, comparisons, _ = drawn()
    with pytest.raises(ValueError, match="there is nothing to learn from"):
        fit_heads(features, comparisons.take(np.arange(0)))
    with pytest.raises(ValueError, match=r"features must be \[items, 5\], got the shape \(1, 4\)"):
        fit_heads(features, comparisons).scores(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"value of rating 1 must be from -1 to 1, got 2\.0"):
        Ratings(np.array([0, 1]), np.array([0.0, 2.0]), np.ones(2))


SAID = np.array([[1.0, 2.0, -1.0], [3.0, 2.0, 0.0], [2.0, 5.0, -5.0]])


def test_ensembles_are_combined_as_the_formulas_say():
    np.testing.assert_array_equal(combine(SAID, "single"), [1, 2, -1])
    np.testing.assert_allclose(combine(SAID, "mean"), [2, 3, -2], atol=1e-15)
    np.testing.assert_array_equal(combine(SAID, "min"), [1, 2, -5])
    variances = [2 / 3, 2.0, (1 + 4 + 9) / 3]  # around 2, 3 and -2
    np.testing.assert_allclose(spread_variance(SAID), variances, atol=1e-15)
    np.testing.assert_allclose(combine(SAID, "mean_minus_variance", 0.5), np.array([2, 3, -2]) - 0.5 * np.array(variances), atol=1e-15)


def test_members_that_agree_have_no_variance_and_lose_nothing():
    said = np.tile(np.random.default_rng(0).normal(size=50), (7, 1))
    assert (spread_variance(said) == 0).all()
    for how in ("single", "mean", "min", "mean_minus_variance"):
        assert np.array_equal(combine(said, how, 1e9), said[0])


def test_a_combination_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="how must be one of single, mean, min, mean_minus_variance, got 'median'"):
        combine(SAID, "median")
    with pytest.raises(ValueError, match=r"scores must be \[members, passages\] with at least one member"):
        combine(SAID[0])
    with pytest.raises(ValueError, match="variance_weight must be at least 0 and finite, got -1"):
        combine(SAID, "mean_minus_variance", -1)


def test_heads_that_are_made_by_hand_score_as_a_product():
    heads = Heads(np.array([[1.0, 2.0]]), np.array([0.5]), np.array([0]))
    np.testing.assert_array_equal(heads.scores([[1.0, 1.0], [0.0, -1.0]]), [[3.5, -1.5]])
