"""Check the losses: what they count, how they reduce, and that parts add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.learning.losses import (
    entropy_bonus_loss,
    episode_mean,
    importance_weights,
    kl_rewards,
    kl_terms,
    policy_gradient_loss,
    token_mean,
    value_loss,
)

COUNTS = torch.tensor([[True, True, False, False], [True, True, True, True]])


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_an_episode_mean_weighs_each_token_alike_however_long_its_episode():
    terms = random(2, 4).requires_grad_()
    episode_mean(terms, COUNTS, 2).backward()
    torch.testing.assert_close(terms.grad, COUNTS.double() / 2)


def test_a_token_mean_divides_by_the_tokens_that_count():
    terms = random(2, 4)
    assert token_mean(terms, COUNTS, 6).item() == pytest.approx(terms[COUNTS].mean().item())


def test_what_does_not_count_has_no_gradient_even_where_it_is_not_finite():
    logprobs = torch.where(COUNTS, random(2, 4), -torch.inf).requires_grad_()
    loss = policy_gradient_loss(logprobs, random(2, 4, seed=1), COUNTS, 2)
    loss.backward()
    assert torch.isfinite(loss)
    assert (logprobs.grad[~COUNTS] == 0).all()


def test_the_gradient_of_the_policy_loss_is_minus_the_weighted_advantage():
    logprobs, advantages, weights = random(2, 4).requires_grad_(), random(2, 4, seed=1), random(2, 4, seed=2).abs()
    policy_gradient_loss(logprobs, advantages, COUNTS, 2, weights).backward()
    torch.testing.assert_close(logprobs.grad, torch.where(COUNTS, -advantages * weights / 2, 0.0))


def test_parts_of_a_batch_add_up_to_the_whole():
    logprobs, advantages = random(2, 4), random(2, 4, seed=1)
    for loss in (
        lambda rows: policy_gradient_loss(logprobs[rows], advantages[rows], COUNTS[rows], 2),
        lambda rows: value_loss(logprobs[rows], advantages[rows], COUNTS[rows], 6),
        lambda rows: entropy_bonus_loss(logprobs[rows], COUNTS[rows], 6),
    ):
        torch.testing.assert_close(loss(slice(0, 1)) + loss(slice(1, 2)), loss(slice(None)))


def test_advantages_and_targets_that_carry_a_gradient_are_refused():
    with pytest.raises(AssertionError, match="advantages must carry no gradient"):
        policy_gradient_loss(random(2, 4), random(2, 4).requires_grad_(), COUNTS, 2)
    with pytest.raises(AssertionError, match="targets must carry no gradient"):
        value_loss(random(2, 4), random(2, 4).requires_grad_(), COUNTS, 6)


def test_importance_weights_are_one_for_the_sampler_itself_and_capped_for_another():
    learner = torch.log(torch.tensor([[0.2, 0.5, 0.9]]))
    sampler = torch.log(torch.tensor([[0.2, 0.25, 0.1]]))
    torch.testing.assert_close(importance_weights(learner, learner, 2.0), torch.ones(1, 3))
    torch.testing.assert_close(importance_weights(learner, sampler, 3.0), torch.tensor([[1.0, 2.0, 3.0]]))
    assert not importance_weights(learner.requires_grad_(), sampler, 3.0).requires_grad


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_divergence_of_a_policy_from_itself_is_exactly_zero(estimator):
    logprobs = random(2, 4)
    assert (kl_terms(logprobs, logprobs, estimator) == 0).all()


def test_k1_and_k3_have_the_divergence_as_their_mean_and_k2_and_k3_are_never_negative():
    ours, theirs = (torch.log_softmax(random(6, seed=seed), 0) for seed in (0, 1))
    exact = (ours.exp() * (ours - theirs)).sum()
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((ours.exp() * kl_terms(ours, theirs, estimator)).sum(), exact)
    for estimator in ("k2", "k3"):
        assert (kl_terms(ours, theirs, estimator) >= 0).all()
    assert (kl_terms(ours, theirs, "k1") < 0).any()


def test_an_unknown_estimator_is_named():
    with pytest.raises(ValueError, match="estimator must be k1, k2 or k3, got 'k4'"):
        kl_terms(random(1, 1), random(1, 1), "k4")


def test_the_penalty_is_taken_off_rewards_of_own_tokens_and_leaves_the_rewards_it_was_given():
    rewards, is_action = np.array([[0.0, 1.0, 0.0]]), np.array([[True, True, False]])
    logprobs, reference = np.array([[-1.0, -2.0, -9.0]]), np.array([[-2.0, -1.0, 0.0]])
    np.testing.assert_allclose(kl_rewards(rewards, logprobs, reference, is_action, 0.5), [[-0.5, 1.5, 0.0]])
    np.testing.assert_array_equal(rewards, [[0.0, 1.0, 0.0]])
