"""Run the example of Stable-Baselines3, and the comparison of its PPO with ours, at their smallest."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pytest

from benchmarks import stable_baselines
from tests.test_architecture import ROOT

pytestmark = pytest.mark.draws_globally  # Stable-Baselines3 seeds and shuffles with the global generators


def test_the_example_trains_the_bundled_model():
    main = runpy.run_path(str(ROOT / "examples/stable_baselines3.py"))["main"]
    model = main(num_tokens=2 * 512)
    scores = [episode["r"] for episode in model.ep_info_buffer]
    assert model.num_timesteps == 1024 and len(scores) == 100 and 0.2 < np.mean(scores) < 0.9
    assert model.policy.causal.version == 1  # two rollouts were learned from, and nobody has acted since the second
    assert model.logger.name_to_value["train/approx_kl"] > 1e-4
    assert "rollout/kl_nats_per_token" not in model.logger.name_to_value  # it went out with the rollout's line


def test_the_comparison_writes_every_figure(tmp_path):
    small = "--seeds 1 --updates 1 --rows 4 --new-tokens 4 --held-out 4 --threads 1 --json"
    stable_baselines.main([*small.split(), str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {"sb3_ppo_score_vs_ours", "sb3_ppo_speed_vs_ours", "ppo_score", "frozen_score"} <= set(figures)
    assert all(np.isfinite(figure["value"]) and figure["low"] <= figure["value"] <= figure["high"] for figure in figures.values())


def test_equal_tokens_are_equal():
    settings = stable_baselines.Settings(seeds=1, updates=2, rows=4, new_tokens=4, held_out=4)
    ours = stable_baselines.run_ours(settings, 0)
    theirs = stable_baselines.run_theirs(settings, 0, ours.num_tokens)
    assert ours.num_tokens <= theirs.num_tokens < ours.num_tokens + 4 * 4


def test_ratios_resample_seeds_in_pairs():
    ours = np.array([1.0, 2.0, 4.0])
    figure = stable_baselines.ratio_of_means(0.9 * ours, ours)
    assert (figure.low, figure.value, figure.high) == pytest.approx((0.9, 0.9, 0.9))
