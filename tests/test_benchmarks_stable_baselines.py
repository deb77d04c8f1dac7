"""Check what the comparison with Stable-Baselines3's PPO compares, on a few short responses."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from benchmarks.stable_baselines import Settings, compare, run_frozen, run_ours, run_theirs

SMALL = Settings(seeds=1, updates=1, rows=4, new_tokens=4, held_out=8, threads=1)


@pytest.mark.draws_globally  # Stable-Baselines3 seeds the global generators
def test_both_sides_write_the_same_number_of_tokens_and_are_judged_on_the_same_prompts():
    ours = run_ours(SMALL, seed=0)
    theirs = run_theirs(SMALL, 0, ours.num_tokens)
    assert ours.num_tokens <= theirs.num_tokens < ours.num_tokens + SMALL.rows * SMALL.new_tokens  # whole rollouts
    assert run_frozen(SMALL).score == pytest.approx(run_frozen(SMALL).score)
    assert run_frozen(SMALL).kl_nats_per_response == pytest.approx(0, abs=1e-4)
    assert ours.kl_nats_per_response != 0 and theirs.kl_nats_per_response != 0  # both have learned


@pytest.mark.draws_globally
def test_the_figures_are_finite_and_say_of_how_many_seeds_they_are():
    shown = io.StringIO()
    figures = compare(SMALL, Console(file=shown))
    assert {"sb3_ppo_score_vs_ours", "sb3_ppo_speed_vs_ours", "ppo_score", "sb3_ppo_score", "frozen_score"} <= set(figures)
    assert all(math.isfinite(figure.value) and figure.n == 1 for figure in figures.values())
    assert "seed 0: ours " in shown.getvalue()


def test_a_setting_that_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        Settings(seeds=0)
