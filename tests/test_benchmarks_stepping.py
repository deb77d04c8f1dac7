import gymnasium as gym
import numpy as np
import pytest

from benchmarks.stepping import Stepping, constant, draw_actions, seconds_per_step
from text_env.tokens import load_tokens


@pytest.fixture
def env():
    env = gym.make_vec("TextGen-v0", num_envs=3, tokenizer="bytes", prompts=["a"], feedback=constant, max_new_tokens=4)
    yield env
    env.close()


def test_tokens_are_drawn_without_an_end_unless_one_is_asked_for():
    tokens = load_tokens("bytes")
    rng = np.random.default_rng(0)
    plain = draw_actions(tokens, 500, 20, rng)
    assert plain.shape == (500, 20)
    assert set(np.unique(plain)) == set(range(256))
    ending = draw_actions(tokens, 500, 20, rng, end_probability=0.25)
    assert abs((ending == 256).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 10_000)


def test_steps_between_endings_contain_no_ending(env):
    actions = draw_actions(env.unwrapped.tokens, 12, 3, np.random.default_rng(0))
    assert seconds_per_step(env, actions, reset_every=3) > 0
    assert env.unwrapped.episodes == [None] * 3


def test_steps_without_resets_contain_one_ending_per_budget_and_start(env):
    actions = draw_actions(env.unwrapped.tokens, 2 * 5, 3, np.random.default_rng(0))
    assert seconds_per_step(env, actions) > 0
    assert [episode.index for episode in env.unwrapped.episodes] == [3, 4, 5]  # each row has finished its second episode
    assert [judgement.score for judgement in env.unwrapped.judgements] == [0.0] * 3


def test_stepping_figures_are_positive_and_agree_with_each_other():
    stepping = Stepping("bytes", rows=2, new_tokens=4, rounds=1, seed=0)
    figures = stepping.measure_vector_steps() | stepping.measure_single_steps()
    assert {"vector_steps_vs_cartpole", "vector_steps_between_endings_vs_cartpole", "single_steps_per_second"} <= set(figures)
    assert all(figure.value > 0 and figure.n == 1 for figure in figures.values())
    ours, cartpole = figures["vector_steps_per_second"].value, figures["vector_steps_per_second_cartpole"].value
    assert figures["vector_steps_vs_cartpole"].value == pytest.approx(ours / cartpole)  # more than 1 means that ours is faster
