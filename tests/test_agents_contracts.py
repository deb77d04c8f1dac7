"""Hold every agent of the package to the same contract. A new file in agents/ is found by itself."""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import agents
from agents import Rollout, TabularPolicy, collect
from agents.agent import Agent
from tests.exact_task import HORIZON, PROMPT, VOCAB_SIZE, make_env
from tests.tiny_sources import Length

FOLDER = Path(agents.__file__).parent


def find_agents():
    """Return every class of a file on top of the package that has the methods of an agent."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem.startswith("__") or path.stem == "agent":
            continue
        module = importlib.import_module(f"agents.{path.stem}")
        for kind in vars(module).values():
            has_methods = all(callable(getattr(kind, name, None)) for name in ("start", "act", "update"))
            if inspect.isclass(kind) and kind.__module__ == module.__name__ and has_methods:
                found.append(kind)
    return found


AGENTS = find_agents()


def make(kind):
    """Make an agent: of the sizes of the tiny task, or with a tabular policy where it asks for a policy."""
    parameters = inspect.signature(kind).parameters
    if "policy" in parameters:
        return kind(TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT], value_head=True))
    return kind(VOCAB_SIZE)


def test_the_agents_of_the_package_are_found():
    assert {kind.__name__ for kind in AGENTS} >= {"Uniform", "Frozen", "Reinforce", "RLOO", "ActorCritic", "PPO"}


@pytest.mark.parametrize("kind", AGENTS)
def test_an_agent_keeps_to_the_protocol(kind):
    assert isinstance(make(kind), Agent)


def test_everything_that_the_package_names_is_there():
    for name in agents.__all__:
        assert getattr(agents, name).__name__ == name
    assert dir(agents) == sorted(agents.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'PPP'"):
        _ = agents.PPP


@pytest.mark.parametrize("kind", AGENTS)
def test_only_active_rows_get_tokens_and_only_allowed_ones(kind):
    env = make_env(Length(), num_envs=40, min_new_tokens=1)
    observation, info = env.reset(seed=0)
    agent = make(kind)
    active = np.arange(40) % 2 == 0
    decision = agent.act(observation, agent.start(40, seed=0), active, active, info["action_mask"])
    assert decision.tokens.shape == decision.logprobs.shape == (40,) and decision.tokens.dtype == np.int64
    assert (decision.tokens[~active] == 0).all() and (decision.logprobs[~active] == 0).all()
    assert info["action_mask"][active, decision.tokens[active]].all()
    assert len(set(decision.tokens[active])) == 2  # both tokens that are allowed, and not the end token
    np.testing.assert_allclose(decision.logprobs[active], np.log(0.5), rtol=1e-5)


@pytest.mark.parametrize("kind", AGENTS)
def test_a_seed_decides_what_is_written_and_disturbs_nothing_else(kind):
    env = make_env(Length())
    one, two = make(kind), make(kind)
    first, again = (collect(env, one, 12, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    env.reset(seed=1)
    after = collect(env, one, 12)
    env.reset(seed=1)
    np.testing.assert_array_equal(after.tokens, collect(env, two, 12).tokens)


@pytest.mark.parametrize("kind", AGENTS)
def test_two_rollouts_can_go_on_side_by_side(kind):
    agent = make(kind)
    envs = [make_env(Length(), num_envs=4) for _ in range(2)]
    alone = [collect(env, agent, 4, seed=seed).tokens for seed, env in enumerate(envs)]
    memories = [agent.start(4, seed=seed) for seed in range(2)]
    states = [env.reset(seed=seed)[0] for seed, env in enumerate(envs)]
    fresh = active = np.ones(4, dtype=bool)
    for step in range(HORIZON):
        for side in range(2):
            writing = envs[side].unwrapped.writing.prefixes.writing
            active = np.isin(np.arange(4), writing)
            decision = agent.act(states[side], memories[side], fresh & (step == 0), active)
            states[side] = envs[side].step(decision.tokens)[0]
    for side in range(2):
        np.testing.assert_array_equal(states[side]["input_ids"][:, : alone[side].shape[1]], alone[side])


@pytest.mark.parametrize("kind", AGENTS)
def test_an_update_returns_finite_numbers_and_leaves_the_rollout_alone(kind):
    agent = make(kind)
    rollout = collect(make_env(Length(), num_envs=8, group_size=2), agent, 16, seed=0)
    before = copy.deepcopy(rollout)
    metrics = agent.update(rollout)
    assert metrics["score"] == pytest.approx(rollout.scores.mean())
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    for field in dataclasses.fields(Rollout):
        if isinstance(getattr(rollout, field.name), np.ndarray):
            np.testing.assert_array_equal(getattr(rollout, field.name), getattr(before, field.name))


@pytest.mark.parametrize("kind", [kind for kind in AGENTS if "config" in inspect.signature(kind).parameters])
def test_an_agent_file_is_read_in_the_same_order_as_the_others(kind):
    """Docstring, config with a comment behind every field, the class; in it start, act, loss, update. Then `diff` shows the idea.

    An agent without settings learns nothing, and has no loss.
    """
    source = inspect.getsource(importlib.import_module(kind.__module__))
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    config = getattr(importlib.import_module(kind.__module__), f"{kind.__name__}Config")
    assert dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen and len(dataclasses.fields(config)) <= 10
    settings, learner = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert (settings.name, learner.name) == (config.__name__, kind.__name__)
    lines = source.splitlines()
    for field in settings.body[1:]:
        assert "  # " in lines[field.lineno - 1], f"{config.__name__}: the field in {lines[field.lineno - 1]!r} has no comment"
    order = [node.name for node in learner.body if isinstance(node, ast.FunctionDef) and node.name in ("start", "act", "loss", "update")]
    assert order == (["start", "act", "loss", "update"] if dataclasses.fields(config) else ["start", "act", "update"])
