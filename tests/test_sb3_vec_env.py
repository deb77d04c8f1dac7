"""Hold the vector environment that Stable-Baselines3 sees to that library's contract, and to what the native one says."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecMonitor

from agents import TextGenVecEnv
from tests.tiny_sb3 import END, HORIZON, OnlyWithC, small_env, small_options
from tests.tiny_sources import Vowels

SAME_STEP = gym.vector.AutoresetMode.SAME_STEP


def native(num_envs=8, **options):
    return gym.make_vec("TextGen-v0", num_envs=num_envs, autoreset_mode=SAME_STEP, on_abstain="truncate", **small_options(**options))


def test_steps_are_those_of_the_native_environment():
    ours, theirs = small_env(), native()
    ours.seed(5)
    seen, (expected, info) = ours.reset(), theirs.reset(seed=5)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(20):
        assert seen.keys() == expected.keys()
        for name in seen:
            np.testing.assert_array_equal(seen[name], expected[name])
            assert seen[name].dtype == ours.observation_space[name].dtype
        actions = rng.integers(4, size=8)
        seen, rewards, over, infos = ours.step(actions)
        expected, paid, terminated, truncated, info = theirs.step(actions)
        np.testing.assert_array_equal(rewards, paid.astype(np.float32))
        assert rewards.dtype == np.float32
        np.testing.assert_array_equal(over, terminated | truncated)
        ends += int(over.sum())
        for row in range(8):
            if not over[row]:
                assert infos[row] == {}
                continue
            for name, values in info["final_obs"][row].items():
                np.testing.assert_array_equal(infos[row]["terminal_observation"][name], values)
            assert infos[row]["TimeLimit.truncated"] is False
            assert infos[row]["score"] == info["final_info"]["score"][row] == paid[row]
            assert infos[row]["response"] == info["final_info"]["response"][row]
            assert type(infos[row]["score"]) is float and infos[row]["scored"] is True
            assert ours.reset_infos[row]["episode_index"] == info["episode_index"][row]
    assert ends > 20


def test_the_last_observation_holds_the_last_token_and_the_row_holds_the_next_prompt():
    env = small_env(2)
    env.seed(0)
    env.reset()
    observation, _, over, infos = env.step(np.array([END, 0]))
    assert over.tolist() == [True, False]
    last = infos[0]["terminal_observation"]
    length = int(last["attention_mask"].sum())
    assert last["input_ids"][length - 1] == END and last["response_mask"].sum() == 1
    assert observation["response_mask"][0].sum() == 0 and observation["response_mask"][1].sum() == 1


def test_a_time_limit_from_outside_is_a_truncation():
    env = small_env(3, max_episode_steps=2)
    env.reset()
    env.step(np.zeros(3, dtype=int))
    _, rewards, over, infos = env.step(np.zeros(3, dtype=int))
    assert over.all() and (rewards == 0).all()
    assert all(info["TimeLimit.truncated"] is True and "score" not in info for info in infos)


def test_an_abstention_is_a_truncation_and_pays_nothing():
    env = small_env(2, feedback=OnlyWithC())
    env.reset()
    env.step(np.array([2, 0]))
    _, rewards, over, infos = env.step(np.array([END, END]))
    assert over.all() and rewards.tolist() == [1 / HORIZON, 0]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True]
    assert [info["scored"] for info in infos] == [True, False]


def test_a_source_that_pays_while_it_is_written_needs_no_truncation():
    with pytest.raises(ValueError, match='drop on_abstain="truncate"'):
        small_env(2, feedback=Vowels())
    env = small_env(2, feedback=Vowels(), on_abstain="zero")
    env.reset()
    assert env.step(np.zeros(2, dtype=int))[1].shape == (2,)


def prompts_after(env, seed):
    env.seed(seed)
    env.reset()
    seen = []
    for _ in range(6):
        env.step(np.full(env.num_envs, END))
        seen.append([info["prompt_index"] for info in env.reset_infos])
    return seen


def test_a_seed_decides_the_prompts_and_holds_for_one_reset():
    env = small_env(4, prompts=["a", "b", "c", "a b", "b c", "c a", "a a", "b b"])
    first, other, again = (prompts_after(env, seed) for seed in (1, 2, 1))
    assert first == again != other
    env.seed(1)
    env.reset()
    one = [info["prompt_index"] for info in env.reset_infos]
    env.reset()
    assert [info["prompt_index"] for info in env.reset_infos] != one


def test_no_seed_means_another_one_each_time():
    env = small_env(2)
    assert env.seed() != env.seed()


def test_options_reach_the_environment_once():
    env = small_env(2)
    env.set_options({"colour": 1})
    with pytest.raises(ValueError, match=r"the option reset_mask only, got \['colour'\]"):
        env.reset()
    env.set_options([{}, {"colour": 1}])
    with pytest.raises(ValueError, match="their options must be equal"):
        env.reset()
    env.set_options()
    env.reset()


def test_rows_answer_with_their_masks():
    env = small_env(3, min_new_tokens=1)
    env.reset()
    env.step(np.array([0, 1, 2]))
    masks = np.stack(env.env_method("action_masks"))
    np.testing.assert_array_equal(masks, env.native.action_masks())
    assert env.has_attr("action_masks") and masks.dtype == bool
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])
    env.reset()
    assert not np.stack(env.env_method("action_masks"))[:, END].any()


def test_a_masked_token_names_the_algorithm_that_keeps_to_masks():
    env = small_env(2, min_new_tokens=1)
    env.reset()
    with pytest.raises(ValueError, match=r"token 3 in row 1 is masked.*use MaskablePPO from sb3_contrib"):
        env.step(np.array([0, END]))
    env.step(np.array([0, 0]))


def test_what_is_not_a_rows_own_is_refused():
    env = small_env(2)
    env.reset()
    with pytest.raises(AttributeError, match="not 'step'"):
        env.env_method("step", 0)
    with pytest.raises(ValueError, match="leave out indices"):
        env.set_attr("render_mode", None, indices=0)
    assert env.get_attr("num_envs") == [2, 2] and env.env_is_wrapped(gym.Wrapper) == [False, False]
    assert [episode.ending for episode in env.env_method("unfinished")] == [None, None]
    assert not env.has_attr("nothing_like_this")


def test_an_environment_that_does_not_fit_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"autoreset_mode=AutoresetMode.NEXT_STEP: make it with"):
        TextGenVecEnv(gym.make_vec("TextGen-v0", num_envs=2, **small_options()))
    with pytest.raises(ValueError, match='make the environment with on_abstain="truncate"'):
        TextGenVecEnv(gym.make_vec("TextGen-v0", num_envs=2, autoreset_mode=SAME_STEP, **small_options()))
    with pytest.raises(ValueError, match="needs a TextGen environment, got CartPoleVectorEnv"):
        TextGenVecEnv(gym.make_vec("CartPole-v1", num_envs=2))
    with pytest.raises(ValueError, match=r"options \['max_new_tokens'\] are for an environment that is made here"):
        TextGenVecEnv(native(), max_new_tokens=3)
    assert TextGenVecEnv(native(3)).num_envs == 3


def test_the_monitor_of_stable_baselines_logs_the_score():
    env = VecMonitor(small_env(2))
    env.reset()
    env.step(np.array([2, 0]))
    infos = env.step(np.array([END, END]))[3]
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [(0.25, 2), (0.0, 2)]


def test_rendering_is_the_environments_own():
    env = small_env(2, render_mode="ansi")
    env.reset()
    assert len(env.render()) == 2 == len(env.env_method("render"))
