"""Break runs on purpose, one fault each: every one gets its own finding, and a healthy run gets none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents import PPO, PPOConfig, Reinforce, ReinforceConfig, TabularPolicy, collect, train
from agents.__main__ import main
from agents.learning.diagnosis import RULES, Diary, Severity, diagnose, read_diary
from tests.exact_task import HORIZON, PROMPT, VOCAB_SIZE, make_env

NUM_UPDATES = 12


class Firsts:
    """Pay for tokens of id 0: a task that is learned in a few updates."""

    low, high, unit = 0.0, 1.0, "share"

    def __call__(self, episodes):
        return [float((episode.ids == 0).mean()) for episode in episodes]


class Constant(Firsts):
    def __call__(self, episodes):
        return [0.5 for _ in episodes]


class Reticent(Firsts):
    """Judge one response of eighty-one: the one of three tokens of id 1."""

    def __call__(self, episodes):
        return [1.0 if episode.ids.tolist() == [1, 1, 1] else None for episode in episodes]


class Noise(Firsts):
    def __init__(self):
        self.generator = np.random.default_rng(0)

    def __call__(self, episodes):
        return [float(self.generator.random()) for _ in episodes]


class Rare(Firsts):
    """Pay for one response, so that most groups have none of it."""

    def __call__(self, episodes):
        return [float(episode.ids.tolist() == [1, 0, 1]) for episode in episodes]


def run(folder, feedback=None, *, group_size=1, temperature=1.0, num_updates=NUM_UPDATES, env=None, **settings):
    """Train on the tiny task, and return the diary of the run."""
    env = make_env(Firsts() if feedback is None else feedback, num_envs=32, group_size=group_size, **(env or {}))
    policy = TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT], temperature=temperature)
    agent = Reinforce(policy, ReinforceConfig(**{"learning_rate": 0.05, **settings}))
    train(env, agent, num_updates, 32, folder=folder, show=False)
    return read_diary(folder)


FAULTS = [
    ("standstill", Severity.CRITICAL, {"learning_rate": 0.0}),
    ("leap", Severity.WARNING, {"learning_rate": 10.0}),
    ("constant_score", Severity.CRITICAL, {"feedback": Constant()}),
    ("abstains", Severity.CRITICAL, {"feedback": Reticent()}),
    ("cut_off", Severity.NOTE, {"env": {"horizon": 1, "min_new_tokens": 1}}),
    ("heavy_penalty", Severity.CRITICAL, {"kl_weight": 50.0}),
    ("entropy_collapse", Severity.WARNING, {"learning_rate": 0.5, "kl_weight": 0.0}),
    ("degenerate_groups", Severity.WARNING, {"feedback": Rare(), "group_size": 4}),
    ("identical_responses", Severity.CRITICAL, {"temperature": 0.0}),
    ("noisy_score", Severity.CRITICAL, {"feedback": Noise()}),
    ("clipped_gradient", Severity.CRITICAL, {"max_grad_norm": 1e-15}),
]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "healthy")


def test_a_healthy_run_has_no_finding(healthy):
    scores = healthy.series("score")
    assert scores[-1] > scores[0] + 0.1  # it learns
    assert diagnose(healthy) == []


def test_a_healthy_run_in_groups_has_no_finding(tmp_path):
    assert diagnose(run(tmp_path / "run", group_size=4)) == []


@pytest.mark.parametrize(("name", "severity", "fault"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_a_run_that_was_broken_on_purpose_is_told_its_fault(name, severity, fault, tmp_path):
    found = {finding.name: finding for finding in diagnose(run(tmp_path / "run", **fault))}
    assert found[name].severity == severity, found
    assert found[name].cause and found[name].change


def test_an_update_measures_the_spread_of_advantages_and_what_values_explain(tmp_path):
    env = make_env(Firsts(), num_envs=32)
    agent = PPO(TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT], value_head=True), PPOConfig(mixing=1.0, kl_weight=0.0))
    rollout = collect(env, agent, 32, seed=0)
    metrics = agent.update(rollout)
    # values begin at 0 and the whole return is the score, so every advantage is the score of its episode, and nothing is explained
    advantages = np.repeat(rollout.scores, rollout.lengths)
    assert metrics["advantage_spread"] == pytest.approx(advantages.std())
    assert metrics["value_explained"] == pytest.approx(0.0)


def lines(**series):
    """Return a diary with these metrics."""
    length = len(next(iter(series.values())))
    metrics = [{"update": number + 1, **{name: values[number] for name, values in series.items()}} for number in range(length)]
    return Diary(metrics, [], {"agent": "agents.ppo:PPO", "config": {}})


@pytest.mark.parametrize(
    ("name", "diary", "seen"),
    [
        (
            "far_away",
            lines(kl_nats_per_token=[0.2, 0.4, 0.6, 0.8, 1.05], loss=[0.0] * 5),
            "the policy is 1.05 nats per token from the reference",
        ),
        ("no_gradient", lines(grad_norm=[1e-12] * 3), "the gradient's norm is 1e-12"),
        (
            "clipped_ratios",
            lines(share_clipped=[0.5, 0.4, 0.6], loss=[0.0] * 3),
            "50.0% of the tokens leave the range of the ratio in an update",
        ),
        (
            "sampler_mismatch",
            lines(sampler_mismatch_nats_per_token=[0.1, 0.3], loss=[0.0] * 2),
            "sampler and learner differ by 0.2 nats per token",
        ),
        (
            "falling_score",
            lines(score=[1.0, 0.9, 0.5, 0.5, 0.1, 0.0], loss=[0.0] * 6),
            # both thirds have a standard deviation of 0.0707, so the difference has an error of 0.0707
            "the score fell from 0.95 to 0.05 (standard error 0.071)",
        ),
        ("shrinking_responses", lines(tokens_per_response=[20.0, 8.0, 2.0], loss=[0.0] * 3), "responses fell from 20.0 to 2.0 tokens"),
        (
            "poor_critic",
            lines(value_explained=[-0.1, -0.2, -0.5], loss=[0.0] * 3),
            "values explain -0.50 of the variance of returns in the last updates, less than a constant would",
        ),
        (
            "large_advantages",
            lines(advantage_spread=[10.0, 30.0, 20.0], loss=[0.0] * 3),
            "advantages spread by 20 in units of the score",
        ),
        ("no_learning_metrics", lines(score=[1.0]), "agents.ppo:PPO reports no loss, gradient or divergence"),
    ],
)
def test_a_symptom_is_found_in_the_figures_alone(name, diary, seen):
    (finding,) = diagnose(diary)
    assert (finding.name, finding.seen) == (name, seen)


def test_each_symptom_stays_unfound_just_inside_its_threshold():
    calm = lines(
        kl_nats_per_token=[0.29, 0.57, 0.85],
        kl_nats_per_response=[0.8, 1.7, 2.5],
        grad_norm=[99.0, 99.0, 99.0],
        share_clipped=[0.3, 0.3, 0.3],
        share_scored=[0.5, 0.5, 0.5],
        share_ended=[0.05, 0.05, 0.05],
        share_degenerate_groups=[0.5, 0.5, 0.5],
        entropy_nats_per_token=[1.0, 0.5, 0.05],
        sampler_mismatch_nats_per_token=[0.049, 0.049, 0.049],
        tokens_per_response=[20.0, 8.0, 5.0],
        value_explained=[-1.0, 0.0, 0.0],
        advantage_spread=[10.0, 10.0, 10.0],
    )
    assert diagnose(calm) == []


def test_the_most_severe_finding_comes_first():
    diary = lines(share_clipped=[0.5] * 3, share_ended=[0.0] * 3, tokens_per_response=[4.0] * 3, share_scored=[0.0] * 3, loss=[0.0] * 3)
    assert [finding.name for finding in diagnose(diary)] == ["abstains", "clipped_ratios", "cut_off"]


def test_every_rule_is_tried_on_a_run_or_on_figures():
    tried = {name for name, _, _ in FAULTS} | {
        "far_away",
        "no_gradient",
        "clipped_ratios",
        "sampler_mismatch",
        "falling_score",
        "shrinking_responses",
        "poor_critic",
        "large_advantages",
        "no_learning_metrics",
    }
    assert {rule.__name__ for rule in RULES} == tried


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_command_says_what_is_wrong_and_how_to_put_it_right(tmp_path, capsys):
    run(tmp_path / "still", learning_rate=0.0)
    run(tmp_path / "well")
    assert main(["diagnose", str(tmp_path / "still")]) == 0
    out = capsys.readouterr().out
    assert "12 updates: score" in out and "critical: standstill: after 12 updates the policy is 0 nats" in out
    assert "at a learning rate of 0\n" in out and "usually: a learning rate of 0" in out and "change:  raise the learning rate" in out
    assert main(["diagnose", str(tmp_path / "still"), "--json"]) == 0
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found["name"], found["severity"], found["figures"]["learning_rate"]) == ("standstill", "critical", 0.0)
    assert main(["diagnose", str(tmp_path / "well")]) == 0
    assert f"healthy: none of {len(RULES)} rules found anything wrong" in capsys.readouterr().out
    assert main(["diagnose", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no run: it has no config.json" in capsys.readouterr().err
