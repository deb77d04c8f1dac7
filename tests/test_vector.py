"""The vector environment: rows, autoreset modes, and that it equals the single one."""

from __future__ import annotations

import copy
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from tests.tiny_sources import (
    DISABLED,
    END,
    ENV,
    MODES,
    NEXT_STEP,
    SAME_STEP,
    Length,
    NoOpinionOnShort,
    Vowels,
    counted_tokens,
    make,
    make_vec,
    same,
)

PROMPTS = ["a", "bcd", "ef", "g hij", "k"]
both_modes = pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP], ids=["next_step", "same_step"])
all_modes = pytest.mark.parametrize("mode", MODES, ids=[mode.name.lower() for mode in MODES])


def random_actions(seed, num_rows, num_steps):
    return np.random.default_rng(seed).choice([*b"aeixyz.", END], size=(num_steps, num_rows))


def run(env, actions, seed):
    """Return everything that a vector environment returns for these actions; parked rows are begun again at once."""
    outcomes = [env.reset(seed=seed)]
    for action in actions:
        outcomes.append(env.step(action))
        over = outcomes[-1][2] | outcomes[-1][3]
        if env.metadata["autoreset_mode"] is DISABLED and over.any():
            outcomes.append(env.reset(options={"reset_mask": over}))
    return outcomes


OPTIONS = [
    {},
    {"stop": ["x.", "ey"]},
    {"feedback": "vowels"},
    {"feedback": "abstaining", "on_abstain": "truncate"},
    {"min_new_tokens": 2, "allowed_tokens": [*b"aeixyz."]},
    {"group_size": 3},
    {"max_episode_steps": 4},
    {"partner": lambda episodes: ["hi" if len(episode.response) < 3 else None for episode in episodes]},
    {"vocab_size": 300},
]
SOURCES = {"vowels": Vowels, "abstaining": NoOpinionOnShort}


def fresh(options):
    return {**options, "feedback": SOURCES.get(options.get("feedback"), Length)(), "prompts": PROMPTS}


def of_one_row(value):
    """Return a single environment's view of a vector environment's values."""
    if isinstance(value, dict):
        return {name: of_one_row(rows) for name, rows in value.items() if not name.startswith("_")}
    return value[0] if value.dtype != object and value.ndim > 1 else value.tolist()[0]


@all_modes
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_one_row_gives_what_the_single_environment_gives(options, mode):
    vector, single = make_vec(1, autoreset_mode=mode, **fresh(options)), make(**fresh(options))
    observation, info = vector.reset(seed=5)
    begun = single.reset(seed=5)
    assert same(of_one_row(observation), begun[0])
    assert same(of_one_row(info), begun[1])
    num_ended = 0
    for action in random_actions(1, 1, 200)[:, 0]:
        mask = single.unwrapped.action_masks()
        action = action if mask[action] else np.flatnonzero(mask)[0]
        expected = single.step(action)
        observation, rewards, terminated, truncated, info = vector.step(np.array([action]))
        is_over = expected[2] or expected[3]
        assert (float(rewards[0]), bool(terminated[0])) == expected[1:3]
        if not expected[2]:  # TimeLimit also flags what ended by itself at the limit; the native limit does not
            assert bool(truncated[0]) == expected[3]
        if is_over:
            num_ended += 1
            begun = single.reset()
            if mode is SAME_STEP:
                final = {name: value for name, value in expected[4].items() if name != "action_mask"}
                assert same(of_one_row(info["final_info"]), final)
                assert same(info["final_obs"][0], expected[0])
                info = {name: info[name] for name in info if not name.strip("_").startswith("final")}
                assert same(of_one_row(observation), begun[0])
                assert same(of_one_row(info), begun[1])
                continue
            assert same(of_one_row(observation), expected[0])
            final = {name: value for name, value in of_one_row(info).items() if name != "action_mask"}
            assert same(final, {name: value for name, value in expected[4].items() if name != "action_mask"})
            if mode is NEXT_STEP:
                observation, rewards, terminated, truncated, info = vector.step(np.array([END]))
                assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, False)
            else:
                observation, info = vector.reset(options={"reset_mask": np.array([True])})
            assert same(of_one_row(observation), begun[0])
            assert same(of_one_row(info), begun[1])
        else:
            assert same(of_one_row(observation), expected[0])
            assert same(of_one_row(info), expected[4])
    assert num_ended > 20


@all_modes
@pytest.mark.parametrize("options", OPTIONS[:7], ids=lambda options: "-".join(options) or "plain")
def test_the_same_seed_rows_and_actions_give_the_same_everything(options, mode):
    actions = random_actions(2, 4, 60)
    if "allowed_tokens" in options:
        actions = np.where(actions == END, ord("a"), actions)
    first, again, other = (run(make_vec(4, autoreset_mode=mode, **fresh(options)), actions, seed) for seed in (3, 3, 4))
    assert len(first) == len(again)
    assert all(same(dict(enumerate(one)), dict(enumerate(two))) for one, two in zip(first, again, strict=True))
    assert not same(first[0][0], other[0][0])


@all_modes
def test_returned_values_have_the_declared_shapes_types_and_spaces(mode):
    env = make_vec(3, autoreset_mode=mode, prompts=PROMPTS, min_new_tokens=1)
    assert env.metadata["autoreset_mode"] is mode
    assert env.num_envs == 3
    assert env.action_space == gym.spaces.MultiDiscrete([257] * 3)
    assert env.single_action_space == gym.spaces.Discrete(257)
    assert {name: (space.shape, space.dtype) for name, space in env.observation_space.items()} == {
        "attention_mask": ((3, 13), np.int8),
        "input_ids": ((3, 13), np.int64),
        "response_mask": ((3, 13), np.int8),
    }
    num_ended = 0
    for outcome in run(env, np.where(random_actions(0, 3, 80) == END, 97, random_actions(0, 3, 80)), seed=0):
        observation, info = outcome[0], outcome[-1]
        assert env.observation_space.contains(observation)
        if len(outcome) == 5:
            assert [(part.shape, part.dtype) for part in outcome[1:4]] == [((3,), np.float64), ((3,), np.bool_), ((3,), np.bool_)]
            num_ended += int((outcome[2] | outcome[3]).sum())
        check_masks(info)
    assert num_ended > 5


def check_masks(info):
    """Check that each array of an info has its mask, of one boolean per row."""
    for name in list(info):
        if name.startswith("_"):
            assert info[name].dtype == np.bool_
            assert info[name].shape == (3,)
            assert info[name].any()
            assert name[1:] in info
        else:
            assert f"_{name}" in info
            if isinstance(info[name], dict):
                check_masks(info[name])
            else:
                assert len(info[name]) == 3
            if name in ("prompt", "response", "ending"):
                assert [value is not None for value in info[name]] == info[f"_{name}"].tolist()


@all_modes
def test_info_has_a_float_score_and_whole_numbers_from_the_first_episode_on(mode):
    env = make_vec(3, autoreset_mode=mode)
    _, info = env.reset(seed=0)
    assert [info[name].dtype for name in ("prompt_index", "episode_index")] == [np.int64, np.int64]
    info = env.step(np.array([END, 1, 1]))[4]
    info = info.get("final_info", info)
    assert [info[name].dtype for name in ("score", "scored", "ending")] == [np.float64, np.bool_, object]


def test_the_ignored_action_of_next_step_begins_the_row_and_nothing_else():
    source = Length()
    env = make_vec(2, prompts=PROMPTS, feedback=source, autoreset_mode=NEXT_STEP)
    env.reset(seed=0)
    final, rewards, terminated, _, info = env.step(np.array([END, 97]))
    assert (rewards.tolist(), terminated.tolist()) == ([1.0, 0.0], [True, False])
    assert final["response_mask"].sum(axis=1).tolist() == [1, 1]
    assert info["_score"].tolist() == [True, False]
    for ignored in (END, 10**6):
        twin = make_vec(2, prompts=PROMPTS, autoreset_mode=NEXT_STEP)
        twin.reset(seed=0)
        twin.step(np.array([END, 97]))
        observation, rewards, terminated, truncated, info = twin.step(np.array([ignored, 98]))
        assert (rewards.tolist(), terminated.any(), truncated.any()) == ([0.0, 0.0], False, False)
        assert observation["response_mask"].sum(axis=1).tolist() == [0, 2]
        assert info["episode_index"].tolist() == [2, 0]
        assert info["_episode_index"].tolist() == [True, False]
    assert len(source.calls) == 1


def test_same_step_keeps_the_end_and_begins_the_row():
    env = make_vec(2, prompts=PROMPTS, autoreset_mode=SAME_STEP)
    start, _ = env.reset(seed=0)
    observation, rewards, terminated, _, info = env.step(np.array([END, 97]))
    assert (rewards.tolist(), terminated.tolist()) == ([1.0, 0.0], [True, False])
    assert info["_final_obs"].tolist() == info["_final_info"].tolist() == [True, False]
    assert info["final_obs"][1] is None
    final = info["final_obs"][0]
    length = int(start["attention_mask"][0].sum())
    assert final["input_ids"][:length].tolist() == start["input_ids"][0, :length].tolist()
    assert (final["input_ids"][length], final["response_mask"].sum()) == (END, 1)
    assert info["final_info"]["ending"].tolist() == ["eos", None]
    assert "ending" not in info
    assert observation["response_mask"].sum(axis=1).tolist() == [0, 1]
    assert info["episode_index"].tolist() == [2, 0]


def test_the_final_observation_of_same_step_is_that_of_the_row_that_ended():
    env = make_vec(3, prompts=PROMPTS, autoreset_mode=SAME_STEP)
    start, _ = env.reset(seed=0)
    info = env.step(np.array([97, END, 98]))[4]
    assert info["_final_obs"].tolist() == [False, True, False]
    length = int(start["attention_mask"][1].sum())
    assert info["final_obs"][1]["input_ids"][: length + 1].tolist() == [*start["input_ids"][1, :length], END]


def test_the_final_observation_of_same_step_is_not_changed_by_what_follows():
    env = make_vec(2, prompts=PROMPTS, autoreset_mode=SAME_STEP)
    env.reset(seed=0)
    observation, _, _, _, info = env.step(np.array([END, 97]))
    final = info["final_obs"][0]
    before = {name: rows.copy() for name, rows in final.items()}
    observation["input_ids"][:] = 3
    for _ in range(9):
        env.step(np.array([98, 99]))
    assert same(final, before)


@both_modes
def test_every_row_goes_on_for_ever_in_the_modes_that_begin_rows_themselves(mode):
    env = make_vec(4, autoreset_mode=mode, max_new_tokens=3, prompts=PROMPTS, max_episode_steps=2)
    env.reset(seed=0)
    ended = np.zeros(4)
    for action in random_actions(4, 4, 60):
        _, _, terminated, truncated, _ = env.step(action)
        ended += terminated | truncated
    assert (ended > 10).all()


def test_a_finished_row_is_parked_until_it_is_named():
    source = Length()
    env = make_vec(3, prompts=PROMPTS, feedback=source, autoreset_mode=DISABLED)
    env.reset(seed=0)
    end, *_ = env.step(np.array([END, 97, 97]))
    for ignored in (5, END, -7, 10**9):
        observation, rewards, terminated, truncated, info = env.step(np.array([ignored, 98, 98]))
        assert all((observation[name][0] == end[name][0]).all() for name in end)
        assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, False)
        assert not info.get("_score", np.zeros(3, dtype=bool))[0]
    assert len(source.calls) == 1
    mask = np.array([True, False, False])
    options = {"reset_mask": mask}
    observation, info = env.reset(options=options)
    assert options["reset_mask"] is mask
    assert mask.tolist() == [True, False, False]
    assert observation["response_mask"].sum(axis=1).tolist() == [0, 5, 5]
    assert info["_episode_index"].tolist() == [True, False, False]
    assert info["episode_index"][0] == 3


def test_a_row_that_still_writes_may_be_begun_again():
    env = make_vec(2, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([97, 97]))
    observation, info = env.reset(options={"reset_mask": [True, False]})
    assert observation["response_mask"].sum(axis=1).tolist() == [0, 1]
    assert info["episode_index"][0] == 2
    assert env.step(np.array([97, 97]))[0]["response_mask"].sum(axis=1).tolist() == [1, 2]


def test_rows_that_a_first_reset_leaves_out_wait():
    env = make_vec(3, autoreset_mode=DISABLED, prompts=PROMPTS, render_mode="ansi")
    observation, info = env.reset(seed=0, options={"reset_mask": np.array([False, True, False])})
    assert info["episode_index"][1] == 0
    assert env.observation_space.contains(observation)
    assert observation["attention_mask"].sum(axis=1).astype(bool).tolist() == [False, True, False]
    observation, rewards, terminated, _, _ = env.step(np.array([END, END, END]))
    assert (rewards.tolist(), terminated.tolist()) == ([0.0, 1.0, 0.0], [False, True, False])
    assert [episode is None for episode in env.unwrapped.episodes] == [True, False, True]
    assert "not begun" in env.render()[0]
    _, info = env.reset(options={"reset_mask": np.array([True, False, True])})
    assert info["episode_index"].tolist() == [1, 0, 2]


def test_a_seed_abandons_all_rows_also_those_that_the_mask_leaves_out():
    env = make_vec(3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([97, 97, 97]))
    _, info = env.reset(seed=0, options={"reset_mask": np.array([False, False, True])})
    assert info["episode_index"][2] == 0
    assert env.step(np.full(3, END))[2].tolist() == [False, False, True]


@both_modes
def test_a_mask_cannot_leave_out_rows_that_nothing_would_ever_begin(mode):
    env = make_vec(2, autoreset_mode=mode)
    for seed in (None, 3):
        with pytest.raises(ValueError, match="must begin all rows where autoreset_mode is"):
            env.reset(seed=seed, options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="rows that reset_mask leaves out would never begin"):
        env.reset(seed=3, options={"reset_mask": np.array([True, False])})


def test_a_row_that_the_next_step_would_begin_may_be_begun_by_a_mask_and_then_writes():
    env = make_vec(3, autoreset_mode=NEXT_STEP)
    env.reset(seed=0)
    env.step(np.array([END, END, 97]))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    observation, _, _, _, info = env.step(np.array([98, 98, 98]))
    assert observation["response_mask"].sum(axis=1).tolist() == [1, 0, 2]
    assert info["_episode_index"].tolist() == [False, True, False]


@pytest.mark.parametrize("seed", [None, 3])
def test_a_whole_reset_forgets_which_rows_the_next_step_would_have_begun(seed):
    env = make_vec(2, autoreset_mode=NEXT_STEP)
    env.reset(seed=0)
    env.step(np.array([END, 97]))
    env.reset(seed=seed)
    assert env.step(np.array([97, 97]))[0]["response_mask"].sum(axis=1).tolist() == [1, 1]


@all_modes
def test_a_native_time_limit_truncates_pays_nothing_and_asks_nobody(mode):
    source = Length()
    env = make_vec(3, feedback=source, max_episode_steps=2, autoreset_mode=mode)
    env.reset(seed=0)
    env.step(np.array([97, 97, END]))
    _, rewards, terminated, truncated, info = env.step(np.array([97, END, 97]))
    assert (rewards.tolist(), terminated.tolist()) == ([0.0, 2.0, 0.0], [False, True, False])
    assert truncated.tolist() == [True, False, False]
    assert [[episode.index for episode in call] for call in source.calls] == [[2], [1]]
    cut = env.unwrapped.episodes[0]
    assert (cut.ending, cut.ids.tolist(), env.unwrapped.judgements[0]) == (None, [97, 97], None)
    if mode is SAME_STEP:
        assert info["final_obs"][0]["response_mask"].sum() == 2
        assert info["final_info"]["_score"].tolist() == [False, True, False]
        assert not info["_final_info"][2]


def test_a_row_that_the_time_limit_cut_off_stays_parked():
    env = make_vec(2, max_episode_steps=2, autoreset_mode=DISABLED)
    env.reset(seed=0)
    outcomes = [env.step(np.array([97, 97])) for _ in range(5)]
    assert [outcome[3].tolist() for outcome in outcomes] == [[False] * 2, [True] * 2, *[[False] * 2] * 3]
    assert outcomes[-1][0]["response_mask"].sum(axis=1).tolist() == [2, 2]
    env.reset(options={"reset_mask": np.array([True, False])})
    assert [env.step(np.array([97, 97]))[3].tolist() for _ in range(3)] == [[False] * 2, [True, False], [False] * 2]


def test_a_time_limit_by_a_wrapper_equals_the_native_one():
    native = make_vec(1, max_episode_steps=3, autoreset_mode=NEXT_STEP, prompts=PROMPTS)
    wrapped = gym.make_vec(
        ENV,
        num_envs=1,
        vectorization_mode="sync",
        max_episode_steps=3,
        tokenizer="bytes",
        prompts=PROMPTS,
        feedback=Length(),
        max_new_tokens=8,
    )
    for one, other in zip(*(run(env, random_actions(3, 1, 60), 2) for env in (native, wrapped)), strict=True):
        assert all(map(same, one[:2], other[:2]))
        if len(one) == 5:
            ended = one[2]
            assert same(one[2], other[2])
            assert same(one[3] | ended, other[3] | ended)


def test_gymnasiums_own_vectorisation_works_on_the_single_environment():
    options = {"tokenizer": "bytes", "prompts": PROMPTS, "feedback": Length(), "min_new_tokens": 1, "max_new_tokens": 4}
    env = gym.make_vec(ENV, num_envs=3, vectorization_mode="sync", **options)
    outcomes = run(env, np.where(random_actions(0, 3, 40) == END, 97, random_actions(0, 3, 40)), seed=0)
    assert all(env.observation_space.contains(outcome[0]) for outcome in outcomes)
    assert any("score" in outcome[-1] for outcome in outcomes)
    for outcome in outcomes:
        check_masks(outcome[-1])


@all_modes
@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_prompts_go_to_episodes_in_their_starting_order_whatever_the_rows_do(mode, group_size):
    env = make_vec(3, prompts=[str(number) for number in range(9)], group_size=group_size, autoreset_mode=mode, max_new_tokens=4)
    single = make(prompts=[str(number) for number in range(9)], group_size=group_size)
    draws = [single.reset(seed=8)[1]["prompt_index"], *[single.reset()[1]["prompt_index"] for _ in range(150)]]
    seen = {}
    for outcome in run(env, random_actions(5, 3, 80), seed=8):
        info = outcome[-1]
        if "episode_index" in info:
            rows = np.flatnonzero(info["_episode_index"])
            indices = info["episode_index"][rows].tolist()
            assert indices == list(range(len(seen), len(seen) + len(rows)))
            seen |= dict(zip(indices, info["prompt_index"][rows].tolist(), strict=True))
    assert len(seen) > 40
    assert [seen[index] for index in sorted(seen)] == draws[: len(seen)]


def test_members_of_a_group_share_a_prompt_also_when_rows_begin_a_few_at_a_time():
    env = make_vec(4, prompts=PROMPTS, group_size=3, autoreset_mode=DISABLED)
    found = {}
    masks = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 0]]
    for number, mask in enumerate(np.array(masks, dtype=bool)):
        _, info = env.reset(seed=0 if number == 0 else None, options={"reset_mask": mask})
        found |= dict(zip(info["episode_index"][mask].tolist(), info["prompt_index"][mask].tolist(), strict=True))
    groups = [{found[index] for index in range(start, start + 3)} for start in range(0, 12, 3)]
    assert [len(group) for group in groups] == [1] * 4
    assert len(set.union(*groups)) == 4


@all_modes
def test_what_was_returned_is_not_changed_by_later_steps(mode):
    env = make_vec(3, prompts=PROMPTS, autoreset_mode=mode)
    outcomes = run(env, random_actions(6, 3, 20), seed=0)
    kept = copy.deepcopy(outcomes)
    run(env, random_actions(7, 3, 20), seed=1)
    assert all(same(dict(enumerate(one)), dict(enumerate(other))) for one, other in zip(outcomes, kept, strict=True))


def test_changing_what_was_returned_changes_nothing_inside():
    env, twin = (make_vec(2, prompts=PROMPTS, autoreset_mode=DISABLED) for _ in range(2))
    env.reset(seed=0)
    twin.reset(seed=0)
    for action in random_actions(9, 2, 12):
        outcome = env.step(action)
        expected = twin.step(action)
        assert same(dict(enumerate(outcome)), dict(enumerate(expected)))
        for part in (*outcome[0].values(), *outcome[1:4]):
            part[:] = 1


@all_modes
def test_statistics_of_gymnasium_record_scores_and_lengths(mode):
    env = RecordEpisodeStatistics(make_vec(3, autoreset_mode=mode, prompts=PROMPTS))
    env.reset(seed=0)
    num_ended = 0
    for action in random_actions(6, 3, 60):
        _, _, terminated, _, info = env.step(action)
        if terminated.any():
            num_ended += 1
            final = info.get("final_info", info)
            assert info["_episode"].tolist() == terminated.tolist()
            assert info["episode"]["r"][terminated].tolist() == final["score"][terminated].tolist()
            assert info["episode"]["l"][terminated].tolist() == final["score"][terminated].tolist()
            if mode is DISABLED:
                env.reset(options={"reset_mask": terminated})
    assert num_ended > 10


def test_texts_are_decoded_once_per_step_with_endings_and_never_between():
    tokens, counted = counted_tokens()
    env = make_vec(4, tokenizer=tokens, max_new_tokens=30, autoreset_mode=DISABLED)
    env.reset(seed=0)
    before = counted.num_calls
    for _ in range(20):
        env.step(np.full(4, 97))
    assert counted.num_calls == before
    env.step(np.array([END, END, 97, 97]))
    assert counted.num_calls == before + 1


@all_modes
def test_a_step_costs_the_same_however_many_episodes_have_finished(mode):
    tokens, counted = counted_tokens()
    env = make_vec(2, tokenizer=tokens, feedback=lambda episodes: [0.0] * len(episodes), max_new_tokens=2, autoreset_mode=mode)
    env.reset(seed=0)

    def cost_of(num_steps):
        calls, ids = counted.num_calls, counted.num_ids
        for _ in range(num_steps):
            over = np.logical_or(*env.step(np.array([97, 97]))[2:4])
            if mode is DISABLED and over.any():
                env.reset(options={"reset_mask": over})
        return counted.num_calls - calls, counted.num_ids - ids, held_by(env.unwrapped.writing)

    cost_of(6)
    assert cost_of(60) == cost_of(60)


def held_by(thing, seen=None):
    """Return how many objects an object holds, arrays by their bytes."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (str, int, float, type, type(sys))):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, dict):
        return 1 + sum(held_by(value, seen) for value in thing.values())
    if isinstance(thing, (list, tuple, set)):
        return 1 + sum(held_by(value, seen) for value in thing)
    return 1 + held_by(vars(thing), seen) if hasattr(thing, "__dict__") else 1


def test_no_buffer_of_rows_times_vocabulary_is_made_without_a_constraint():
    env = make_vec(4, vocab_size=None, tokenizer="tinylm")
    env.reset(seed=0)
    writing = env.unwrapped.writing
    assert "action_mask" not in env.step(np.full(4, 50))[4]
    tables = [array for array in vars(writing.prefixes).values() if isinstance(array, np.ndarray)]
    assert all(array.size < 4 * env.unwrapped.tokens.vocab_size for array in tables)


def test_infos_between_endings_are_empty():
    env = make_vec(4)
    env.reset(seed=0)
    assert env.step(np.full(4, 97))[4] == {}


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([1, 2], r"actions must be 3 whole numbers, got shape \(2,\) of int64"),
        ([1.0, 2.0, 3.0], r"actions must be 3 whole numbers, got shape \(3,\) of float64"),
        ([True, False, True], r"actions must be 3 whole numbers, got shape \(3,\) of bool"),
        ([[1, 2, 3]], r"actions must be 3 whole numbers, got shape \(1, 3\) of int64"),
        (7, r"actions must be 3 whole numbers, got shape \(\) of int64"),
        ([1, 257, 3], "an action must be a token id from 0 to 256, got 257 in row 1"),
        ([1, 2, -1], "an action must be a token id from 0 to 256, got -1 in row 2"),
        (np.array([1, 2**63, 3], dtype=np.uint64), "an action must be a token id from 0 to 256, got .* in row 1"),
    ],
)
def test_wrong_actions_are_refused_and_change_no_row(actions, message):
    env = make_vec(3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(actions)
    assert env.step(np.array([1, 2, 3]))[0]["response_mask"].sum(axis=1).tolist() == [1, 1, 1]


def test_actions_may_come_in_any_layout_of_whole_numbers():
    env = make_vec(3)
    env.reset(seed=0)
    for actions in ([1, 2, 3], np.arange(6)[::2], np.array([1, 2, 3], dtype=">i4"), np.array([1, 2, 3], dtype=np.uint8)):
        observation = env.step(actions)[0]
    assert observation["input_ids"][:, 2:6].tolist() == [[1, 0, 1, 1], [2, 2, 2, 2], [3, 4, 3, 3]]


def test_actions_that_were_passed_are_not_changed():
    env = make_vec(3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    actions = np.array([END, 2, 3])
    actions.setflags(write=False)
    env.step(actions)
    env.step(actions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"options": {"reset_mask": np.array([True])}}, "reset_mask must be 3 booleans, at least one of them True, got"),
        ({"options": {"reset_mask": np.array([1, 0, 1])}}, "reset_mask must be 3 booleans"),
        ({"options": {"reset_mask": np.zeros(3, dtype=bool)}}, "at least one of them True"),
        ({"options": {"prompt": 1}}, r"reset takes the option reset_mask only, got \['prompt'\]"),
        ({"seed": [1, 2, 3]}, r"seed must be one whole number: one generator draws the prompts of all rows, got \[1, 2, 3\]"),
    ],
)
def test_a_wrong_reset_is_refused_and_changes_nothing(arguments, message):
    env, twin = make_vec(3, prompts=PROMPTS, autoreset_mode=DISABLED), make_vec(3, prompts=PROMPTS, autoreset_mode=DISABLED)
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.reset(**{"seed": 7, **arguments})
    assert same(env.reset()[0], twin.reset()[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"render_mode": "rgb_array"}, 'render_mode must be "ansi", "human" or None, got \'rgb_array\''),
        ({"max_episode_steps": 0}, "max_episode_steps must be at least 1, got 0"),
        ({"autoreset_mode": "sometimes"}, "'sometimes' is not a valid AutoresetMode"),
    ],
)
def test_vector_options_that_are_wrong_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make_vec(**options)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        make_vec(2).step(np.array([1, 1]))


def test_two_environments_keep_their_own_autoreset_mode():
    one, other = make_vec(2, autoreset_mode=SAME_STEP), make_vec(2, autoreset_mode=DISABLED)
    assert one.metadata["autoreset_mode"] is SAME_STEP
    assert other.metadata["autoreset_mode"] is DISABLED
    assert make_vec(2).metadata["autoreset_mode"] is NEXT_STEP


def test_a_mode_may_be_given_by_its_value():
    assert make_vec(2, autoreset_mode=SAME_STEP.value).metadata["autoreset_mode"] is SAME_STEP
