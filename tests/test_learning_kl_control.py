"""Check how the weight of the penalty for leaving the reference is chosen, and in which unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import PPO, RLOO, PPOConfig, RLOOConfig, collect
from agents.learning.kl_control import KLControl
from tests.exact_task import Table, all_responses, make_env, random_scores, table_policy, write_all


@pytest.mark.parametrize("num_episodes", [64, 320])
@pytest.mark.parametrize("kl", [0.0, 1.9, 2.0, 2.1, 2.3, 3.0, 100.0, -5.0])
def test_the_weight_moves_by_the_relative_error_and_by_a_fifth_of_itself_at_most(kl, num_episodes):
    control = KLControl(0.3, target=2.0, horizon=640)
    control.observe(kl, num_episodes)
    error = sorted([-0.2, (kl - 2.0) / 2.0, 0.2])[1]
    assert control.weight == pytest.approx(0.3 * (1 + error * num_episodes / 640), rel=1e-12)
    assert (control.weight > 0.3) == (kl > 2.0) and (control.weight < 0.3) == (kl < 2.0)


def test_more_episodes_than_the_horizon_count_as_the_horizon():
    """So that the weight never turns its sign, however many there are."""
    control = KLControl(0.3, target=2.0, horizon=10)
    control.observe(0.0, 1_000_000)
    assert control.weight == pytest.approx(0.3 * 0.8)


def test_without_a_target_the_weight_stays():
    control = KLControl(0.3)
    control.observe(100.0, 64)
    assert control.weight == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -0.1}, "kl_weight must be at least 0, got -0.1"),
        ({"weight": 0.1, "target": 0.0}, "kl_target is nats per response and must be above 0, got 0.0; None keeps kl_weight as it is"),
        ({"weight": 0.0, "target": 1.0}, "kl_weight must be above 0 for kl_target=1.0 to move it, got 0"),
        ({"weight": 0.1, "target": 1.0, "horizon": 0}, "horizon must be above 0 episodes, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        KLControl(**arguments)


AGENTS = {
    "rloo": lambda policy, **options: RLOO(policy, RLOOConfig(learning_rate=0.0, **options)),
    "ppo": lambda policy, **options: PPO(policy, PPOConfig(learning_rate=0.0, **options)),
}


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize(("target", "direction"), [(0.3, 0), (0.2, 1), (0.4, -1)])
def test_an_agent_compares_nats_per_response_with_its_target(kind, target, direction):
    """Every response has 3 tokens, each 0.1 nats likelier than under the reference: 0.3 nats a response. Nats per token would be 0.1."""
    responses = all_responses()
    policy = table_policy(None, value_head=True)
    rollout = write_all(responses, [0.0] * len(responses), policy)
    rollout = rollout.take(np.flatnonzero(rollout.lengths == 3))
    policy.reference_logprobs = lambda tokens, lengths, is_action, masks=None, rows_per_chunk=None: (
        policy.evaluate(tokens, lengths, is_action).logprobs.detach() - 0.1 * torch.as_tensor(is_action).double()
    )
    agent = AGENTS[kind](policy, kl_weight=0.5, kl_target=target)
    metrics = agent.update(rollout)
    assert metrics["kl_nats_per_response"] == pytest.approx(0.3) and metrics["kl_weight"] == 0.5
    once = 1 + 0.2 * direction * len(rollout) / 640
    assert agent.kl.weight == pytest.approx(0.5 * once, rel=1e-12)
    assert agent.update(rollout)["kl_weight"] == pytest.approx(0.5 * once, rel=1e-12)


@pytest.mark.parametrize("kind", AGENTS)
def test_the_weight_that_is_charged_is_the_present_one(kind):
    responses = all_responses()
    rollout = write_all(responses, random_scores(responses).tolist(), table_policy(None))
    rollout = replace(rollout, group=np.zeros(len(rollout), dtype=np.int64))
    losses = []
    for weight, present in ((0.5, 0.5), (0.1, 0.5), (0.1, 0.1)):
        agent = AGENTS[kind](table_policy(None, np.random.default_rng(0).normal(size=(40, 3)), value_head=True), kl_weight=weight)
        agent.kl.weight = present
        losses.append(agent.update(rollout)["grad_norm"])
    assert losses[0] == losses[1] != losses[2]


def test_a_target_is_reached_from_above_and_from_below():
    responses = all_responses()
    scores = random_scores(responses)
    source = Table({responses.ids(number): float(scores[number]) for number in range(len(responses))})
    for weight in (0.5, 2.0):
        agent = RLOO(table_policy(None), RLOOConfig(learning_rate=0.1, kl_weight=weight, kl_target=0.4))
        env = make_env(source, num_envs=64)
        divergences = [agent.update(collect(env, agent, 64, seed=update))["kl_nats_per_response"] for update in range(120)]
        assert np.mean(divergences[-40:]) == pytest.approx(0.4, rel=0.15)
        assert agent.kl.weight == pytest.approx(1.05, rel=0.2)  # the same one, wherever it began
