"""Compare the steps of RLOO, PPO and GRPO with the exact gradient, with each other and with slow definitions, in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import (
    GRPO,
    PPO,
    RLOO,
    ActorCritic,
    ActorCriticConfig,
    CausalPolicy,
    GRPOConfig,
    PPOConfig,
    Reinforce,
    ReinforceConfig,
    RLOOConfig,
    collect,
    save,
)
from agents.learning.checkpoint import restore
from agents.learning.epochs import look, take_steps
from agents.learning.groups import comparable_rows, group_advantages
from agents.learning.losses import clipped_gains, clipped_value_loss, episode_mean, policy_gradient_loss, response_mean, value_loss
from agents.learning.step import Batch, describe
from tests.exact_task import (
    END,
    VOCAB_SIZE,
    Table,
    all_responses,
    make_env,
    random_logits,
    random_scores,
    table_policy,
    with_logprobs,
    write_all,
)
from tests.test_learning_exact import (
    critic_with,
    expected_step,
    gradient_of,
    kl_of_responses,
    log_table,
    mean_score,
    probabilities_of,
    step_of,
    tiny_llama,
    values_for,
)
from text_env.exact import list_responses

ONE_STEP = {"epochs": 1, "minibatch_size": 100}
FREE = {"max_grad_norm": float("inf"), "importance_cap": float("inf")}


@pytest.fixture(autouse=True)
def whole_gradients(monkeypatch):
    """Let no gradient be scaled down, since an expectation of scaled ones is no gradient."""
    monkeypatch.setattr("agents.learning.epochs.MAX_GRAD_NORM", float("inf"))


@pytest.fixture
def task():
    responses = all_responses()
    return responses, random_scores(responses), random_logits(seed=1)


def as_group(rollout):
    """Return the rollout as if all of it had been written as one group."""
    return replace(rollout, group=np.zeros(len(rollout), dtype=np.int64))


def regularised(responses, scores, logits, reference, kl_weight):
    """Return the exact gradient of E[score] - kl_weight * KL(pi || reference)."""
    return gradient_of(mean_score(responses, scores), logits) - kl_weight * gradient_of(kl_of_responses(responses, reference), logits)


# Estimators


def test_the_mean_step_of_rloo_is_the_exact_gradient_with_the_divergence_inside_the_reward(task):
    responses, scores, logits = task
    reference = random_logits(seed=2)
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits)))
    config = RLOOConfig(kl_weight=0.3, **FREE)
    step = expected_step(lambda: RLOO(table_policy(logits, reference), config), rollout, probabilities_of(logits, responses), 2)
    exact = regularised(responses, scores, logits, reference, 0.3)
    np.testing.assert_allclose(step, exact, atol=1e-12)
    assert np.abs(exact).max() > 0.05


def test_rloo_makes_up_for_another_sampler_exactly_because_it_weighs_whole_responses(task):
    responses, scores, logits = task
    sampler = random_logits(seed=2)
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(sampler)))
    config = RLOOConfig(kl_weight=0.0, **FREE)
    step = expected_step(lambda: RLOO(table_policy(logits), config), rollout, probabilities_of(sampler, responses), 2)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits), atol=1e-12)


def test_rloo_compares_a_response_with_the_others_of_its_own_group_only(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = RLOOConfig(kl_weight=0.0, **FREE)
    pairs = [as_group(rollout.take(np.array(rows))) for rows in ((0, 1), (5, 9))]
    both = replace(rollout.take(np.array([0, 1, 5, 9])), group=np.array([0, 0, 1, 1]))
    apart = [step_of(RLOO(table_policy(logits), config), pair) for pair in pairs]
    np.testing.assert_allclose(step_of(RLOO(table_policy(logits), config), both), sum(apart) / 2, atol=1e-15)


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_the_mean_step_of_ppo_is_exact_with_exact_values(task, mixing):
    responses, scores, logits = task
    values = values_for(responses, logits, scores)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = PPOConfig(mixing=mixing, kl_weight=0.0, **ONE_STEP)
    step = expected_step(lambda: PPO(critic_with(logits, values), config), rollout, probabilities_of(logits, responses))
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits), atol=1e-12)


def test_the_mean_step_of_ppo_is_exact_with_any_values_where_whole_returns_count(task):
    responses, scores, logits = task
    reference, values = random_logits(seed=2), np.random.default_rng(5).normal(size=len(logits))
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = PPOConfig(mixing=1.0, kl_weight=0.3, **ONE_STEP)
    step = expected_step(lambda: PPO(critic_with(logits, values, reference), config), rollout, probabilities_of(logits, responses))
    np.testing.assert_allclose(step, regularised(responses, scores, logits, reference, 0.3), atol=1e-12)


def test_wrong_values_bias_ppo_where_they_are_believed(task):
    """Shows that the tests above could fail."""
    responses, scores, logits = task
    values = np.random.default_rng(5).normal(size=len(logits))
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = PPOConfig(mixing=0.0, kl_weight=0.0, **ONE_STEP)
    step = expected_step(lambda: PPO(critic_with(logits, values), config), rollout, probabilities_of(logits, responses))
    assert np.abs(step - gradient_of(mean_score(responses, scores), logits)).max() > 0.1


@pytest.mark.parametrize(("vocab_size", "horizon", "group_size"), [(3, 3, 2), (3, 1, 3), (3, 1, 4)])
def test_the_mean_step_of_grpo_is_the_exact_gradient_but_for_the_share_of_the_others_in_a_group(vocab_size, horizon, group_size):
    """Without the two divisions: the group's mean contains the response itself, which takes 1 / n of it away."""
    responses = list_responses(vocab_size, horizon, end_ids=(END,))
    scores, logits, reference = random_scores(responses), random_logits(1), random_logits(2)
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits), horizon=horizon))
    config = GRPOConfig(kl_weight=0.3, **ONE_STEP)
    step = expected_step(lambda: GRPO(table_policy(logits, reference), config), rollout, probabilities_of(logits, responses), group_size)
    exact = regularised(responses, scores, logits, reference, 0.3)
    np.testing.assert_allclose(step, (group_size - 1) / group_size * exact, atol=1e-12)
    assert np.abs(exact).max() > 0.05


def distance_from_direction(step, exact):
    """Return the least relative distance of a step from any multiple of the exact gradient: 0 = same direction, 1 = at right angles."""
    along = (step * exact).sum() / (exact**2).sum() * exact
    return np.linalg.norm(step - along) / np.linalg.norm(step)


def by_sign(scores, lengths, probabilities):
    return np.sign(scores[:, None] - scores) @ probabilities


def by_own_length(scores, lengths, probabilities):
    return (scores - scores @ probabilities) / 2 / lengths


def by_length_of_both(scores, lengths, probabilities):
    return (scores[:, None] - scores) / (lengths[:, None] + lengths) @ probabilities


@pytest.mark.parametrize(
    ("options", "followed", "distance"),
    [
        ({"divide_by_std": True}, by_sign, 0.134),
        ({"mean_over": "response"}, by_own_length, 0.395),
        ({"mean_over": "token"}, by_length_of_both, 0.168),
    ],
)
def test_the_divisions_of_grpo_follow_another_gradient(task, options, followed, distance):
    """In groups of two: that of the share of comparisons won, with the deviation; that of scores per token, with lengths.

    On this task the mean step's direction is off by 13 percent with the deviation, by 39 percent with the length of each response, by 17
    percent with the length of both: its least relative distance from a multiple of the exact gradient.
    """
    responses, scores, logits = task
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits)))
    config = GRPOConfig(kl_weight=0.0, **options, **ONE_STEP)
    probabilities = probabilities_of(logits, responses)
    step = expected_step(lambda: GRPO(table_policy(logits), config), rollout, probabilities, 2)
    other_scores = followed(scores, responses.lengths, probabilities)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, other_scores), logits), atol=1e-12)
    exact = gradient_of(mean_score(responses, scores), logits)
    assert distance_from_direction(step, exact) == pytest.approx(distance, abs=0.001)
    assert distance_from_direction(exact / 2, exact) < 1e-12


def other_settings(kind):
    """Return responses, and the options of log-probabilities, policy and environment, for a temperature or a mask."""
    if kind == "temperature":
        return list_responses(VOCAB_SIZE, 2, (END,)), {"temperature": 0.5}, {"temperature": 0.5}, {"horizon": 2}
    mask = torch.ones(len(random_logits(1)), VOCAB_SIZE, dtype=torch.bool)
    mask[0, END] = False  # an end token may not come first
    responses = list_responses(VOCAB_SIZE, 2, (END,), allowed=lambda prefix: [True, True, len(prefix) > 0])
    return responses, {"mask": mask}, {}, {"min_new_tokens": 1, "horizon": 2}


@pytest.mark.parametrize("setting", ["temperature", "mask"])
@pytest.mark.parametrize(
    ("make", "group_size", "share"),
    [
        (lambda policy: RLOO(policy, RLOOConfig(kl_weight=0.0, **FREE)), 2, 1.0),
        (lambda policy: PPO(policy, PPOConfig(kl_weight=0.0, mixing=1.0, **ONE_STEP)), 1, 1.0),
        (lambda policy: GRPO(policy, GRPOConfig(kl_weight=0.0, **ONE_STEP)), 2, 0.5),
    ],
    ids=["rloo", "ppo", "grpo"],
)
def test_the_mean_step_is_exact_at_another_temperature_and_under_masks(make, group_size, share, setting):
    responses, how, policy_options, env_options = other_settings(setting)
    scores, logits = random_scores(responses), random_logits(seed=1)
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits, **policy_options), **env_options))
    weights = probabilities_of(logits, responses, **how)
    step = expected_step(lambda: make(table_policy(logits, value_head=True, **policy_options)), rollout, weights, group_size)
    np.testing.assert_allclose(step, share * gradient_of(mean_score(responses, scores, **how), logits), atol=1e-12)


# One step of one agent is one of another


def test_one_step_of_ppo_with_a_critic_that_knows_nothing_is_one_of_reinforce_without_baseline(task):
    responses, scores, logits = task
    reference = random_logits(2)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    ppo = PPO(table_policy(logits, reference, value_head=True), PPOConfig(mixing=1.0, kl_weight=0.3, **ONE_STEP))
    reinforce = Reinforce(table_policy(logits, reference), ReinforceConfig(baseline="none", kl_weight=0.3, **FREE))
    np.testing.assert_allclose(step_of(ppo, rollout), step_of(reinforce, rollout), atol=1e-15)


def test_one_step_of_ppo_is_one_of_actor_critic_for_policy_and_critic(task):
    responses, scores, logits = task
    values, reference = np.random.default_rng(5).normal(size=len(logits)), random_logits(2)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    agents = [
        PPO(critic_with(logits, values, reference), PPOConfig(kl_weight=0.3, **ONE_STEP)),
        ActorCritic(critic_with(logits, values, reference), ActorCriticConfig(kl_weight=0.3, **FREE)),
    ]
    for agent in agents:
        agent.optimizer = torch.optim.SGD([*agent.policy.parameters(), *agent.policy.value_parameters()], lr=1.0)
        agent.update(rollout)
    torch.testing.assert_close(agents[0].policy.logits, agents[1].policy.logits, rtol=0, atol=1e-14)
    torch.testing.assert_close(agents[0].policy.values, agents[1].policy.values, rtol=0, atol=1e-14)
    assert not np.allclose(agents[0].policy.values.detach().numpy()[: len(values)], values)


def test_one_step_of_grpo_is_one_of_rloo_scaled(task):
    responses, scores, logits = task
    reference = random_logits(2)
    rollout = replace(write_all(responses, scores.tolist(), table_policy(logits)), group=np.arange(15) // 5)
    grpo = step_of(GRPO(table_policy(logits, reference), GRPOConfig(kl_weight=0.3, **ONE_STEP)), rollout)
    rloo = step_of(RLOO(table_policy(logits, reference), RLOOConfig(kl_weight=0.3, **FREE)), rollout)
    np.testing.assert_allclose(grpo, 4 / 5 * rloo, atol=1e-15)


@pytest.mark.parametrize(
    "make",
    [
        lambda policy: PPO(policy, PPOConfig(mixing=1.0, kl_weight=0.0, **ONE_STEP)),
        lambda policy: GRPO(policy, GRPOConfig(kl_weight=0.0, **ONE_STEP)),
    ],
    ids=["ppo", "grpo"],
)
def test_a_sampler_of_another_precision_is_made_up_for_by_weights_and_not_by_the_ratio(task, make):
    """The ratio compares the learner with itself, so that no token is outside the clip at the first step, whoever wrote it."""
    responses, scores, logits = task
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits)))
    noise = np.random.default_rng(0).normal(size=rollout.logprobs.shape) * rollout.is_action
    other = replace(rollout, logprobs=rollout.logprobs + noise)
    baseline = "none" if "PPO" in type(make(table_policy(logits, value_head=True))).__name__ else "mean"
    reinforce = Reinforce(table_policy(logits), ReinforceConfig(baseline=baseline, kl_weight=0.0, max_grad_norm=float("inf")))
    agent = make(table_policy(logits, value_head=True))
    np.testing.assert_allclose(step_of(agent, other), step_of(reinforce, other), atol=1e-15)
    still = make(table_policy(logits, value_head=True))
    still.optimizer = torch.optim.SGD(still.policy.parameters(), lr=0.0)
    metrics = still.update(other)
    assert metrics["update_ratio_max"] == 1 and metrics["share_clipped"] == metrics["update_kl_nats_per_token"] == 0
    assert metrics["ratio_max"] > 2 and metrics["sampler_mismatch_nats_per_token"] > 0.5


# The clip


def test_gains_are_clipped_as_their_slow_definition_says():
    rng = np.random.default_rng(0)
    logprobs, old, advantages = rng.normal(size=(3, 40, 5))
    fast = clipped_gains(*(torch.as_tensor(array) for array in (logprobs, old, advantages)), 0.2, 0.3).numpy()
    for place in np.ndindex(40, 5):
        ratio, advantage = np.exp(logprobs[place] - old[place]), advantages[place]
        slow = min(ratio * advantage, min(max(ratio, 0.8), 1.3) * advantage)
        assert fast[place] == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("advantage", [2.0, -2.0])
@pytest.mark.parametrize("ratio", [0.5, 0.79, 0.81, 1.0, 1.29, 1.31, 3.0])
def test_the_gradient_of_a_token_is_zero_where_it_has_gone_far_enough_and_whole_where_it_comes_back(ratio, advantage):
    logprobs = torch.tensor([[np.log(ratio)]]).requires_grad_()
    clipped_gains(logprobs, torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), advantage, dtype=torch.float64), 0.2, 0.3).backward()
    is_outside = ratio > 1.3 if advantage > 0 else ratio < 0.8
    assert logprobs.grad.item() == (0.0 if is_outside else pytest.approx(ratio * advantage, rel=1e-12))


def test_at_ratio_one_the_gradient_is_that_of_reinforce():
    rng = np.random.default_rng(0)
    counts = torch.as_tensor(rng.random((4, 6)) < 0.7)
    logprobs, advantages = (torch.as_tensor(rng.normal(size=(4, 6))) for _ in range(2))
    ours, theirs = (logprobs.clone().requires_grad_() for _ in range(2))
    (-episode_mean(clipped_gains(ours, logprobs, advantages, 0.2, 0.2), counts, 4)).backward()
    policy_gradient_loss(theirs, advantages, counts, 4).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_response_that_has_become_likely_enough_is_pushed_no_further(task):
    responses, _, logits = task
    rollout = write_all(responses, [1.0] * len(responses), table_policy(logits)).take(np.array([3]))
    config = PPOConfig(mixing=1.0, kl_weight=0.0, epochs=1, stop_kl=float("inf"))
    once, often = (PPO(table_policy(logits, value_head=True), replace(config, epochs=epochs)) for epochs in (1, 5))
    first = step_of(once, rollout)
    np.testing.assert_array_equal(step_of(often, rollout), first)
    assert np.abs(first).max() > 0.3
    again = PPO(table_policy(logits, value_head=True), config)
    again.optimizer = torch.optim.SGD(again.policy.parameters(), lr=1.0)
    metrics = again.update(rollout)
    assert metrics["share_clipped"] == 1 and metrics["update_ratio_max"] > 1.2


def test_values_are_clipped_as_their_slow_definition_says():
    rng = np.random.default_rng(0)
    values, old, targets = rng.normal(size=(3, 8, 4))
    counts = rng.random((8, 4)) < 0.7
    tensors = [torch.as_tensor(array) for array in (values, old, targets, counts)]
    slow = 0.0
    for place in zip(*np.nonzero(counts), strict=True):
        held = old[place] + np.clip(values[place] - old[place], -0.5, 0.5)
        slow += max((values[place] - targets[place]) ** 2, (held - targets[place]) ** 2) / 2 / counts.sum()
    assert clipped_value_loss(*tensors, counts.sum(), 0.5).item() == pytest.approx(slow, rel=1e-12)
    whole = value_loss(tensors[0], tensors[2], tensors[3], counts.sum())
    assert clipped_value_loss(*tensors, counts.sum(), None) == whole != clipped_value_loss(*tensors, counts.sum(), 0.5)
    torch.testing.assert_close(clipped_value_loss(*tensors, counts.sum(), 1e6), whole)


# Several steps


def slow_ppo(rollout, logits, epochs, ratio_of):
    """Return where plain gradient ascent on PPO's objective ends, response by response; every advantage is the whole score."""
    variable = torch.as_tensor(logits, dtype=torch.float64).clone().requires_grad_()
    old = log_table(variable).detach()
    responses = all_responses()
    for _ in range(epochs):
        table, total = log_table(variable), torch.tensor(0.0, dtype=torch.float64)
        for row in range(len(rollout)):
            for column in range(rollout.lengths[row]):
                place = (responses.prefixes[row, column], responses.tokens[row, column])
                ratio = ratio_of(table[place], old[place])
                total = total + torch.min(ratio * rollout.scores[row], ratio.clamp(0.8, 1.2) * rollout.scores[row])
        variable = (variable + torch.autograd.grad(total / len(rollout), variable)[0]).detach().requires_grad_()
    return variable.detach().numpy() - np.asarray(logits)


def test_a_ratio_that_is_always_one_would_be_seen(task):
    """Three steps on one rollout end where the slow definition ends, and elsewhere than with the ratio of a policy to itself."""
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = PPOConfig(epochs=3, minibatch_size=100, mixing=1.0, kl_weight=0.0, stop_kl=float("inf"))
    step = step_of(PPO(table_policy(logits, value_head=True), config), rollout)
    right = slow_ppo(rollout, logits, 3, lambda now, old: (now - old).exp())
    wrong = slow_ppo(rollout, logits, 3, lambda now, old: (now - now.detach()).exp())
    np.testing.assert_allclose(step, right[: len(logits)], atol=1e-12)
    assert np.abs(step - wrong[: len(logits)]).max() > 0.01


def prepared(rollout, policy):
    """Return a batch with everything that several steps need, its numbers made up."""
    batch = Batch.of(policy, rollout, 0.0, 16)
    rng = np.random.default_rng(0)
    old = look(policy, batch)
    advantages, values = (rng.normal(size=rollout.is_action.shape) * rollout.is_action for _ in range(2))
    return replace(batch, advantages=advantages, old_logprobs=old.logprobs, old_values=values)


def test_minibatches_hold_every_episode_once_with_its_own_numbers_in_an_order_that_the_generator_decides(task):
    responses, scores, logits = task
    batch = prepared(write_all(responses, scores.tolist(), table_policy(logits)), table_policy(logits))
    orders = []
    for generator in (torch.Generator().manual_seed(0), torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)):
        minibatches = list(batch.minibatches(4, generator))
        assert [len(part.rollout) for part in minibatches] == [4, 4, 4, 3]
        orders.append([index for part in minibatches for index in part.rollout.episode_index])
        for part in minibatches:
            rows = [int(np.flatnonzero(batch.rollout.episode_index == index)[0]) for index in part.rollout.episode_index]
            columns = part.rollout.is_action.shape[1]
            assert (part.num_episodes, part.num_tokens) == (len(rows), batch.rollout.lengths[rows].sum())
            for name in ("advantages", "old_logprobs", "old_values", "reference_logprobs", "rewards"):
                np.testing.assert_array_equal(getattr(part, name), getattr(batch, name)[rows, :columns])
    assert sorted(orders[0]) == sorted(batch.rollout.episode_index) and orders[0] == orders[1] != orders[2]
    again = torch.Generator().manual_seed(0)
    first, second = ([index for part in batch.minibatches(4, again) for index in part.rollout.episode_index] for _ in range(2))
    assert first == orders[0] != second


@pytest.mark.parametrize(
    "make",
    [
        lambda policy: PPO(policy),
        lambda policy: GRPO(policy),
        lambda policy: GRPO(policy, GRPOConfig(mean_over="token", kl_as="k3")),
        lambda policy: GRPO(policy, GRPOConfig(mean_over="response")),
    ],
    ids=["ppo", "grpo", "grpo, token", "grpo, response"],
)
def test_the_losses_of_parts_add_up_to_that_of_the_whole(task, make):
    """Parts share the counts of the whole. Minibatches have counts of their own: there it is the mean of the losses, weighted by counts."""
    responses, scores, logits = task
    policy = table_policy(logits, random_logits(2), value_head=True)
    batch = prepared(write_all(responses, scores.tolist(), table_policy(logits)), policy)
    agent = make(policy)
    whole = agent.loss(batch)[0].item()
    assert sum(agent.loss(part)[0].item() for _, part in batch.parts(4)) == pytest.approx(whole, rel=1e-12)
    if isinstance(agent, GRPO):
        by_token = agent.config.mean_over == "token"
        shares = [
            (part.num_tokens / batch.num_tokens if by_token else part.num_episodes / batch.num_episodes, agent.loss(part)[0].item())
            for part in batch.minibatches(4, torch.Generator().manual_seed(0))
        ]
        assert sum(share * loss for share, loss in shares) == pytest.approx(whole, rel=1e-12)


def test_a_response_mean_weighs_each_response_alike_however_long_it_is():
    counts = torch.tensor([[True, True, False, False], [True, True, True, True], [False] * 4])
    terms = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 4)))
    slow = (terms[0, :2].mean() + terms[1].mean() + 0) / 3
    assert response_mean(terms, counts, 3).item() == pytest.approx(slow.item(), rel=1e-12)


def test_steps_end_where_the_policy_has_gone_too_far(task):
    responses, scores, logits = task
    rollout = as_group(write_all(responses, scores.tolist(), table_policy(logits)))
    taken = {}
    for stop_kl in (0.0, 0.01, float("inf")):
        config = PPOConfig(epochs=4, minibatch_size=5, learning_rate=0.05, stop_kl=stop_kl)
        taken[stop_kl] = PPO(table_policy(logits, value_head=True), config).update(rollout)
    assert taken[0.0]["num_steps"] == 1  # before the first step the divergence is 0, before the second it is not
    assert 1 < taken[0.01]["num_steps"] < taken[float("inf")]["num_steps"] == 12
    kls = [taken[stop_kl]["update_kl_nats_per_token"] for stop_kl in (0.0, 0.01, float("inf"))]
    assert 0 < kls[0] < 0.01 < kls[1] < kls[2]


def test_a_step_from_a_policy_that_has_gone_too_far_is_not_taken(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    one, stopped = (
        step_of(PPO(table_policy(logits, value_head=True), PPOConfig(epochs=epochs, stop_kl=0.0)), rollout) for epochs in (1, 4)
    )
    free = step_of(PPO(table_policy(logits, value_head=True), PPOConfig(epochs=4, stop_kl=float("inf"))), rollout)
    np.testing.assert_allclose(stopped, one, atol=1e-15)
    assert np.abs(free - one).max() > 0.01


def test_divergence_and_ratios_of_an_update_are_those_between_the_policies_before_and_after_it(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    agent = PPO(table_policy(logits, value_head=True), PPOConfig(learning_rate=0.1, stop_kl=float("inf")))
    metrics = agent.update(rollout)
    after = with_logprobs(rollout, agent.policy).logprobs
    change = (after - rollout.logprobs)[rollout.is_action]
    assert metrics["update_ratio_max"] == pytest.approx(np.exp(change).max(), rel=1e-12) and metrics["ratio_max"] == 1
    assert metrics["share_clipped"] == pytest.approx(np.mean(np.abs(np.exp(change) - 1) > 0.2)) and 0 < metrics["share_clipped"] < 1
    assert metrics["update_kl_nats_per_token"] == pytest.approx(np.mean(np.exp(change) - 1 - change), rel=1e-9)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"minibatch_size": 0}])
def test_no_epoch_or_an_empty_minibatch_is_refused(task, options):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    with pytest.raises(ValueError, match="epochs and minibatch_size must be at least 1, got"):
        PPO(table_policy(logits, value_head=True), PPOConfig(**options)).update(rollout)


def test_before_any_step_every_minibatch_of_a_language_model_has_ratio_one():
    responses = all_responses()
    policy = CausalPolicy(tiny_llama(), device="cpu", value_head=True)
    batch = prepared(with_logprobs(write_all(responses, random_scores(responses).tolist()), policy), policy)
    agent = PPO(policy, PPOConfig(learning_rate=0.0, critic_learning_rate=0.0))
    take_steps(agent.loss, batch, agent.optimizer, torch.Generator(), epochs=2, minibatch_size=4)
    np.testing.assert_allclose(np.exp(look(policy, batch).logprobs - batch.old_logprobs), 1.0, atol=1e-5)
    for minibatch in batch.minibatches(4, torch.Generator().manual_seed(0)):
        now = agent.loss(minibatch)[1].logprobs.detach().numpy()
        np.testing.assert_allclose(np.exp(now - minibatch.old_logprobs), 1.0, atol=1e-5)


# Groups


def test_a_response_is_as_good_as_its_distance_from_the_mean_of_its_group_in_deviations():
    returns, group = np.array([1.0, 2.0, 6.0, 5.0, 5.0]), np.array([7, 7, 7, 3, 3])
    np.testing.assert_allclose(group_advantages(returns, group, False), [-2, -1, 3, 0, 0])
    deviation = np.sqrt((4 + 1 + 9) / 3)
    np.testing.assert_allclose(group_advantages(returns, group, True), np.array([-2, -1, 3, 0, 0]) / [deviation] * 1, rtol=1e-12)


def test_groups_with_equal_scores_are_counted_and_those_with_one_score_are_not(task):
    responses, _, logits = task
    rollout = write_all(responses, [1.0] * 15, table_policy(logits)).take(np.arange(8))
    rollout = replace(
        rollout,
        group=np.array([0, 0, 1, 1, 2, 2, 3, 3]),
        scores=np.array([1.0, 1.0, 1.0, 2.0, 5.0, 0.0, 3.0, 3.0]),
        is_scored=np.array([True, True, True, True, True, False, True, True]),
    )
    assert describe(rollout)["share_degenerate_groups"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(comparable_rows(rollout, drop_degenerate=False), [0, 1, 2, 3, 6, 7])
    np.testing.assert_array_equal(comparable_rows(rollout, drop_degenerate=True), [2, 3])
    alone = replace(rollout, group=np.arange(8))
    assert "share_degenerate_groups" not in describe(alone)


@pytest.mark.parametrize("divide_by_std", [False, True])
def test_a_group_with_equal_scores_pushes_nothing_and_dropping_it_gives_the_others_its_share(task, divide_by_std):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    equal = rollout.scores.copy()
    equal[:5] = 0.3
    rewards = np.where(rollout.rewards != 0, equal[:, None], 0.0)
    rollout = replace(rollout, scores=equal, rewards=rewards, group=np.arange(15) // 5)
    config = GRPOConfig(kl_weight=0.0, divide_by_std=divide_by_std, **ONE_STEP)
    kept = step_of(GRPO(table_policy(logits), config), rollout)
    dropped = step_of(GRPO(table_policy(logits), replace(config, drop_degenerate=True)), rollout)
    without = step_of(GRPO(table_policy(logits), config), rollout.take(np.arange(5, 15)))
    np.testing.assert_allclose(dropped, without, atol=1e-15)
    np.testing.assert_allclose(kept, 2 / 3 * without, atol=1e-15)
    assert GRPO(table_policy(logits), config).update(rollout)["share_degenerate_groups"] == pytest.approx(1 / 3)


def test_where_every_group_is_dropped_nothing_is_learned_and_it_is_said(task):
    responses, _, logits = task
    rollout = as_group(write_all(responses, [0.5] * 15, table_policy(logits)))
    agent = GRPO(table_policy(logits), GRPOConfig(drop_degenerate=True))
    metrics = agent.update(rollout)
    assert metrics["skipped"] == metrics["share_degenerate_groups"] == 1 and metrics["score"] == 0.5
    np.testing.assert_array_equal(agent.policy.logits.detach()[: len(logits)], logits[: len(agent.policy.logits)])


def test_groups_of_one_are_an_error_that_says_what_to_type(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    with pytest.raises(ValueError, match=r"needs at least 2 episodes, but 15 of 15 have 1: make the environment with group_size=4, say"):
        GRPO(table_policy(logits)).update(rollout)


def test_the_published_penalty_of_grpo_pulls_towards_the_reference(task):
    responses, _, logits = task
    reference = random_logits(2)
    rollout = as_group(write_all(responses, [0.0] * 15, table_policy(logits)))
    agent = GRPO(table_policy(logits, reference), GRPOConfig(kl_as="k3", kl_weight=1.0, learning_rate=0.05, epochs=100))
    before = agent.update(rollout)["kl_nats_per_response"]
    again = with_logprobs(rollout, agent.policy)
    assert agent.update(again)["kl_nats_per_response"] < before - 0.1


# The critic, episodes cut from outside, going on


@pytest.mark.parametrize(("mixing", "value_clip"), [(1.0, None), (0.5, None), (0.5, 0.2)])
def test_the_critic_of_ppo_comes_to_know_the_exact_values_of_an_unchanging_policy(task, mixing, value_clip):
    """Every response stands in the rollout as often as its share of 60 says, so that values are means over rows, without noise."""
    responses, scores, logits = task
    rows = np.repeat(np.arange(15), np.round(60 * probabilities_of(logits, responses)).astype(int))
    rollout = write_all(responses, scores.tolist(), table_policy(logits)).take(rows)
    policy = table_policy(logits, value_head=True)
    config = PPOConfig(
        learning_rate=0.0, critic_learning_rate=0.1, epochs=2, mixing=mixing, kl_weight=0.0, value_clip=value_clip, minibatch_size=100
    )
    agent = PPO(policy, config)
    for _ in range(60):
        agent.update(rollout)
    prefixes = np.where(responses.is_action, responses.prefixes, -1)[rows]
    met = np.unique(prefixes[prefixes >= 0])
    exact = [scores[rows][(prefixes == prefix).any(axis=1)].mean() for prefix in met]
    np.testing.assert_allclose(policy.values.detach().numpy()[met], exact, atol=0.01)
    assert len(met) >= 5 and np.std(exact) > 0.3


def test_a_response_cut_from_outside_teaches_ppo_by_its_value(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    is_first = np.arange(len(rollout)) == 0
    silent = replace(rollout, is_scored=~is_first, scores=rollout.scores * ~is_first, rewards=rollout.rewards * ~is_first[:, None])
    cut = replace(silent, is_truncated=is_first, bootstrap=np.where(is_first, 3.0, 0.0))
    as_score = rollout.rewards.copy()
    as_score[0, rollout.lengths[0] - 1] = 3.0
    config = PPOConfig(mixing=0.5, **ONE_STEP)
    steps = [step_of(PPO(table_policy(logits, value_head=True), config), batch) for batch in (cut, replace(rollout, rewards=as_score))]
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-15)


def test_a_critic_is_needed():
    with pytest.raises(ValueError, match="PPO needs a policy that estimates values: make it with value_head=True"):
        PPO(table_policy(None))


RESUMED = {
    "rloo": lambda policy: RLOO(policy, RLOOConfig(learning_rate=0.1, kl_target=0.01)),
    "ppo": lambda policy: PPO(policy, PPOConfig(learning_rate=0.1, minibatch_size=4, kl_target=0.01)),
    "grpo": lambda policy: GRPO(policy, GRPOConfig(learning_rate=0.1, minibatch_size=4)),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_an_agent_that_is_restored_gives_the_numbers_of_one_that_went_on(kind, tmp_path):
    """Weights, optimiser, order of minibatches and weight of the penalty."""
    responses = all_responses()
    source = Table({responses.ids(number): float(score) for number, score in enumerate(random_scores(responses))})
    env = make_env(source, num_envs=8, group_size=4)

    def train(agent, updates):
        return [agent.update(collect(env, agent, 16, seed=update)) for update in updates]

    def fresh():
        return RESUMED[kind](table_policy(None, value_head=True))

    whole, first, second, forgetful = fresh(), fresh(), fresh(), fresh()
    metrics = train(whole, range(4))[2:]
    train(first, range(2))
    folder = save(first, tmp_path / "checkpoint")
    restore(second, folder)
    assert train(second, range(2, 4)) == metrics
    torch.testing.assert_close(second.policy.logits, whole.policy.logits, rtol=0, atol=0)
    own = forgetful.state_dict()
    restore(forgetful, folder)
    forgetful.load_state_dict(own)  # as if the agent's own state had not been saved
    assert train(forgetful, range(2, 4)) != metrics
