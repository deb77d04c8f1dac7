"""What users pass in survives specs, copies, pickles and other processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests.tiny_sources import DISABLED, END, Length, Locked, Vowels, make, make_vec, same, write
from text_env.episode import Prompt
from text_env.kept import Kept, unkeep
from text_env.tokens import load_tokens

ROOT = Path(__file__).parents[1]


class Model(Length):
    """Refuse to be copied, as a model of gigabytes would like to."""

    def __deepcopy__(self, memo):
        raise AssertionError("the model was copied")


def source_of(env):
    return env.unwrapped.writing.judge.source


@pytest.mark.parametrize("source_class", [Locked, Model])
def test_a_feedback_object_stays_the_same_object_in_everything_made_from_the_spec(source_class):
    source = source_class()
    env = make(feedback=source)
    for spec in (env.spec, env.unwrapped.spec, copy.deepcopy(env.spec)):
        twin = gym.make(spec)
        assert source_of(twin) is source
        assert write(twin, "ab", end=True)[1] == 3.0
    assert source_of(env.spec.make()) is source


@pytest.mark.parametrize("source_class", [Locked, Model])
def test_a_feedback_object_stays_the_same_object_through_a_vector_spec(source_class):
    source = source_class()
    env = make_vec(2, feedback=source, autoreset_mode=DISABLED, max_new_tokens=3)
    twin = gym.make_vec(env.spec)
    assert source_of(twin) is source
    assert (twin.num_envs, twin.metadata["autoreset_mode"]) == (2, DISABLED)
    assert twin.observation_space == env.observation_space


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompts", [Prompt("a", np.array([1]))]),
        ("prompts", lambda rng: "a"),
        ("partner", lambda conversations: [None] * len(conversations)),
        ("tokenizer", load_tokens("bytes")),
    ],
    ids=["prompt objects", "prompt function", "partner", "tokens"],
)
def test_every_other_object_survives_the_spec_too(name, value):
    env = make(**{name: value})
    assert unkeep(env.unwrapped.spec.kwargs)[name] is value
    twin = gym.make(env.spec)
    assert write(twin, "ab", end=True)[1] == 3.0


def test_the_spec_of_a_wrapped_environment_can_be_read_and_made_without_a_warning():
    source = Locked()
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TransformReward(make(feedback=source, max_episode_steps=5), abs))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = env.unwrapped.spec
        assert spec is not None
        inner = env.env.env.spec
    assert inner is not None
    twin = gym.make(inner)
    assert source_of(twin) is source
    assert isinstance(gym.wrappers.RecordEpisodeStatistics(twin).spec, type(spec))


def test_plain_arguments_stay_readable_in_the_spec():
    env = make(feedback="tests.tiny_sources:Length", stop=["x"])
    assert env.spec.kwargs["stop"] == ["x"]
    assert env.spec.kwargs["prompts"] == ["ab"]
    assert '"tests.tiny_sources:Length"' in env.spec.to_json()
    env.spec.pprint(disable_print=True)


def same_steps(one, other):
    """Step two environments alike and compare what they return."""
    for token in [ord("a"), ord("e"), END]:
        assert same(dict(enumerate(one.step(token))), dict(enumerate(other.step(token))))
    assert same(one.reset()[1], other.reset()[1])


@pytest.mark.parametrize("make_twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copied", "pickled"])
@pytest.mark.parametrize(
    "options", [{}, {"feedback": Vowels()}, {"tokenizer": "tinylm", "eos_ids": [END]}, {"feedback": lambda episodes: [1.0] * len(episodes)}]
)
def test_an_environment_that_is_copied_in_the_middle_goes_on_like_the_original(make_twin, options):
    env = make(prompts=["a", "b", "c"], stop=["zz"], min_new_tokens=1, **options).unwrapped
    env.reset(seed=3)
    env.step(ord("x"))
    same_steps(env, make_twin(env))


def test_a_vector_environment_is_pickled_whole():
    env = make_vec(2, prompts=["a", "b", "c"], choices=["xy", "xz"])
    env.reset(seed=0)
    env.step(np.array([ord("x"), ord("x")]))
    twin = pickle.loads(pickle.dumps(env))
    for actions in ([ord("y"), ord("z")], [END, END], [1, 1]):
        first, second = env.step(np.array(actions)), twin.step(np.array(actions))
        assert (first[0]["input_ids"] == second[0]["input_ids"]).all()
        assert first[1].tolist() == second[1].tolist()


def test_a_copied_environment_shares_its_feedback_and_nothing_else():
    source = Model()
    env = make(feedback=source).unwrapped
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    env.step(1)
    assert source_of(twin) is source
    assert twin.unfinished().ids.tolist() == []


def test_a_tokenizer_with_a_chat_template_is_pickled(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokens = load_tokens("tinylm")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokens.vocabulary.tokenizer, eos_token="<|endoftext|>")
    tokenizer.chat_template = "{% for message in messages %}<{{ message.content }}>{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    messages = [{"role": "user", "content": "hi"}]
    for source in (tokenizer, tmp_path):
        assert pickle.loads(pickle.dumps(load_tokens(source))).chat(messages) == "<hi>"


def test_an_object_that_cannot_be_pickled_is_named_with_the_way_out():
    source = Locked()
    env = make(feedback=source)
    way_out = r'Locked object at .* cannot be sent to another process .*lock.* pass its import path, such as "package.module:Name"'
    for thing in (env.unwrapped, env.spec, env):
        with pytest.raises(TypeError, match=way_out):
            pickle.dumps(thing)


def test_a_held_object_is_itself_when_copied_and_equal_when_pickled():
    held = Kept([1, 2])
    assert copy.deepcopy(held) is held
    assert pickle.loads(pickle.dumps(held)).value == [1, 2]
    assert unkeep({"a": held, "b": 3}) == {"a": [1, 2], "b": 3}


def test_the_environment_is_made_by_module_and_id_in_a_fresh_process():
    code = "import gymnasium as gym; env = gym.make('text_env:TextGen-v0'); env.reset(seed=0); print(env.step(5)[1])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0"]


SPAWNED = """
import sys
import gymnasium as gym
import numpy as np
import text_env
from gymnasium.vector import AsyncVectorEnv

OPTIONS = dict(tokenizer="bytes", prompts=["ab"], max_new_tokens=3)


def run(env):
    env.reset(seed=0)
    total = np.zeros(2)
    for token in (97, 98, 256):
        rewards = env.step(np.array([token, token]))[1]
        total += rewards
    env.close()
    print(total.tolist())


def run_sb3(env):
    env.reset()
    total = sum(env.step(np.array([token, token]))[1] for token in (97, 98, 256))
    env.close()
    print(total.tolist())


if __name__ == "__main__":
    kind = sys.argv[1]
    by_name = dict(OPTIONS, feedback="tests.tiny_sources:Length")
    if kind == "async":
        run(gym.make_vec("TextGen-v0", num_envs=2, vectorization_mode="async", vector_kwargs={"context": "spawn"}, **by_name))
    if kind == "spec":  # a local function, which only the spec's holder can send
        spec = gym.make("TextGen-v0", feedback=lambda episodes: [float(len(episode.ids)) for episode in episodes], **OPTIONS).spec
        run(AsyncVectorEnv([lambda: gym.make(spec)] * 2, context="spawn"))
    if kind == "locked":
        from tests.tiny_sources import Locked
        spec = gym.make("TextGen-v0", feedback=Locked(), **OPTIONS).spec
        run(AsyncVectorEnv([lambda: gym.make(spec)] * 2, context="spawn"))
    if kind == "sb3":
        from stable_baselines3.common.vec_env import SubprocVecEnv
        run_sb3(SubprocVecEnv([lambda: gym.make("text_env:TextGen-v0", **by_name)] * 2, start_method="spawn"))
"""


def spawned(kind, folder, **options):
    script = folder / "spawned.py"
    script.write_text(SPAWNED)
    return subprocess.run([sys.executable, str(script), kind], cwd=ROOT, env=environment(), capture_output=True, text=True, **options)


def environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("kind", ["async", "spec", pytest.param("sb3", marks=pytest.mark.slow)])
def test_spawned_workers_make_the_environment_and_its_feedback(kind, tmp_path):
    done = spawned(kind, tmp_path)
    assert done.stdout.splitlines()[-1:] == ["[3.0, 3.0]"], done.stderr[-2000:]


def test_a_spawned_worker_that_cannot_be_given_the_feedback_is_a_clear_error(tmp_path):
    done = spawned("locked", tmp_path)
    assert done.returncode != 0
    assert "cannot be sent to another process" in done.stderr
    assert 'pass its import path, such as "package.module:Name"' in done.stderr
