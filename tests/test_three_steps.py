"""Test the three steps of RLHF in one command: what each learns from, and that the true score only judges."""

from __future__ import annotations

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import text_env  # noqa: F401  (registers the environments)
from agents import Frozen, References, collect, evaluate
from agents.learning.run_folder import read_metrics
from benchmarks.phrases import ADJECTIVES, ADVERBS, SUBJECTS
from benchmarks.simulated_comparisons import compare_neighbours
from benchmarks.three_steps import ThreeStepsOptions, fit_reward_model, main, reinforce, supervise
from feedback import RewardModel, Sentiment
from feedback.learned.evidence import Gathering
from feedback.simulated import preset
from tests.tiny_sources import DISABLED

OPTIONS = ThreeStepsOptions(supervised_updates=1, num_comparisons=40, updates=1, rows=16, held_out=16)


def test_guests_are_of_two_minds_and_speak_of_other_subjects_where_it_is_measured():
    env = gym.make_vec("benchmarks.phrases:Benchmark/Phrases-v0", num_envs=32, autoreset_mode=DISABLED, split="held_out")
    measured, rollout = evaluate(env, References(env), 256)
    assert abs(measured["score"]) < 0.15 and rollout.scores.std() > 0.2
    assert measured["share_ended"] == 1
    assert set(rollout.responses) <= {f"{adverb}{adjective}." for adverb in ADVERBS for adjective in ADJECTIVES}
    assert not any(word in episode.prompt.text for word in SUBJECTS["train"] for episode in rollout.episodes)


def test_people_prefer_what_they_like_and_two_of_them_agree_as_often_as_the_preset_says():
    env = gym.make_vec("benchmarks.phrases:Benchmark/Phrases-v0", num_envs=64, autoreset_mode=DISABLED, group_size=2)
    episodes = list(collect(env, References(env), 2000, seed=0).episodes)
    by_name = {}
    for name, people in (("oracle", ("one",)), ("expert-81", ("one", "other"))):
        gathering = Gathering()
        for person in people:
            compare_neighbours(gathering, episodes, Sentiment(), preset(name, 0, person), seed=0)
        by_name[name] = gathering.evidence()
    evidence = by_name["oracle"]
    scores = dict(zip([each.content for each in evidence.passages], Sentiment()(as_episodes(evidence, episodes)), strict=True))
    said = evidence.comparisons
    worth = np.array([scores[item] for item in said.items])
    told = said.target != 0.5
    assert told.sum() > 300
    np.testing.assert_array_equal(said.target[told] > 0.5, (worth[said.first] > worth[said.second])[told])
    from feedback.learned.calibration import agreement_ceiling

    agreement = agreement_ceiling(by_name["expert-81"].comparisons)
    assert agreement.low < 0.81 < agreement.high


def as_episodes(evidence, episodes):
    """Return an episode for each passage, in their order."""
    found = {(each.prompt.text, each.response): each for each in episodes}
    return [found[passage.prompt, passage.text] for passage in evidence.passages]


def test_each_step_begins_with_what_the_one_before_has_made(tmp_path):
    options = replace(OPTIONS, supervised_updates=2)
    supervised = supervise(options, tmp_path / "supervised")
    model, report = fit_reward_model(options, supervised)
    assert isinstance(model, RewardModel) and model.trunk == str(supervised)
    assert 40 <= report.num_comparisons + sum(report.left_out.values()) <= 48  # a fifth of the pairs is asked about twice
    assert len(report.lines()) > 5 and report.ceiling.value is not None
    agent = reinforce(options, supervised, model, report.spread, tmp_path / "trained")
    assert agent.policy.reference_name == str(supervised)
    lines = read_metrics(tmp_path / "trained")
    judged = model(list(collect(options.env("train"), Frozen(options.policy(str(supervised))), 16, seed=0).episodes))
    assert model.low <= lines[0]["score"] <= model.high and len(judged) == 16
    assert abs(lines[0]["kl_nats_per_response"]) < 1e-3  # before the first step it writes as its reference does


@pytest.mark.slow
@pytest.mark.draws_globally
def test_the_command_says_what_each_step_has_brought(tmp_path, capsys):
    few = ["--supervised-updates", "12", "--num-comparisons", "200", "--updates", "8", "--rows", "32", "--held-out", "64"]
    files = ["--folder", str(tmp_path / "run"), "--json", str(tmp_path / "figures.json")]
    assert main([*few, *files]) == 0
    figures = {name: figure["value"] for name, figure in json.loads((tmp_path / "figures.json").read_text()).items()}
    assert figures["supervised/nll"] < figures["untrained/nll"] - 2
    assert figures["supervised/ended"] > 0.8 > figures["untrained/ended"]
    assert 0.5 < figures["reward model/accuracy"] < 1 and 0.5 <= figures["reward model/best accuracy"] <= 1
    assert figures["trained/score"] > figures["supervised/score"]
    assert figures["trained/kl"] > 0.1 and figures["untrained/kl"] == pytest.approx(0, abs=1e-3)
    shown = " ".join(capsys.readouterr().out.split())
    assert "reward model: right on" in shown and "supervised" in shown
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"supervised", "reward", "trained"}
