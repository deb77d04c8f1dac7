"""Hold each loss of reward models to its formula, its gradient and its limits."""

from __future__ import annotations

from itertools import permutations, product
from math import exp, log

import numpy as np
import pytest
import torch

from feedback.learned.reward_losses import (
    Choices,
    bradley_terry_loss,
    centring_penalty,
    huber_loss,
    lapse_loss,
    plackett_luce_loss,
    smoothed_loss,
    unbiased_loss,
)

DIFFERENCES = torch.tensor([-3.0, -0.4, 0.0, 0.7, 5.0], dtype=torch.float64)
TARGETS = torch.tensor([0.0, 0.3, 0.5, 1.0, 0.9], dtype=torch.float64)
PAIRWISE = {
    "bradley_terry": bradley_terry_loss,
    "smoothed": lambda d, t: smoothed_loss(d, t, 0.1),
    "lapse": lambda d, t: lapse_loss(d, t, 0.1),
    "unbiased": lambda d, t: unbiased_loss(d, t, 0.1),
}


def sigma(x):
    return 1 / (1 + exp(-x))


@pytest.mark.parametrize(
    ("name", "chance", "aim"),
    [
        ("bradley_terry", lambda d: sigma(d), lambda t: t),
        ("smoothed", lambda d: sigma(d), lambda t: 0.8 * t + 0.1),
        ("lapse", lambda d: 0.1 + 0.8 * sigma(d), lambda t: t),
        ("unbiased", lambda d: sigma(d), lambda t: (t - 0.1) / 0.8),
    ],
)
def test_each_pairwise_loss_is_its_formula(name, chance, aim):
    expected = [
        -aim(t) * log(chance(d)) - (1 - aim(t)) * log(1 - chance(d)) for d, t in zip(DIFFERENCES.tolist(), TARGETS.tolist(), strict=True)
    ]
    np.testing.assert_allclose(PAIRWISE[name](DIFFERENCES, TARGETS).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", PAIRWISE)
def test_gradients_are_those_of_finite_differences(name):
    difference = DIFFERENCES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda d: PAIRWISE[name](d, TARGETS), difference, eps=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_stay_finite_and_right_at_huge_differences(name, dtype):
    difference = torch.tensor([1e4, -1e4, 1e4], dtype=dtype, requires_grad=True)
    target = torch.tensor([1.0, 1.0, 0.5], dtype=dtype)
    loss = PAIRWISE[name](difference, target)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(difference.grad).all()
    if name == "bradley_terry":
        assert loss.tolist() == [0.0, 1e4, 5e3] and difference.grad.tolist() == [0.0, -1.0, 0.5]
    if name == "lapse":
        np.testing.assert_allclose(loss.detach().numpy(), [-log(0.9), -log(0.1), -(log(0.1) + log(0.9)) / 2], rtol=1e-6)


def test_a_tie_pulls_two_scores_together():
    difference = torch.tensor([2.0, -2.0], requires_grad=True)
    bradley_terry_loss(difference, torch.full((2,), 0.5)).sum().backward()
    assert difference.grad[0] > 0 > difference.grad[1]


@pytest.mark.parametrize("flips", [0.0, 0.1, 0.3, 0.49])
def test_over_all_flips_the_unbiased_loss_has_the_mean_of_the_clean_one(flips):
    for target in (0.0, 0.2, 1.0):
        meant = torch.full_like(DIFFERENCES, target)
        mean = (1 - flips) * unbiased_loss(DIFFERENCES, meant, flips) + flips * unbiased_loss(DIFFERENCES, 1 - meant, flips)
        np.testing.assert_allclose(mean.numpy(), bradley_terry_loss(DIFFERENCES, meant).numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", [smoothed_loss, lapse_loss, unbiased_loss])
@pytest.mark.parametrize("share", [0.5, 0.7, -0.1, float("nan")])
def test_a_share_of_flips_at_which_answers_say_nothing_is_refused(loss, share):
    with pytest.raises(ValueError, match=r"must be from 0 to below 0\.5, where an answer says nothing, got"):
        loss(DIFFERENCES, TARGETS, share)


def slow_plackett_luce(scores, groups):
    """Multiply the chances of one choice after the other; for ties, in every order of them."""
    logs = []
    for orders in product(*(permutations(group) for group in groups)):
        order = [item for group in orders for item in group]
        logs.append(sum(log(exp(scores[item]) / sum(exp(scores[other]) for other in order[place:])) for place, item in enumerate(order)))
    return -sum(logs) / len(logs) / (len(order) - 1)


RANKINGS = [[[2], [0], [1]], [[3, 1], [0]], [[0], [4, 2, 1]], [[1, 3]], [[4], [3]], [[0, 1], [2, 3], [4]], [[2], [4], [0], [1], [3]]]


def test_rankings_ties_and_part_rankings_have_the_slow_references_loss_and_a_right_gradient():
    scores = torch.tensor([0.3, -1.0, 2.0, 0.0, 0.8], dtype=torch.float64, requires_grad=True)
    choices = Choices.of(RANKINGS)
    losses = plackett_luce_loss(scores, choices)
    np.testing.assert_allclose(losses.detach().numpy(), [slow_plackett_luce(scores.tolist(), each) for each in RANKINGS], atol=1e-12)
    assert torch.autograd.gradcheck(lambda s: plackett_luce_loss(s, choices), scores)


def test_a_ranking_of_two_is_a_comparison_and_their_tie_has_the_target_one_half():
    scores = torch.tensor([0.4, -0.9], dtype=torch.float64)
    found = plackett_luce_loss(scores, Choices.of([[[0], [1]], [[1], [0]], [[0, 1]]]))
    expected = bradley_terry_loss((scores[0] - scores[1]).expand(3), torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 6])
def test_a_ranking_of_any_length_weighs_one_judgement(size):
    """At equal scores a choice among m is worth ln m; with k - 1 choices in all, the mean choice is what a ranking weighs."""
    loss = plackett_luce_loss(torch.zeros(size, dtype=torch.float64), Choices.of([[[item] for item in range(size)]]))
    assert float(loss) == pytest.approx(np.mean([log(left) for left in range(2, size + 1)]), abs=1e-12)


def test_rankings_at_huge_differences_stay_finite():
    scores = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    loss = plackett_luce_loss(scores, Choices.of([[[1], [2], [0]], [[0], [2], [1]]]))
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(scores.grad).all() and loss[1].item() == 0.0


@pytest.mark.parametrize("groups", [[], [[0]], [[0], [0]], [[1, 1], [0]]])
def test_what_ranks_nothing_is_refused(groups):
    with pytest.raises(ValueError, match="a ranking needs two items or more, each once, got"):
        Choices.of([groups])


def test_a_rating_far_off_pulls_with_a_bounded_force():
    guess = torch.tensor([0.0, 0.5, 3.0, -9.0], dtype=torch.float64, requires_grad=True)
    loss = huber_loss(guess, torch.zeros(4, dtype=torch.float64))
    loss.sum().backward()
    np.testing.assert_allclose(loss.detach().numpy(), [0.0, 0.125, 2.5, 8.5])
    np.testing.assert_allclose(guess.grad.numpy(), [0.0, 0.5, 1.0, -1.0])


def test_centring_keeps_differences_and_brings_the_mean_to_zero():
    scores = torch.tensor([5.0, 3.0], requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        centring_penalty(scores[:1], scores[1:]).sum().backward()
        optimizer.step()
    assert float(scores.sum().detach()) == pytest.approx(0.0, abs=1e-5)
    assert float(scores[0].detach() - scores[1].detach()) == pytest.approx(2.0, abs=1e-5)
