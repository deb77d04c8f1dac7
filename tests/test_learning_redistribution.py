"""Move a late score to its tokens: the sum stays, and so does the expected gradient, whatever the values. Every response is listed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from agents import Reinforce, ReinforceConfig, redistribute
from agents.learning.redistribution import redistribute_by_values
from tests.exact_task import VOCAB_SIZE, all_responses, random_logits, random_scores, table_policy, write_all
from tests.test_learning_exact import NO_CLIP, expected_step, gradient_of, mean_score, probabilities_of, values_for
from text_env import Judgement


def random_episodes(seed=0):
    """Return rewards, values and is_action of eight rows with partners' words between the tokens, and of one row without a token."""
    rng = np.random.default_rng(seed)
    is_action = rng.random((9, 6)) < 0.6
    is_action[8] = False
    return np.where(is_action, rng.normal(size=(9, 6)), 0.0), rng.normal(size=(9, 6)), is_action


def slow_redistribution(rewards, values, is_action):
    moved = np.zeros_like(rewards)
    for row in range(len(rewards)):
        own = np.flatnonzero(is_action[row]).tolist()
        for column, after in pairwise(own):
            moved[row, column] = rewards[row, column] + values[row, after] - values[row, column]
        if own:
            moved[row, own[-1]] = rewards[row, own[-1]] - values[row, own[-1]] + values[row, own[0]]
    return moved


def test_each_token_is_paid_what_it_raised_and_the_last_what_is_missing():
    rewards, values, is_action = random_episodes()
    np.testing.assert_allclose(
        redistribute_by_values(rewards, values, is_action), slow_redistribution(rewards, values, is_action), atol=1e-14
    )


def test_the_sum_of_an_episode_is_kept_and_nothing_is_put_off_its_tokens():
    rewards, values, is_action = random_episodes(1)
    values[~is_action] = np.nan  # what stands off actions must not be read
    moved = redistribute_by_values(rewards, values, is_action)
    np.testing.assert_allclose(moved.sum(1), rewards.sum(1), atol=1e-14)
    assert (moved[~is_action] == 0).all() and np.abs(moved - rewards).max() > 0.5


def test_exact_values_pay_each_token_its_advantage_alone():
    """Under the true values what tokens before the last are paid has mean zero at every prefix: nothing is expected of them any more."""
    responses = all_responses()
    scores, logits = random_scores(responses), random_logits(seed=1)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    values = values_for(responses, logits, scores)
    moved = redistribute(rollout, values[responses.prefixes]).rewards
    weights = probabilities_of(logits, responses)
    for prefix in np.unique(responses.prefixes[responses.is_action]):
        here = (responses.prefixes == prefix) & responses.is_action
        is_last = responses.lengths[here.any(1)] - 1 == here.argmax(1)[here.any(1)]
        paid = moved[here] - np.where(is_last, values[0], 0.0)  # the last token of each response is also paid V_0
        assert np.average(paid, weights=weights[here.any(1)]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("baseline", "batch_size"), [("none", 1), ("leave_one_out", 2)])
@pytest.mark.parametrize("is_dense", [False, True])
def test_the_mean_step_of_reinforce_stays_exact_with_any_values(baseline, batch_size, is_dense):
    responses = all_responses()
    scores, logits = random_scores(responses), random_logits(seed=1)
    judgements = scores.tolist()
    if is_dense:  # what a token earns depends on what stands before it and on itself
        earned = np.random.default_rng(3).normal(size=(responses.num_prefixes, VOCAB_SIZE))
        parts = [earned[responses.prefixes[row], responses.tokens[row]][responses.is_action[row]] for row in range(len(responses))]
        scores = np.array([part.sum() for part in parts])
        judgements = [Judgement(float(part.sum()), token_scores=part) for part in parts]
    rollout = write_all(responses, judgements, table_policy(logits))
    values = np.random.default_rng(5).normal(size=len(logits))[responses.prefixes]
    moved = redistribute(rollout, values)
    np.testing.assert_array_equal(moved.scores, rollout.scores)
    assert np.abs(moved.rewards - rollout.rewards).max() > 0.5
    config = ReinforceConfig(baseline=baseline, kl_weight=0.0, **NO_CLIP)

    def step(of):
        return expected_step(lambda: Reinforce(table_policy(logits), config), of, probabilities_of(logits, responses), batch_size)

    exact = gradient_of(mean_score(responses, scores), logits)
    np.testing.assert_allclose(step(moved), exact, atol=1e-12)

    # Spread over the tokens instead of left on the last one, the value of the empty response depends on when the response ends.
    first, last, lengths = values[:, :1], responses.lengths - 1, responses.lengths[:, None]
    spread = moved.rewards + np.where(responses.is_action, first / lengths, 0.0)
    spread[np.arange(len(responses)), last] -= first[:, 0]
    np.testing.assert_allclose(spread.sum(1), scores, atol=1e-12)
    assert np.abs(step(replace(moved, rewards=spread)) - exact).max() > 0.01


def test_the_variance_of_the_step_falls_with_exact_values():
    responses = all_responses()
    scores, logits = random_scores(responses), random_logits(seed=1)
    rollout = write_all(responses, (scores + 3.0).tolist(), table_policy(logits))
    values = values_for(responses, logits, scores + 3.0)
    config = ReinforceConfig(baseline="none", kl_weight=0.0, **NO_CLIP)
    moved = redistribute(rollout, values[responses.prefixes])
    variances = [
        expected_square(lambda: Reinforce(table_policy(logits), config), each, probabilities_of(logits, responses))
        for each in (rollout, moved)
    ]
    assert variances[1] < variances[0]


def expected_square(make_agent, rollout, probabilities):
    from tests.test_learning_exact import step_of

    return sum(weight * (step_of(make_agent(), rollout.take(np.array([row]))) ** 2).sum() for row, weight in enumerate(probabilities))


def test_an_abstention_is_paid_nothing():
    responses = all_responses()
    judgements = [None, *random_scores(responses)[1:].tolist()]
    rollout = write_all(responses, judgements)
    moved = redistribute(rollout, np.random.default_rng(0).normal(size=rollout.rewards.shape))
    assert (moved.rewards[0] == 0).all() and (moved.rewards[1:] != 0).any()


def test_values_that_are_missing_or_do_not_fit_are_refused():
    rollout = write_all(all_responses(), random_scores(all_responses()).tolist())
    with pytest.raises(ValueError, match=r"no values to move rewards by: the agent has no critic, so pass values=\.\.\."):
        redistribute(rollout)
    with pytest.raises(ValueError, match=r"values must have the shape of the rewards \(\d+, 3\), got \(2, 2\)"):
        redistribute(rollout, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="values must be finite"):
        redistribute(rollout, np.full(rollout.rewards.shape, np.nan))


def test_the_values_of_the_rollout_are_used_unless_others_are_given():
    responses = all_responses()
    rollout = write_all(responses, random_scores(responses).tolist())
    values = np.random.default_rng(0).normal(size=rollout.rewards.shape).astype(np.float32)
    given, own = redistribute(rollout, values), redistribute(replace(rollout, values=values))
    np.testing.assert_array_equal(own.rewards, given.rewards)
    assert own.values is values
