"""Compare returns, advantages, targets and baselines with slow definitions of them."""

from __future__ import annotations

import numpy as np
import pytest

from agents.learning.returns import (
    discount_weights,
    gae,
    hold_last,
    leave_one_out_baseline,
    mean_baseline,
    returns_to_go,
    td_lambda_targets,
    vtrace_targets,
    whiten,
)


@pytest.fixture
def batch():
    """Return rewards, values, is_action, bootstrap of episodes with gaps and padding."""
    rng = np.random.default_rng(0)
    is_action = rng.random((6, 9)) < 0.7
    is_action[:, 0] = True
    is_action[2, 4:] = False
    is_action[3, 1:] = False
    rewards, values = (np.where(is_action, rng.normal(size=is_action.shape), 0.0) for _ in range(2))
    bootstrap = np.where(np.arange(6) % 2, rng.normal(size=6), 0.0)
    return rewards, values, is_action, bootstrap


def own_steps(row, *arrays):
    """Return the entries of one row at its own tokens: what is left when everything else is taken away."""
    is_action = arrays[-1]
    return [array[row][is_action[row]] for array in arrays[:-1]]


def spread(row_results, is_action):
    spread_out = np.zeros(is_action.shape)
    for row, result in enumerate(row_results):
        spread_out[row, is_action[row]] = result
    return spread_out


def test_a_return_is_the_discounted_sum_of_what_follows_and_of_the_bootstrap(batch):
    rewards, _, is_action, bootstrap = batch

    def slow(row):
        (earned,) = own_steps(row, rewards, is_action)
        count = len(earned)
        return [sum(0.9 ** (k - t) * earned[k] for k in range(t, count)) + 0.9 ** (count - t) * bootstrap[row] for t in range(count)]

    expected = spread([slow(row) for row in range(6)], is_action)
    np.testing.assert_allclose(returns_to_go(rewards, is_action, bootstrap, 0.9), expected, atol=1e-13)


def slow_gae(earned, expected, bootstrap, discount, mixing):
    """Sum one-step surprises, discounted by discount * mixing: equation 16 as it is printed."""
    after = [*expected[1:], bootstrap]
    surprises = [earned[t] + discount * after[t] - expected[t] for t in range(len(earned))]
    return [sum((discount * mixing) ** (k - t) * surprises[k] for k in range(t, len(earned))) for t in range(len(earned))]


@pytest.mark.parametrize(("discount", "mixing"), [(1.0, 0.95), (0.9, 0.0), (0.9, 0.5), (1.0, 1.0)])
def test_gae_is_the_weighted_sum_of_surprises(batch, discount, mixing):
    rewards, values, is_action, bootstrap = batch
    expected = spread(
        [slow_gae(*own_steps(row, rewards, values, is_action), bootstrap[row], discount, mixing) for row in range(6)], is_action
    )
    np.testing.assert_allclose(gae(rewards, values, is_action, bootstrap, discount, mixing), expected, atol=1e-13)


def test_gae_of_whole_returns_is_returns_minus_values(batch):
    rewards, values, is_action, bootstrap = batch
    advantages = gae(rewards, values, is_action, bootstrap, 0.9, mixing=1.0)
    np.testing.assert_allclose(advantages, returns_to_go(rewards, is_action, bootstrap, 0.9) - values, atol=1e-13)


def slow_lambda_target(earned, expected, bootstrap, discount, mixing, t):
    """Average all n-step returns with weights (1 - mixing) * mixing ** (n - 1); the longest takes what is left."""
    count = len(earned)
    after = [*expected, bootstrap]
    steps = []
    for n in range(1, count - t + 1):
        steps.append(sum(discount**k * earned[t + k] for k in range(n)) + discount**n * after[t + n])
    weights = [(1 - mixing) * mixing ** (n - 1) for n in range(1, len(steps))] + [mixing ** (len(steps) - 1)]
    return float(np.dot(weights, steps))


@pytest.mark.parametrize("mixing", [0.0, 0.6, 1.0])
def test_a_lambda_target_is_the_mean_of_all_n_step_returns(batch, mixing):
    rewards, values, is_action, bootstrap = batch
    rows = []
    for row in range(6):
        earned, known = own_steps(row, rewards, values, is_action)
        rows.append([slow_lambda_target(earned, known, bootstrap[row], 0.9, mixing, t) for t in range(len(earned))])
    targets = td_lambda_targets(rewards, values, is_action, bootstrap, 0.9, mixing)
    np.testing.assert_allclose(targets, spread(rows, is_action), atol=1e-13)


def test_vtrace_is_the_product_of_capped_ratios_times_surprises(batch):
    """Against the sum in section 4.1 of Espeholt et al., with traces mixing * min(1, ratio)."""
    rewards, values, is_action, bootstrap = batch
    ratios = np.where(is_action, np.random.default_rng(1).uniform(0.2, 3.0, is_action.shape), 0.0)
    rows = []
    for row in range(6):
        earned, known, ratio = own_steps(row, rewards, values, ratios, is_action)
        after = [*known[1:], bootstrap[row]]
        capped = np.minimum(1.0, ratio)
        surprises = [capped[t] * (earned[t] + 0.9 * after[t] - known[t]) for t in range(len(earned))]
        rows.append(
            [
                known[t] + sum((0.9 * 0.8) ** (k - t) * np.prod(capped[t:k]) * surprises[k] for k in range(t, len(earned)))
                for t in range(len(earned))
            ]
        )
    targets = vtrace_targets(rewards, values, ratios, is_action, bootstrap, 0.9, 0.8)
    np.testing.assert_allclose(targets, spread(rows, is_action), atol=1e-13)


def test_vtrace_of_the_policy_that_wrote_is_the_lambda_target(batch):
    rewards, values, is_action, bootstrap = batch
    on_policy = vtrace_targets(rewards, values, is_action.astype(float), is_action, bootstrap, 0.9, 0.8)
    np.testing.assert_allclose(on_policy, td_lambda_targets(rewards, values, is_action, bootstrap, 0.9, 0.8), atol=1e-13)


def test_nothing_leaks_from_one_episode_into_another(batch):
    rewards, values, is_action, bootstrap = batch
    changed = rewards.copy()
    changed[3] += 100 * is_action[3]
    other_rows = np.arange(6) != 3
    for compute in (
        lambda earned: returns_to_go(earned, is_action, bootstrap),
        lambda earned: gae(earned, values, is_action, bootstrap),
        lambda earned: vtrace_targets(earned, values, is_action * 1.0, is_action, bootstrap),
    ):
        np.testing.assert_array_equal(compute(rewards)[other_rows], compute(changed)[other_rows])


def test_an_episode_that_was_cut_is_worth_its_bootstrap_and_one_that_ended_is_not(batch):
    is_action = np.ones((2, 3), dtype=bool)
    returns = returns_to_go(np.zeros((2, 3)), is_action, np.array([5.0, 0.0]), discount=0.5)
    np.testing.assert_allclose(returns, [[0.625, 1.25, 2.5], [0, 0, 0]])


def test_words_that_another_wrote_take_no_time():
    is_action = np.array([[True, False, False, True]])
    np.testing.assert_allclose(returns_to_go(np.array([[0.0, 0, 0, 8.0]]), is_action, np.zeros(1), 0.5), [[4.0, 0, 0, 8.0]])
    np.testing.assert_allclose(discount_weights(is_action, 0.5), [[1.0, 0, 0, 0.5]])


def test_a_finished_episode_keeps_its_last_return():
    is_action = np.array([[True, True, False], [True, True, True]])
    np.testing.assert_allclose(hold_last(np.array([[3.0, 2.0, 0.0], [9.0, 8.0, 7.0]]), is_action), [[3, 2, 2], [9, 8, 7]])


def test_the_baseline_of_an_episode_is_the_mean_of_the_other_scored_ones_of_its_group():
    scores = np.array([1.0, 2.0, 6.0, 50.0, 10.0, 20.0])
    is_scored = np.array([True, True, True, False, True, True])
    group = np.array([4, 4, 4, 4, 9, 9])
    np.testing.assert_allclose(leave_one_out_baseline(scores, is_scored, group)[is_scored], [4.0, 3.5, 1.5, 20.0, 10.0])
    np.testing.assert_allclose(leave_one_out_baseline(scores, is_scored)[is_scored], [38 / 4, 37 / 4, 33 / 4, 29 / 4, 19 / 4])
    np.testing.assert_allclose(mean_baseline(scores, is_scored, group)[is_scored], [3.0, 3.0, 3.0, 15.0, 15.0])


def test_the_baseline_of_an_episode_does_not_depend_on_it():
    rng = np.random.default_rng(0)
    returns, is_scored, group = rng.normal(size=(6, 4)), np.ones(6, dtype=bool), np.array([0, 0, 0, 1, 1, 2])
    changed = returns.copy()
    changed[1] += 7
    for groups in (group, None):
        before, after = (leave_one_out_baseline(array, is_scored, groups) for array in (returns, changed))
        np.testing.assert_allclose(before[1], after[1], atol=1e-14)
        assert (before[0] != after[0]).all()


def test_the_average_advantage_of_a_group_is_zero_at_every_token():
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(8, 5)) + np.arange(5)  # later tokens earn more
    advantages = returns - leave_one_out_baseline(returns, np.ones(8, dtype=bool))
    np.testing.assert_allclose(advantages.mean(axis=0), 0, atol=1e-13)


def test_an_episode_alone_in_its_group_is_compared_with_the_others():
    group = np.arange(3)
    np.testing.assert_allclose(leave_one_out_baseline(np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool), group), [2.5, 2.0, 1.5])
    np.testing.assert_allclose(mean_baseline(np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool), group), [2.0, 2.0, 2.0])


def test_an_episode_alone_in_the_batch_has_no_baseline():
    assert leave_one_out_baseline(np.array([5.0, 7.0]), np.array([True, False]))[0] == 0


def test_without_any_score_every_baseline_is_zero():
    for baseline in (mean_baseline, leave_one_out_baseline):
        np.testing.assert_array_equal(baseline(np.array([5.0, 7.0]), np.zeros(2, dtype=bool)), [0, 0])


def test_whitened_advantages_have_mean_zero_and_deviation_one_where_they_count(batch):
    rewards, _, is_action, _ = batch
    whitened = whiten(rewards * 3 + 5, is_action)
    assert whitened[is_action].mean() == pytest.approx(0, abs=1e-12)
    assert whitened[is_action].std() == pytest.approx(1)
    assert (whitened[~is_action] == 0).all()


def test_whitened_rewards_keep_their_mean(batch):
    rewards, _, is_action, _ = batch
    whitened = whiten(rewards * 3 + 5, is_action, shift_mean=False)
    assert whitened[is_action].mean() == pytest.approx((rewards * 3 + 5)[is_action].mean())


@pytest.mark.parametrize("values", [[[2.0]], [[3.0, 3.0, 3.0]]])
def test_whitening_one_value_or_equal_ones_gives_zero_and_no_nan(values):
    array = np.array(values)
    np.testing.assert_array_equal(whiten(array, np.ones(array.shape, dtype=bool)), np.zeros(array.shape))
    np.testing.assert_array_equal(whiten(array, np.zeros(array.shape, dtype=bool)), np.zeros(array.shape))


def test_no_function_changes_what_it_is_given(batch):
    rewards, values, is_action, bootstrap = batch
    copies = [array.copy() for array in batch]
    returns_to_go(rewards, is_action, bootstrap)
    vtrace_targets(rewards, values, values, is_action, bootstrap)
    hold_last(rewards, is_action)
    whiten(rewards, is_action)
    leave_one_out_baseline(rewards, np.ones(6, dtype=bool))
    for array, copy in zip(batch, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
