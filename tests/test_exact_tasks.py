"""Hold the rules of the exact tasks to slow definitions, and the environment to the table."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from agents import TabularPolicy, Uniform, collect
from tests.tiny_sources import DISABLED
from text_env.exact import RULES, ExactScore, ExactTask
from text_env.tasks.exact_env import ExactEnv, ExactVectorEnv

SIZES = [(3, 3, 2), (4, 4, 3), (5, 3, 4)]


def letters_of(task, response):
    return [token for token in response if token != task.end]


def agreement(target, letters):
    return sum(one == two for one, two in zip(target, letters, strict=False)) / max(len(target), len(letters))


def brackets(task, letters):
    """Pair brackets by striking out neighbours until none is left."""
    left = "".join("()"[letter] for letter in letters if letter < 2)
    pairs = 0
    while "()" in left:
        left, pairs = left.replace("()", "", 1), pairs + 1
    return max(2 * pairs - len(left), 0) / (task.horizon - task.horizon % 2)


SLOW = {
    "count": lambda task, prompt, letters: letters.count(prompt[0]) / task.horizon,
    "copy": lambda task, prompt, letters: agreement(prompt, letters),
    "reverse": lambda task, prompt, letters: agreement(list(reversed(prompt)), letters),
    "sort": lambda task, prompt, letters: agreement(sorted(prompt), letters),
    "brackets": lambda task, prompt, letters: brackets(task, letters),
    "sparse": lambda task, prompt, letters: float(letters == prompt),
    "deceptive": lambda task, prompt, letters: (
        1.0
        if letters == prompt
        else 0.5 * sum(place >= len(prompt) or prompt[place] != letter for place, letter in enumerate(letters)) / task.horizon
    ),
}


@pytest.mark.parametrize("rule", SLOW)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_response_has_the_score_that_its_rule_says(rule, size):
    task = ExactTask(rule, *size[:2], num_prompts=size[2])
    tokens, lengths = task.tree.tokens()
    for number, prompt in enumerate(task.prompts.tolist()):
        for node in np.flatnonzero(task.tree.is_finished):
            response = tokens[node, : lengths[node]].tolist()
            assert task.score(number, response) == pytest.approx(SLOW[rule](task, prompt, letters_of(task, response)))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [*SIZES, (4, 5, 3), (4, 6, 2)], ids=str)
def test_scores_lie_between_zero_and_one_and_the_best_response_of_a_rule_has_one(rule, size):
    task = ExactTask(rule, *size[:2], num_prompts=size[2])
    finished = task.scores[:, task.tree.is_finished]
    assert finished.min() >= 0 and finished.max() <= 1
    assert not task.scores[:, ~task.tree.is_finished].any()
    if rule != "random":
        np.testing.assert_array_equal(finished.max(axis=1), 1.0)


def test_every_rule_has_a_slow_definition_or_is_a_table():
    assert set(SLOW) | {"random"} == set(RULES)


def test_the_table_of_random_scores_is_decided_by_the_seed_and_differs_between_prompts():
    one, again, other = (ExactTask("random", 4, 3, 2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.scores, again.scores)
    assert not np.array_equal(one.scores, other.scores)
    assert not np.array_equal(one.scores[0], one.scores[1])
    assert abs(one.scores[:, one.tree.is_finished].mean() - 0.5) < 0.15


def test_in_the_deceptive_task_every_hint_leads_away_from_the_best_response():
    """At each place of the best response its token has, under the uniform policy, a lower expected score than some other one."""
    task = ExactTask("deceptive", 4, 5, 3)
    table = np.full((task.tree.num_prefixes, 4), -np.log(4))
    for prompt, scores in zip(task.prompts.tolist(), task.scores, strict=True):
        values = task.tree.values(table, scores).actions
        node = 0
        for token in prompt[: len(prompt) // 2]:
            assert values[node, token] < values[node].max()
            node = 1 + 4 * node + token


def test_prompts_differ_and_held_out_ones_are_others():
    train, held_out = (ExactTask("copy", 4, 4, 13, split=split) for split in ("train", "held_out"))
    rows = {tuple(prompt) for prompt in [*train.prompts.tolist(), *held_out.prompts.tolist()]}
    assert len(rows) == 26 and all(0 <= token < 3 for row in rows for token in row)
    assert (ExactTask("copy", 4, 4, 13, seed=1).prompts != train.prompts).any()


@pytest.mark.parametrize("rule", RULES)
def test_the_environment_pays_what_the_table_says(rule):
    env = gym.make_vec("TextGen/Exact-v0", num_envs=16, autoreset_mode=DISABLED, rule=rule, vocab_size=3, max_new_tokens=3, num_prompts=2)
    assert isinstance(env.unwrapped, ExactVectorEnv)
    task = env.unwrapped.exact
    rollout = collect(env, Uniform(3), 64, seed=0)
    for row in range(64):
        expected = task.score(int(rollout.prompt_index[row]), rollout.actions[row, : rollout.lengths[row]])
        assert rollout.scores[row] == expected
    np.testing.assert_array_equal(rollout.tokens[:, :2], task.prompts[rollout.prompt_index])
    assert (rollout.scores > 0).any()


def test_a_table_learns_from_the_environment_by_its_prompts():
    env = gym.make_vec("TextGen/Exact-v0", num_envs=4, autoreset_mode=DISABLED, vocab_size=4, max_new_tokens=4)
    task = env.unwrapped.exact
    policy = TabularPolicy(4, 4, task.prompts.tolist())
    assert policy.num_prefixes == task.tree.num_nodes
    env.reset(seed=0)


def test_the_single_environment_is_made_and_shown_like_any_other():
    env = gym.make("TextGen/Exact-v0", rule="copy", render_mode="ansi")
    assert isinstance(env.unwrapped, ExactEnv)
    env.reset(seed=0)
    env.step(env.unwrapped.exact.end)
    assert env.unwrapped.exact.texts[0][0] in env.render()
    again = gym.make(env.spec)
    np.testing.assert_array_equal(again.unwrapped.exact.prompts, env.unwrapped.exact.prompts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "paint"}, "rule must be one of count, copy, reverse, sort, brackets, random, sparse, deceptive, got 'paint'"),
        ({"vocab_size": 9}, "vocab_size of an exact task must be between 3 and 8, got 9"),
        ({"max_new_tokens": 2}, "horizon of an exact task must be between 3 and 6, got 2"),
        ({"num_prompts": 14}, "num_prompts of an exact task must be between 1 and 13, got 14"),
        ({"split": "test"}, 'split must be "train" or "held_out", got \'test\''),
    ],
)
def test_a_task_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make("TextGen/Exact-v0", **options)


def test_a_prompt_or_a_response_that_is_not_the_tasks_is_refused():
    task = ExactTask()
    with pytest.raises(ValueError, match=r"\[0, 0\] is no whole response of at most 4 tokens that ends with 3 or is full"):
        task.score(0, [0, 0])
    env = gym.make("TextGen/Exact-v0", prompts=["a"], feedback=ExactScore(task))
    env.reset(seed=0)
    with pytest.raises(Exception, match=r"has no prompt \(0,\): leave prompts to the environment"):
        env.step(task.end)
