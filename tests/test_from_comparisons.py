"""Test the experiment on learning from comparisons alone: what is counted, what is paired, and that the truth only judges."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.from_comparisons import FromComparisonsOptions, Side, _feedback, _reward_model, main, run_side
from feedback import Compared, RewardModel, Sentiment
from tests.test_reward_model import episode

OPTIONS = FromComparisonsOptions(num_seeds=2, num_updates=1, rows=16, group_size=8, num_comparisons=40, new_tokens=4, held_out=16, jobs=1)


def test_each_way_learns_from_what_its_name_says_and_its_scores_have_a_measured_spread():
    for way, kind in (("score", Sentiment), ("shares of wins", Compared), ("reward model", RewardModel)):
        feedback, spread, asked = _feedback(Side(way, "oracle", 0), OPTIONS)
        assert isinstance(feedback, kind)
        assert 0.05 < spread < 5
        assert asked == (40 if way == "reward model" else 0)
        assert getattr(feedback, "num_comparisons", 0) == 0  # measuring the spread is not charged


def test_every_pair_of_a_group_is_charged_once_an_update():
    outcome = run_side(Side("shares of wins", "oracle", 0), OPTIONS)
    most = 2 * 28  # two groups of eight; equal texts are a tie that nobody is asked about
    assert most - 10 <= outcome.num_comparisons <= most
    assert np.isfinite([outcome.score, outcome.kl]).all()


def test_a_reward_model_prefers_what_won_its_comparisons():
    model = _reward_model(Side("reward model", "oracle", 0), replace(OPTIONS, num_comparisons=200))
    said = [judgement.score for judgement in model([episode(text) for text in ("great and lovely", "awful and bad")])]
    assert said[0] > said[1]


@pytest.mark.slow
@pytest.mark.draws_globally
def test_the_command_reports_each_way_as_a_share_of_the_gain_by_the_score(tmp_path, capsys):
    path = tmp_path / "figures.json"
    arguments = [
        "--presets",
        "oracle",
        "--num-seeds",
        "2",
        "--num-updates",
        "1",
        "--rows",
        "16",
        "--new-tokens",
        "4",
        "--held-out",
        "16",
        "--num-comparisons",
        "40",
        "--jobs",
        "1",
    ]
    assert main([*arguments, "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["score/share of the gain"]["value"] == 1.0
    assert figures["reward model/oracle/comparisons"]["value"] == 40
    assert "shares of wins/oracle" in capsys.readouterr().out
