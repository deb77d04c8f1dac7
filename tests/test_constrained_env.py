"""The task of constrained writing: what its kinds allow, what they pay, and that they can be learned."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from feedback.example_episodes import byte_episode
from feedback.sentiment import Sentiment
from tests.tiny_sources import DISABLED
from text_env.episode import Ending, Prompt
from text_env.tasks.constrained_env import SENTENCE, STARS, SUBJECTS, WORDS

ID = "TextGen/Constrained-v0"
KINDS = ["json", "pattern", "words"]


def write_at_random(num_steps=400, num_envs=40, seed=0, **options):
    env = gym.make_vec(ID, num_envs=num_envs, autoreset_mode=DISABLED, **options)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    episodes, scores = [], []
    for _ in range(num_steps):
        _, rewards, terminated, _, _ = env.step(env.action_space.sample())
        episodes += [env.unwrapped.episodes[row] for row in np.flatnonzero(terminated)]
        scores += rewards[terminated].tolist()
        if terminated.any():
            env.reset(options={"reset_mask": terminated})
    return episodes, np.asarray(scores)


def is_kept(kind, response):
    if kind == "pattern":
        return re.fullmatch(r" \d\d\d-\d\d\d\d", response) is not None
    if kind == "words":
        return set(response.removeprefix(" ").split(" ")) <= set(SENTENCE)
    content = json.loads(response)
    words = {word for words in WORDS.values() for word in words}
    return (
        set(content) == {"mood", "stars", "words"}
        and content["mood"] in WORDS
        and content["stars"] in range(1, 6)
        and 1 <= len(content["words"]) <= 3
        and set(content["words"]) <= words
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_response_keeps_the_constraint_of_its_kind(kind):
    episodes, _ = write_at_random(kind=kind, num_steps=120)
    assert len(episodes) > 60
    assert all(is_kept(kind, each.response) for each in episodes)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "floor", "spread"), [("json", 0.31, 0.23), ("pattern", 0.40, 0.14), ("words", 0.12, 0.47)])
def test_the_floors_of_the_docstring_are_those_of_random_tokens(kind, floor, spread):
    _, scores = write_at_random(kind=kind)
    assert scores.mean() == pytest.approx(floor, abs=0.005 + 4 * spread / len(scores) ** 0.5)


def test_the_references_are_allowed_and_score_the_most():
    env = gym.make(ID)
    for seed in range(4):
        env.reset(seed=seed)
        prompt = env.unwrapped.unfinished().prompt
        tokens = env.unwrapped.tokens
        for token in [*tokens.encode(prompt.references[0]).tolist(), tokens.eos_ids[0]]:
            _, reward, terminated, _, _ = env.step(token)
        assert terminated
        assert reward == 1.0


def test_what_is_best_depends_on_the_prompt():
    env = gym.make(ID)
    seen = set()
    for seed in range(12):
        env.reset(seed=seed)
        prompt = env.unwrapped.unfinished().prompt
        content = json.loads(prompt.references[0])
        assert f" {content['mood']} review" in prompt.text
        assert content["stars"] == STARS[content["mood"]]
        seen.add(content["mood"])
    assert seen == {"good", "bad"}


def test_the_best_of_the_other_kinds_is_as_the_docstring_says():
    env = gym.make(ID, kind="pattern")
    env.reset(seed=0)
    for token in env.unwrapped.tokens.encode(" 999-9999").tolist():
        _, reward, terminated, _, _ = env.step(token)
    if not terminated:
        _, reward, _, _, _ = env.step(env.unwrapped.tokens.eos_ids[0])
    assert reward == 1.0
    assert Sentiment()([byte_episode(Prompt("?", np.array([63])), " great" * 12, Ending.EOS, 0)])[0] > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_gymnasiums_check_finds_nothing_in_any_kind(kind):
    check_env(gym.make(ID, kind=kind).unwrapped, skip_render_check=True)


def test_random_actions_of_the_space_are_allowed_ones_also_after_pickling():
    for make in (lambda: gym.make(ID, kind="words").unwrapped, lambda: gym.make_vec(ID, num_envs=3, kind="words").unwrapped):
        for env in (make(), pickle.loads(pickle.dumps(make()))):
            env.reset(seed=0)
            for _ in range(20):
                env.step(env.action_space.sample())
                if not isinstance(env, gym.vector.VectorEnv) and not len(env.writing.prefixes.writing):
                    env.reset()


def test_a_copy_of_the_space_is_a_plain_one():
    env = gym.make(ID, kind="words").unwrapped
    copied = pickle.loads(pickle.dumps(env.action_space))
    assert type(copied) is gym.spaces.Discrete
    assert copied == env.action_space


@pytest.mark.slow
def test_it_runs_in_spawned_workers():
    code = (
        "import gymnasium as gym, text_env, numpy as np\n"
        "if __name__ == '__main__':\n"
        "    env = gym.make_vec('text_env:TextGen/Constrained-v0', num_envs=2, vectorization_mode='async', "
        "vector_kwargs={'context': 'spawn'}, kind='pattern')\n"
        "    _, info = env.reset(seed=0)\n"
        "    masks = np.stack(list(info['action_mask']))\n"
        "    print(env.step(masks.argmax(axis=1))[1].tolist())\n"
        "    env.close()\n"
    )
    folder = Path(__file__).parents[1]
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=120)
    assert shown.stdout.strip() == "[0.0, 0.0]", shown.stderr


def test_the_held_out_subjects_are_others():
    assert not set(SUBJECTS["train"]) & set(SUBJECTS["held_out"])
    env = gym.make(ID, split="held_out")
    env.reset(seed=0)
    assert any(subject in env.unwrapped.unfinished().prompt.text for subject in SUBJECTS["held_out"])


def test_ones_own_constraint_wins_over_that_of_the_kind():
    env = gym.make(ID, kind="words", pattern="[ab]c", max_new_tokens=3)
    env.reset(seed=0)
    tokens = env.unwrapped.tokens
    allowed = {tokens.decode([id]) for id in np.flatnonzero(env.unwrapped.action_masks())}
    assert allowed <= {"a", "b", "ac", "bc"}


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="kind must be one of json, pattern, words, got 'poem'"):
        gym.make(ID, kind="poem")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pattern", "json"])
def test_an_agent_of_the_tiny_model_improves_in_a_few_updates(kind):
    from agents import CausalPolicy, Reinforce, ReinforceConfig, collect

    env = gym.make_vec(ID, num_envs=32, kind=kind, autoreset_mode=DISABLED)
    agent = Reinforce(CausalPolicy("tinylm", device="cpu", seed=0), ReinforceConfig(learning_rate=1e-3, kl_weight=0.0))
    means = []
    for number in range(12):
        rollout = collect(env, agent, 64, seed=0 if number == 0 else None)
        means.append(float(rollout.scores.mean()))
        assert all(is_kept(kind, each.response) for each in rollout.episodes)
        agent.update(rollout)
    assert np.mean(means[-3:]) > np.mean(means[:2]) + 0.1, means
