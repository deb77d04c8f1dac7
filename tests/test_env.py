"""The single environment: what it takes and what it returns."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics

from tests.tiny_sources import END, ENV, Length, counted_tokens, make, write


def test_a_reset_shows_a_prompt_and_says_which():
    observation, info = make(max_new_tokens=3).reset(seed=0)
    assert {name: rows.tolist() for name, rows in observation.items()} == {
        "attention_mask": [1, 1, 0, 0, 0],
        "input_ids": [*b"ab", END, END, END],
        "response_mask": [0] * 5,
    }
    assert info == {"prompt_index": 0, "episode_index": 0}
    assert {type(value) for value in info.values()} == {int}


def test_an_observation_is_what_a_language_models_forward_takes():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch = pytest.importorskip("torch")
    env = make()
    env.reset(seed=0)
    observation = env.step(5)[0]
    config = LlamaConfig(vocab_size=257, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    with torch.random.fork_rng():
        model = LlamaForCausalLM(config)
    inputs = {name: torch.from_numpy(observation[name])[None] for name in ("input_ids", "attention_mask")}
    assert model(**inputs).logits.shape == (1, 10, 257)


def test_the_spaces_say_what_is_returned():
    env = make(max_new_tokens=3)
    assert env.action_space == gym.spaces.Discrete(257)
    spaces = env.observation_space
    assert {name: (space.shape, space.dtype, space.low.min(), space.high.max()) for name, space in spaces.items()} == {
        "attention_mask": ((5,), np.int8, 0, 1),
        "input_ids": ((5,), np.int64, 0, 256),
        "response_mask": ((5,), np.int8, 0, 1),
    }
    for outcome in (env.reset(seed=0), env.step(3), env.step(END)):
        assert spaces.contains(outcome[0])


def test_an_end_says_everything_about_the_episode_in_plain_types():
    info = write(make(), "hi", end=True)[4]
    assert info == {"prompt": "ab", "response": "hi", "ending": "eos", "score": 3.0, "scored": True}
    assert [type(value) for value in info.values()] == [str, str, str, float, bool]


def test_a_step_in_the_middle_says_nothing():
    assert write(make(), "h")[4] == {}


def test_rewards_and_flags_are_pythons_own():
    _, reward, terminated, truncated, _ = write(make(), "h")
    assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]


@pytest.mark.parametrize("action", [np.int64(5), np.int32(5), np.uint8(5), np.array(5), 5])
def test_an_action_may_be_any_whole_number(action):
    env = make()
    env.reset(seed=0)
    assert env.step(action)[0]["input_ids"][2] == 5


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (257, "an action must be a token id from 0 to 256, got 257 in row 0"),
        (-1, "an action must be a token id from 0 to 256, got -1 in row 0"),
        (2**40, "an action must be a token id from 0 to 256, got 1099511627776"),
        (1.5, "an action must be one token id, a whole number, got 1.5"),
        ("a", "an action must be one token id, a whole number, got 'a'"),
        (np.array([1, 2]), "an action must be one token id, a whole number, got array"),
        (None, "an action must be one token id, a whole number, got None"),
    ],
)
def test_a_wrong_action_is_refused_and_changes_nothing(action, message):
    env = make().unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.step(5)[0]["response_mask"].sum() == 1


def test_an_action_after_the_end_is_refused():
    env = make()
    write(env, "h", end=True)
    with pytest.raises(ValueError, match=r"the episode has ended, there is nothing to append to: call reset\(\)"):
        env.step(1)
    env.reset()
    env.step(1)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) first"):
        make().unwrapped.step(1)


def test_a_reset_in_the_middle_begins_a_new_episode_and_judges_nothing():
    source = Length()
    env = make(feedback=source, prompts=["a", "b"])
    _, first = env.reset(seed=0)
    env.step(1)
    _, second = env.reset()
    assert (first["episode_index"], second["episode_index"]) == (0, 1)
    assert first["prompt_index"] != second["prompt_index"]
    assert not source.calls


def test_a_seed_decides_everything_that_follows():
    def prompts_after(seed):
        env = make(prompts=[str(number) for number in range(50)])
        drawn = [env.reset(seed=seed)[1]["prompt_index"]]
        for _ in range(80):
            drawn.append(env.reset()[1]["prompt_index"])
        return drawn

    assert prompts_after(3) == prompts_after(3)
    assert prompts_after(3) != prompts_after(4)


def test_seeding_again_begins_the_same_passes_and_numbers_again():
    env = make(prompts=[str(number) for number in range(5)], group_size=2)
    first = [env.reset(seed=1)[1], *[env.reset()[1] for _ in range(6)]]
    again = [env.reset(seed=1)[1], *[env.reset()[1] for _ in range(6)]]
    assert first == again


@pytest.mark.parametrize("group_size", [2, 3])
def test_episode_number_e_uses_draw_e_divided_by_the_group_size(group_size):
    env = make(prompts=[str(number) for number in range(9)], group_size=group_size)
    infos = [env.reset(seed=1)[1], *[env.reset()[1] for _ in range(17)]]
    plain = make(prompts=[str(number) for number in range(9)])
    draws = [plain.reset(seed=1)[1]["prompt_index"], *[plain.reset()[1]["prompt_index"] for _ in range(17)]]
    assert [info["prompt_index"] for info in infos] == [draws[info["episode_index"] // group_size] for info in infos]


def test_a_time_limit_from_outside_truncates_pays_nothing_and_asks_nobody():
    source = Length()
    env = gym.make(ENV, tokenizer="bytes", prompts=["ab"], feedback=source, max_new_tokens=8, max_episode_steps=2)
    _, reward, terminated, truncated, info = write(env, "hi")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert "score" not in info
    assert not source.calls


def test_what_was_returned_is_not_changed_by_later_steps():
    env = make()
    observation, _ = env.reset(seed=0)
    kept = [observation, *[env.step(1)[0] for _ in range(3)]]
    copies = [{name: rows.copy() for name, rows in each.items()} for each in kept]
    env.step(2)
    env.reset()
    assert all((each[name] == copy[name]).all() for each, copy in zip(kept, copies, strict=True) for name in each)
    episode = (write(env, "ab", end=True), env.unwrapped.episodes[0])[1]
    write(env, "xy", end=True)
    assert episode.ids.tolist() == [*b"ab", END]


def test_changing_what_was_returned_changes_nothing_inside():
    env = make()
    observation, _ = env.reset(seed=0)
    for rows in observation.values():
        rows[:] = 1
    observation = env.step(5)[0]
    assert observation["input_ids"].tolist() == [*b"ab", 5, *[END] * 7]
    assert observation["attention_mask"].sum() == 3


def test_statistics_of_gymnasium_record_score_and_length():
    info = write(RecordEpisodeStatistics(make()), "hi", end=True)[4]
    assert (info["episode"]["r"], info["episode"]["l"]) == (3.0, 3)


def test_nothing_is_decoded_before_the_end_and_then_once():
    tokens, counted = counted_tokens()
    env = make(tokenizer=tokens, max_new_tokens=50)
    env.reset(seed=0)
    before = counted.num_calls
    for _ in range(49):
        env.step(1)
    assert counted.num_calls == before
    env.step(1)
    assert (counted.num_calls, counted.num_ids) == (before + 1, 50)


def test_no_attribute_makes_a_library_take_it_for_a_goal_environment():
    env = make().unwrapped
    assert not hasattr(env, "compute_reward")
    assert "episode" not in write(env, "a", end=True)[4]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens must be at least 1, got 0"),
        ({"group_size": 0}, ValueError, "group_size must be at least 1, got 0"),
        ({"stop": [""]}, ValueError, r"a stop string must be a text that is not empty, got \[''\]"),
        ({"stop": [3]}, ValueError, r"a stop string must be a text that is not empty, got \[3\]"),
        ({"stop": "END"}, ValueError, r"stop must be a list of texts, got the text 'END': write stop=\['END'\]"),
        ({"eos_ids": [257]}, ValueError, r"eos_ids must be ids between 0 and 256, got \[257\]"),
        ({"eos_ids": 10}, ValueError, r"eos_ids must be a list of ids, got 10: write eos_ids=\[10\]"),
        ({"eos_ids": []}, ValueError, "tokenizer 'bytes' names no end token"),
        ({"vocab_size": 100}, ValueError, "vocab_size must be at least 257, the tokens of 'bytes', got 100"),
        ({"render_mode": "rgb_array"}, ValueError, 'render_mode must be "ansi", "human" or None, got \'rgb_array\''),
        ({"scoring": "deferred"}, TypeError, r"TextGen has no arguments \['scoring'\]; it has .*on_abstain"),
        ({"autoreset_mode": "NextStep"}, TypeError, r"TextGen has no arguments \['autoreset_mode'\]"),
        ({"max_tokens": 5}, TypeError, r"TextGen has no arguments \['max_tokens'\]; it has .*max_new_tokens"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is not in the possible render_modes.*:UserWarning")
def test_options_that_are_wrong_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        make(**options)


def test_a_reset_takes_no_options():
    with pytest.raises(ValueError, match=r"reset takes no options here, got \['prompt'\]"):
        make().unwrapped.reset(options={"prompt": "x"})
