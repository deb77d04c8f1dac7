"""Every registered environment keeps the contracts of Gymnasium and Stable-Baselines3."""

from __future__ import annotations

import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.tiny_sources import DISABLED, END, MODES, Vowels, make, same
from text_env.env import TextGenEnv
from text_env.vector import TextGenVectorEnv

SHORT = {"TextGen/Constrained-v0": {"kind": "words"}}  # what lets a task end within four tokens
IDS = sorted(id for id, spec in gym.registry.items() if str(spec.entry_point).startswith("text_env"))


def test_the_general_environment_and_the_reviews_are_registered():
    assert {"TextGen-v0", "TextGen/Reviews-v0"} <= set(IDS)
    assert all(re.fullmatch(r"TextGen(/\w+)?-v\d+", id) for id in IDS)


def test_registering_loads_nothing():
    for id in IDS:
        spec = gym.spec(id)
        assert isinstance(spec.entry_point, str)
        assert isinstance(spec.vector_entry_point, str)


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_gymnasiums_check_finds_nothing(id, render_mode, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(id, render_mode=render_mode).unwrapped)


@pytest.mark.parametrize(
    "options",
    [
        {"feedback": Vowels()},
        {"stop": ["a"]},
        {"group_size": 3},
        {"max_new_tokens": 1},
        {"prompts": lambda rng: "ab"},
        {"min_new_tokens": 0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_gymnasiums_check_finds_nothing_whatever_the_options(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(**options).unwrapped)


@pytest.mark.draws_globally  # the checker seeds numpy's global generator
@pytest.mark.parametrize("id", IDS)
def test_the_check_of_stable_baselines3_finds_nothing(id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(gym.make(id).unwrapped, warn=True)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("id", IDS)
def test_every_environment_runs_natively_in_every_autoreset_mode(id, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make_vec(id, num_envs=3, autoreset_mode=mode, max_new_tokens=4, **SHORT.get(id, {}))
        assert isinstance(env, TextGenVectorEnv)
        observation, info = env.reset(seed=0)
        rng = np.random.default_rng(0)
        num_ended = 0
        for _ in range(20):
            assert env.observation_space.contains(observation)
            assert np.isin(info.get("prompt_index", [0]), range(400)).all()
            mask = env.unwrapped.action_masks()
            observation, rewards, terminated, truncated, info = env.step(np.array([rng.choice(np.flatnonzero(row)) for row in mask]))
            assert (rewards.shape, rewards.dtype) == ((3,), np.float64)
            over = terminated | truncated
            num_ended += int(over.sum())
            if mode is DISABLED and over.any():
                observation, info = env.reset(options={"reset_mask": over})
        env.close()
    assert num_ended >= 9


@pytest.mark.parametrize("id", IDS)
def test_every_environment_has_held_out_prompts_that_are_not_trained_on(id):
    env = gym.make(id)
    train = env.unwrapped.writing.prefixes.prompts
    held_out = gym.make(id, split="held_out").unwrapped.writing.prefixes.prompts
    assert not {item.text for item in train._items} & {item.text for item in held_out._items}
    assert isinstance(env.unwrapped, TextGenEnv)


@pytest.mark.parametrize("id", IDS)
def test_every_environment_is_decided_by_its_seed(id):
    def run(env):
        outcomes = [env.reset(seed=11)]
        rng = np.random.default_rng(0)
        for _ in range(80):
            outcome = env.step(int(rng.choice(np.flatnonzero(env.unwrapped.action_masks()))))
            outcomes.append(outcome)
            if outcome[2]:
                outcomes.append(env.reset())
        return [dict(enumerate(outcome)) for outcome in outcomes]

    first, again = run(gym.make(id)), run(gym.make(id))
    assert all(map(same, first, again))


def sb3_env():
    """Return an environment of more than 255 tokens in the form in which Stable-Baselines3 sees it."""
    common = pytest.importorskip("stable_baselines3.common.vec_env")
    return common.DummyVecEnv([lambda: make(prompts=["ab"], max_new_tokens=3).unwrapped])


def test_ids_come_through_the_preprocessing_of_stable_baselines3_exactly_and_not_as_one_hot_vectors():
    preprocessing = pytest.importorskip("stable_baselines3.common.preprocessing")
    torch = pytest.importorskip("torch")
    env = gym.make("TextGen-v0", tokenizer="tinylm", vocab_size=200_000, prompts=["My pet is"]).unwrapped
    observation, _ = env.reset(seed=0)
    observation["input_ids"][:] = np.arange(199_000, 199_000 + len(observation["input_ids"]))
    tensors = {name: torch.as_tensor(rows)[None] for name, rows in observation.items()}
    seen = preprocessing.preprocess_obs(tensors, env.observation_space, normalize_images=True)
    assert seen["input_ids"].shape == tensors["input_ids"].shape
    assert torch.equal(seen["input_ids"].long(), tensors["input_ids"])


def test_stable_baselines3_steps_it_and_keeps_the_last_observation():
    env = sb3_env()
    env.reset()
    for token in (97, END):
        _, rewards, dones, infos = env.step(np.array([token]))
    assert (rewards.tolist(), dones.tolist()) == ([2.0], [True])
    assert infos[0]["terminal_observation"]["response_mask"].sum() == 2
    assert not infos[0]["TimeLimit.truncated"]


def test_stable_baselines3_sees_an_abstention_as_truncated_where_it_is_asked_to():
    common = pytest.importorskip("stable_baselines3.common.vec_env")
    env = common.DummyVecEnv([lambda: make(feedback=lambda episodes: [None] * len(episodes), on_abstain="truncate").unwrapped])
    env.reset()
    infos = env.step(np.array([END]))[3]
    assert infos[0]["TimeLimit.truncated"]
