"""Check that every agent learns what can be learned, and leaves alone what it should."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

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
    TabularPolicy,
    Uniform,
    collect,
)
from agents.learning.step import Batch
from tests.exact_task import (
    PROMPT,
    Table,
    all_responses,
    make_env,
    random_logits,
    random_scores,
    table_policy,
    write_all,
)
from tests.test_learning_exact import step_of, tiny_llama
from text_env.exact import kl_optimum, list_responses, response_logprobs

AGENTS = {
    "reinforce, no baseline": lambda policy, **options: Reinforce(policy, ReinforceConfig(baseline="none", **options)),
    "reinforce, mean": lambda policy, **options: Reinforce(policy, ReinforceConfig(baseline="mean", **options)),
    "reinforce, leave one out": lambda policy, **options: Reinforce(policy, ReinforceConfig(**options)),
    "actor-critic": lambda policy, **options: ActorCritic(policy, ActorCriticConfig(critic_learning_rate=0.1, **options)),
    "actor-critic, one step": lambda policy, **options: ActorCritic(
        policy, ActorCriticConfig(critic_learning_rate=0.1, mixing=0.0, **options)
    ),
    "rloo": lambda policy, **options: RLOO(policy, RLOOConfig(**options)),
    "ppo": lambda policy, **options: PPO(policy, PPOConfig(critic_learning_rate=0.1, **without_shared(options))),
    "ppo, values clipped": lambda policy, **options: PPO(
        policy, PPOConfig(critic_learning_rate=0.1, value_clip=0.5, minibatch_size=32, **without_shared(options))
    ),
    "grpo": lambda policy, **options: GRPO(policy, GRPOConfig(**without_shared(options))),
    "grpo, as published": lambda policy, **options: GRPO(
        policy, GRPOConfig(divide_by_std=True, mean_over="response", clip_above=0.2, kl_as="k3", **without_shared(options))
    ),
    "grpo, as dapo": lambda policy, **options: GRPO(
        policy, GRPOConfig(mean_over="token", divide_by_std=True, drop_degenerate=True, **without_shared(options))
    ),
}
SIZE, LENGTH = 5, 4  # vocabulary and horizon of the task that is learned: 341 responses


def without_shared(options):
    """Leave out the settings that agents with many steps on a rollout have as constants."""
    return {name: value for name, value in options.items() if name not in ("max_grad_norm", "rows_per_backward")}


def has_critic(kind):
    return kind.startswith(("actor-critic", "ppo"))


def share_of_optimum(policy, responses, scores, kl_weight):
    """Return (J - J_ref) / (J* - J_ref) of the objective score - kl_weight * KL, from sums over all responses."""
    logprobs, reference = (
        response_logprobs(responses, torch.log_softmax(table.detach(), -1).numpy()) for table in (policy.logits, policy.reference)
    )
    reached = np.exp(logprobs) @ (scores - kl_weight * (logprobs - reference))
    at_start = np.exp(reference) @ scores
    best = kl_optimum(reference, scores, kl_weight)
    optimum = best @ (scores - kl_weight * (np.log(best) - reference))
    return (reached - at_start) / (optimum - at_start)


def good_pairs(ids):
    """Pay for neighbours that follow each other in a circle, and half as much for ending by oneself."""
    return sum(pair in ((0, 1), (1, 2), (2, 0)) for pair in pairwise(ids)) + 0.5 * (ids[-1] == SIZE - 1)


SEVERAL_STEPS = [kind for kind in AGENTS if kind.startswith(("ppo", "grpo"))]  # on each rollout, so that fewer rollouts do
BIASED = "grpo, as published"


def share_reached(kind):
    """Train an agent on a task of 341 responses, and return how much of the way to the optimum it has gone."""
    responses = list_responses(SIZE, LENGTH, end_ids=(SIZE - 1,))
    source = Table({responses.ids(number): good_pairs(responses.ids(number)) for number in range(len(responses))})
    env = make_env(source, num_envs=64, vocab_size=SIZE, horizon=LENGTH, end=SIZE - 1, group_size=4 if kind.startswith("grpo") else 1)
    policy = TabularPolicy(SIZE, LENGTH, prompts=[PROMPT], value_head=has_critic(kind))
    agent = AGENTS[kind](policy, learning_rate=0.1, kl_weight=0.2, rows_per_backward=256)
    for update in range(20 if kind in SEVERAL_STEPS else 80):
        agent.update(collect(env, agent, 128, seed=update))
    return share_of_optimum(policy, responses, responses.scores(good_pairs), 0.2)


@pytest.mark.parametrize("kind", [kind for kind in AGENTS if kind != BIASED])
def test_every_agent_reaches_95_percent_of_the_optimum(kind):
    assert share_reached(kind) > 0.95


def test_grpo_as_published_learns_and_stops_short_of_the_optimum():
    """It follows another objective: 0.80 to 0.85 of the way at every tenth update from 10 to 80.

    The penalty as a k3 loss is the reason: with it alone, and the other settings at their defaults, it was 0.75.
    """
    assert 0.7 < share_reached(BIASED) < 0.9


def test_uniform_chooses_every_allowed_token_equally_often_and_says_so():
    env = make_env(Table({(token,): float(token) for token in range(3)}), num_envs=50, horizon=1, banned_tokens=[1], end=2)
    rollout = collect(env, Uniform(3), 2000, seed=0)
    counts = np.bincount(rollout.actions[:, 0], minlength=3)
    assert counts[1] == 0 and abs(counts[0] - 1000) < 4 * np.sqrt(500)
    np.testing.assert_allclose(rollout.logprobs[:, 0], np.log(0.5), rtol=1e-6)
    assert Uniform(3).update(rollout) == {"score": pytest.approx(counts[2] / 1000)}


@pytest.fixture
def rollout():
    responses = all_responses()
    return in_groups(write_all(responses, random_scores(responses).tolist(), table_policy(random_logits(1))))


def in_groups(rollout, size=5):
    """Return the rollout as if every `size` episodes had been written as one group."""
    return replace(rollout, group=np.arange(len(rollout)) // size)


def agent_of(kind, **options):
    policy = table_policy(random_logits(1), random_logits(2), value_head=has_critic(kind))
    return AGENTS[kind](policy, max_grad_norm=float("inf"), **options)


def muted(rollout, rows):
    """Return the rollout with the scores of these rows taken away, as where the feedback abstains."""
    keep = ~np.isin(np.arange(len(rollout)), rows)
    return replace(rollout, is_scored=keep, scores=rollout.scores * keep, rewards=rollout.rewards * keep[:, None])


@pytest.mark.parametrize("kind", AGENTS)
def test_an_abstention_counts_neither_in_the_loss_nor_in_the_baseline(kind, rollout):
    silent = [1, 4, 7]
    kept = np.setdiff1d(np.arange(len(rollout)), silent)
    with_silence = step_of(agent_of(kind), muted(rollout, silent))
    without = step_of(agent_of(kind), rollout.take(kept))
    np.testing.assert_allclose(with_silence, without, atol=1e-15)
    assert np.abs(without).max() > 0.01


@pytest.mark.parametrize("kind", AGENTS)
def test_a_rollout_without_any_score_changes_nothing_and_is_counted(kind, rollout):
    agent = agent_of(kind)
    before = agent.policy.logits.detach().clone()
    metrics = agent.update(muted(rollout, np.arange(len(rollout))))
    torch.testing.assert_close(agent.policy.logits.detach(), before, rtol=0, atol=0)
    assert metrics["skipped"] == 1 and metrics["share_scored"] == 0 and "score" not in metrics


@pytest.mark.parametrize("kind", ["reinforce, mean", "reinforce, leave one out", "rloo", "grpo"])
def test_responses_with_equal_scores_teach_nothing(kind, rollout):
    equal = replace(rollout, rewards=np.where(rollout.rewards != 0, 2.0, 0.0), scores=np.full(len(rollout), 2.0))
    metrics = agent_of(kind, kl_weight=0.0).update(equal)
    assert metrics["grad_norm"] == pytest.approx(0, abs=1e-15)
    assert metrics["share_degenerate_groups"] == 1
    assert all(np.isfinite(list(metrics.values())))


@pytest.mark.parametrize("kind", [kind for kind in AGENTS if not kind.startswith("grpo")])
def test_one_response_gives_finite_numbers(kind, rollout):
    metrics = agent_of(kind).update(rollout.take(np.array([0])))
    assert all(np.isfinite(list(metrics.values())))


@pytest.mark.parametrize("kind", AGENTS)
def test_at_the_first_step_ratios_are_one_and_the_divergence_from_the_reference_is_zero(kind):
    policy = table_policy(random_logits(1), value_head=has_critic(kind))
    agent = AGENTS[kind](policy, learning_rate=0.1)
    responses = all_responses()
    rollout = in_groups(write_all(responses, random_scores(responses).tolist(), policy))
    metrics = agent.update(rollout)
    assert metrics["ratio_mean"] == metrics["ratio_max"] == 1
    assert metrics["sampler_mismatch_nats_per_token"] == metrics["kl_nats_per_response"] == metrics["kl_nats_per_token"] == 0
    metrics = agent.update(rollout)  # the policy has moved, so that a ratio which is always 1 is seen
    assert metrics["ratio_mean"] != 1 and metrics["ratio_max"] > 1 and metrics["kl_nats_per_token"] != 0


def test_metrics_say_what_the_texts_say(rollout):
    metrics = agent_of("reinforce, leave one out").update(muted(rollout, [0]))
    assert metrics["score"] == pytest.approx(rollout.scores[1:].mean())
    assert metrics["share_scored"] == pytest.approx(14 / 15)
    assert metrics["tokens_per_response"] == pytest.approx(rollout.lengths.mean())
    assert metrics["share_ended"] == pytest.approx(7 / 15)  # of 15 responses 8 run out of tokens


def test_the_penalty_for_drift_leaves_the_logged_score_alone(rollout):
    free, charged = (agent_of("reinforce, leave one out", kl_weight=weight).update(rollout) for weight in (0.0, 5.0))
    assert free["score"] == charged["score"] == pytest.approx(rollout.scores.mean())
    assert free["grad_norm"] != charged["grad_norm"]


def test_a_response_cut_from_outside_teaches_actor_critic_by_its_value_and_reinforce_not(rollout):
    row = 0
    cut = replace(
        muted(rollout, [row]), is_truncated=np.arange(len(rollout)) == row, bootstrap=np.where(np.arange(len(rollout)) == row, 3.0, 0.0)
    )
    as_score = rollout.rewards.copy()
    as_score[row, rollout.lengths[row] - 1] = 3.0
    scored = replace(rollout, rewards=as_score)
    for mixing in (1.0, 0.5):
        steps = [step_of(critic(mixing), batch) for batch in (cut, scored)]
        np.testing.assert_allclose(steps[0], steps[1], atol=1e-15)
    without = step_of(agent_of("reinforce, leave one out"), rollout.take(np.arange(1, len(rollout))))
    np.testing.assert_allclose(step_of(agent_of("reinforce, leave one out"), cut), without, atol=1e-15)


def critic(mixing, **options):
    policy = table_policy(random_logits(1), value_head=True)
    return ActorCritic(policy, ActorCriticConfig(mixing=mixing, max_grad_norm=float("inf"), **options))


def test_the_critic_comes_to_know_the_values_of_an_unchanging_policy(rollout):
    """From its own texts and from those of an older policy, which V-trace reweighs."""
    responses = all_responses()
    scores = random_scores(responses)
    logits = random_logits(1)
    source = Table({responses.ids(number): float(scores[number]) for number in range(len(responses))})
    policy = table_policy(logits, value_head=True)
    config = ActorCriticConfig(learning_rate=0.0, critic_learning_rate=0.03, mixing=0.9, kl_weight=0.0, max_grad_norm=float("inf"))
    agent = ActorCritic(policy, config)
    env = make_env(source, num_envs=64)
    for update in range(100):
        agent.update(collect(env, agent, 64, seed=update))
    table = torch.log_softmax(torch.as_tensor(logits), -1).numpy()
    expected = np.exp(response_logprobs(responses, table)) @ scores
    assert policy.values[0].item() == pytest.approx(expected, abs=0.1)


def test_the_critic_learns_from_earlier_rollouts_as_many_as_it_is_told_to_keep(rollout):
    agents = [critic(0.9, replay_rollouts=count, learning_rate=0.1) for count in (0, 2)]
    for agent in agents:
        metrics = [agent.update(rollout) for _ in range(4)]
    assert [len(agent.replay) for agent in agents] == [0, 2]
    assert "replay_critic_loss" in metrics[-1] and "replay_critic_loss" not in metrics[0]
    assert not torch.equal(agents[0].policy.values, agents[1].policy.values)


def test_earlier_rollouts_move_the_critic_alone(rollout):
    one, two = (critic(1.0, replay_rollouts=count, kl_weight=0.0, learning_rate=0.1) for count in (0, 2))
    for agent in (one, two):  # at mixing 1 the values do not change the actor's mean step, but they do change each single one
        agent.update(rollout)
    logits = two.policy.logits.detach().clone()
    earlier = Batch.of(two.policy, rollout, 0.0, 16)
    two.optimizer.zero_grad()
    two.critic_loss(earlier)[0].backward()
    assert two.policy.logits.grad is None or not two.policy.logits.grad.any()
    torch.testing.assert_close(two.policy.logits.detach(), logits, rtol=0, atol=0)


def test_actor_critic_needs_values():
    with pytest.raises(ValueError, match="make it with value_head=True"):
        ActorCritic(table_policy(None))


def test_a_gradient_that_is_not_finite_is_an_error_and_changes_nothing(rollout):
    agent = agent_of("reinforce, leave one out", importance_cap=float("inf"))
    before = agent.policy.logits.detach().clone()
    broken = replace(rollout, logprobs=np.where(rollout.is_action, -1000.0, 0.0))
    with pytest.raises(FloatingPointError, match="the gradient is not finite"):
        agent.update(broken)
    torch.testing.assert_close(agent.policy.logits.detach(), before, rtol=0, atol=0)


def test_gradients_are_clipped_to_the_norm_and_reported_as_they_were(rollout):
    free, clipped = (
        agent_of("reinforce, leave one out"),
        AGENTS["reinforce, leave one out"](agent_of("reinforce, mean").policy, max_grad_norm=1e-3),
    )
    whole, small = step_of(free, rollout), step_of(clipped, rollout)
    assert np.linalg.norm(small) == pytest.approx(1e-3, rel=1e-3)
    np.testing.assert_allclose(small / np.linalg.norm(small), whole / np.linalg.norm(whole), atol=1e-5)


def test_a_language_model_learns_which_token_pays():
    responses = all_responses()
    source = Table({responses.ids(number): float(responses.ids(number).count(1)) for number in range(len(responses))})
    agent = Reinforce(CausalPolicy(tiny_llama(), device="cpu"), ReinforceConfig(learning_rate=0.02, kl_weight=0.0))
    env = make_env(source, num_envs=32)
    scores = [agent.update(collect(env, agent, 32, seed=update))["score"] for update in range(40)]
    assert np.mean(scores[-5:]) > 2.7 > np.mean(scores[:2])
