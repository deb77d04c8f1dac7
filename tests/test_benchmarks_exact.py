"""Check what `python -m benchmarks.exact` measures, on the smallest tasks."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from benchmarks import exact
from benchmarks.exact import AGENTS, Cell, ExactOptions, best_of_n, main, run_cell
from text_env.exact import ExactTask
from text_env.names import resolve

SMALL = ExactOptions(num_seeds=1, tokens=2000, transformer_tokens=600, vocab_size=3, horizon=3, num_prompts=2)


def share(agent, rule="count", kind="tabular", seed=0, options=SMALL):
    return run_cell(Cell(agent, rule, kind, seed, options))


def test_the_reference_has_come_no_way_and_the_best_of_several_some():
    assert share("frozen") == share("uniform") == 0
    assert 0.1 < share("best_of_n") < 1
    assert share("uniform", kind="transformer") != 0  # its reference is not uniform
    assert share("frozen", kind="transformer") == 0


@pytest.mark.parametrize("rule", ["count", "sparse", "random"])
def test_the_best_of_two_is_written_as_often_as_counting_all_pairs_says(rule):
    task = ExactTask(rule, 3, 3, num_prompts=1)
    logits = np.random.default_rng(0).normal(size=(1, task.tree.num_prefixes, 3))
    logprobs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    nodes = np.flatnonzero(task.tree.is_finished)
    probabilities, scores = task.tree.visits(logprobs)[0, nodes], task.scores[0, nodes]
    expected = np.zeros(len(nodes))
    for one, two in itertools.product(range(len(nodes)), repeat=2):
        expected[one if scores[one] >= scores[two] else two] += probabilities[one] * probabilities[two]
    np.testing.assert_allclose(task.tree.visits(best_of_n(task, logprobs, 2))[0, nodes], expected, atol=1e-12)
    np.testing.assert_allclose(task.tree.visits(best_of_n(task, logprobs, 1))[0, nodes], probabilities, atol=1e-12)


def test_an_agent_that_learns_comes_further_than_one_that_may_write_less():
    far, near = (share("reinforce", options=ExactOptions(tokens=tokens, vocab_size=3, horizon=3, num_prompts=2)) for tokens in (4000, 300))
    assert far > 0.7 and far > near


@pytest.mark.parametrize("kind", ["tabular", "transformer"])
def test_a_seed_decides_the_share(kind):
    assert share("rloo", kind=kind, seed=1) == share("rloo", kind=kind, seed=1) != share("rloo", kind=kind, seed=2)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_setting_is_a_field_of_the_agents_config(agent):
    entry = AGENTS[agent]
    config = resolve(f"{entry.path}Config")
    for settings in (entry.tabular, entry.transformer):
        assert type(config)(**{"kl_weight": 0.1, **settings}) != config


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_command_writes_one_figure_per_agent_and_task_and_says_which_runs_failed(tmp_path, capsys):
    path = tmp_path / "exact.json"
    arguments = ["--agents", "frozen", "agents.reinforce:Reinforce", "agents.nothing:Nobody", "--tasks", "count", "--num-seeds", "2"]
    small = ["--tokens", "300", "--transformer-tokens", "300", "--vocab-size", "3", "--horizon", "3", "--num-prompts", "1", "--jobs", "1"]
    assert main([*arguments, *small, "--json", str(path)]) == 1
    figures = json.loads(path.read_text("utf-8"))
    names = {f"{agent}/count{kind}" for agent in ("frozen", "agents.reinforce:Reinforce") for kind in ("", "/transformer")}
    assert set(figures) == names
    assert figures["frozen/count"] == {"value": 0.0, "unit": "share of optimum", "low": 0.0, "high": 0.0, "n": 2}
    shown = capsys.readouterr().out
    assert "failed: agents.nothing:Nobody/count, seed 0: " in shown and "there is no module 'agents.nothing'" in shown
    assert "12 runs" in shown


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_status_is_zero_where_every_run_came_to_its_end(capsys):
    assert main(["--agents", "frozen", "--tasks", "count", "--policies", "tabular", "--num-seeds", "1", "--jobs", "1"]) == 0
    assert "failed" not in capsys.readouterr().out


def test_processes_give_the_shares_that_one_process_gives(monkeypatch):
    cells = [Cell("best_of_n", rule, "tabular", 0, SMALL) for rule in ("count", "copy")]
    alone, together = (list(exact._run_all(cells, jobs)) for jobs in (1, 2))
    assert alone == together
    assert all(isinstance(outcome, float) for _, outcome in alone)
