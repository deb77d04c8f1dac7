"""Which tokens may be chosen, and how masked ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_sources import DISABLED, END, NEXT_STEP, make, make_vec, response_of
from text_env.masks import Masks
from text_env.tokens import load_tokens

BYTES = load_tokens("bytes")


def test_without_a_constraint_no_mask_is_made_and_everything_may_be_chosen():
    env = make()
    _, info = env.reset(seed=0)
    assert "action_mask" not in info
    assert env.unwrapped.action_masks().shape == (257,)
    assert env.unwrapped.action_masks().all()
    vector = make_vec(3)
    _, info = vector.reset(seed=0)
    assert "action_mask" not in info
    assert vector.unwrapped.action_masks().all()


def test_end_tokens_are_masked_until_the_minimum_length_is_written():
    env = make(min_new_tokens=2, eos_ids=[END, ord(";")])
    _, info = env.reset(seed=0)
    seen = [info["action_mask"][[END, ord(";"), ord("a")]].tolist()]
    for _ in range(3):
        info = env.step(ord("a"))[4]
        seen.append(info["action_mask"][[END, ord(";"), ord("a")]].tolist())
    assert seen == [[False, False, True]] * 2 + [[True] * 3] * 2


def test_the_minimum_length_begins_anew_with_each_episode():
    env = make_vec(2, min_new_tokens=1, autoreset_mode=DISABLED)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.array([1, 1]))
    assert info["action_mask"][:, END].tolist() == [True, True]
    _, _, terminated, _, _ = env.step(np.array([END, 1]))
    _, info = env.reset(options={"reset_mask": terminated})
    assert info["action_mask"][:, END].tolist() == [False, True]
    assert info["_action_mask"].all()


def test_banned_tokens_are_never_allowed_and_the_others_always():
    env = make(banned_tokens=[1, 5])
    env.reset(seed=0)
    assert np.flatnonzero(~env.unwrapped.action_masks()).tolist() == [1, 5]
    env.step(2)
    assert np.flatnonzero(~env.unwrapped.action_masks()).tolist() == [1, 5]


def test_only_allowed_tokens_and_end_tokens_may_be_chosen():
    env = make(allowed_tokens=[7, 9])
    env.reset(seed=0)
    assert np.flatnonzero(env.unwrapped.action_masks()).tolist() == [7, 9, END]


def test_an_end_token_may_be_banned_so_that_only_the_budget_ends_a_response():
    env = make(allowed_tokens=[7], banned_tokens=[END])
    env.reset(seed=0)
    assert np.flatnonzero(env.unwrapped.action_masks()).tolist() == [7]


def test_ids_without_a_token_are_masked():
    env = make(vocab_size=300)
    assert env.action_space.n == 300
    _, info = env.reset(seed=0)
    assert np.flatnonzero(~info["action_mask"]).tolist() == list(range(257, 300))
    with pytest.raises(ValueError, match=r"action 299 \('no token'\) in row 0 is masked"):
        env.step(299)


def choose_all(env, choose):
    """Write one response by `choose(allowed ids)` at each step."""
    _, info = env.reset()
    while True:
        _, _, terminated, _, info = env.step(choose(np.flatnonzero(info["action_mask"])))
        if terminated:
            return info


@pytest.mark.parametrize("tokenizer", ["bytes", "tinylm"])
def test_a_response_is_always_one_of_the_choices_and_can_be_each_of_them(tokenizer):
    choices = [" yes", " no", " not at all", " nothing", " n"]
    env = make(tokenizer=tokenizer, choices=choices, max_new_tokens=16)
    rng = np.random.default_rng(0)
    written = [choose_all(env, rng.choice) for _ in range(200)]
    assert {info["response"] for info in written} == set(choices)
    assert {info["ending"] for info in written} == {"eos"}


def test_a_choice_that_begins_another_may_end_or_go_on():
    masks = Masks(BYTES, choices=["no", "not"], max_new_tokens=4)
    state = masks.start(1)
    for token, allowed in zip(b"not", [[ord("n")], [ord("o")], [ord("t"), END]], strict=True):
        assert np.flatnonzero(masks.of(state)[0]).tolist() == allowed
        state = masks.advance(state, np.array([token]))
    assert np.flatnonzero(masks.of(state)[0]).tolist() == [END]


def test_the_tree_of_choices_equals_a_search_through_the_texts():
    rng = np.random.default_rng(3)
    choices = sorted({bytes(rng.choice(list(b"abc"), size=rng.integers(1, 6)).tolist()).decode() for _ in range(30)})
    masks = Masks(BYTES, choices=choices, max_new_tokens=6)
    for choice in choices:
        state = masks.start(1)
        for at in range(len(choice) + 1):
            written = choice[:at]
            allowed = {ord(each[at]) for each in choices if each.startswith(written) and len(each) > at}
            allowed |= {END} if written in choices else set()
            assert set(np.flatnonzero(masks.of(state)[0])) == allowed
            if at < len(choice):
                state = masks.advance(state, np.array([ord(choice[at])]))


def test_many_choices_over_a_large_vocabulary_need_one_mask_each_and_no_table_of_numbers():
    tokens = load_tokens("tinylm", vocab_size=50_000)
    masks = Masks(tokens, choices=[f" choice number {number}" for number in range(50)], max_new_tokens=16)
    numbers = sum(array.nbytes for array in masks._edges)
    assert masks.table.dtype == np.bool_
    assert numbers < 0.001 * masks.table.nbytes


def test_a_masked_action_is_an_error_and_leaves_every_row_as_it_was():
    env = make_vec(3, banned_tokens=[5], autoreset_mode=DISABLED)
    env.reset(seed=0)
    env.step(np.array([1, 2, 3]))
    before = env.unwrapped.writing.observation()
    with pytest.raises(ValueError, match=r"action 5 \('\\x05'\) in row 1 is masked: choose where action_masks\(\) is True"):
        env.step(np.array([1, 5, 3]))
    after = env.unwrapped.writing.observation()
    assert all((before[name] == after[name]).all() for name in before)
    observation = env.step(np.array([1, 6, 3]))[0]
    assert observation["response_mask"].sum(axis=1).tolist() == [2, 2, 2]


def test_rows_that_do_not_write_may_choose_anything():
    env = make_vec(3, min_new_tokens=4, max_episode_steps=2, autoreset_mode=DISABLED)
    env.reset(seed=0, options={"reset_mask": np.array([True, True, False])})
    assert env.unwrapped.action_masks()[:, END].tolist() == [False, False, True]
    env.step(np.ones(3, dtype=int))
    _, _, _, truncated, info = env.step(np.ones(3, dtype=int))
    assert truncated.tolist() == [True, True, False]
    assert info["action_mask"].all()
    env.step(np.full(3, END))  # masked for a row that writes


def test_a_row_that_the_next_step_begins_may_choose_anything_before_and_not_after():
    env = make_vec(1, banned_tokens=[5], max_new_tokens=1, autoreset_mode=NEXT_STEP)
    env.reset(seed=0)
    assert env.step(np.array([1]))[4]["action_mask"].all()
    info = env.step(np.array([5]))[4]
    assert np.flatnonzero(~info["action_mask"][0]).tolist() == [5]


def test_masks_that_were_handed_out_are_not_changed_later():
    env = make_vec(2, min_new_tokens=1)
    _, info = env.reset(seed=0)
    first = info["action_mask"].copy()
    env.step(np.array([1, 1]))
    assert (info["action_mask"] == first).all()
    env.unwrapped.action_masks()[:] = False
    env.step(np.array([1, 1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_new_tokens": 9}, "min_new_tokens must be between 0 and max_new_tokens=8, got 9"),
        ({"min_new_tokens": -1}, "min_new_tokens must be between 0 and max_new_tokens=8, got -1"),
        ({"banned_tokens": [257]}, r"banned_tokens must be ids between 0 and 256, got \[257\]"),
        ({"allowed_tokens": [-1, 3]}, r"allowed_tokens must be ids between 0 and 256, got \[-1\]"),
        ({"allowed_tokens": []}, "allowed_tokens must name at least one token, got none"),
        ({"allowed_tokens": [260], "vocab_size": 300}, r"allowed_tokens must be ids that have a token, \[260\] have none in 'bytes'"),
        ({"allowed_tokens": [3, 4], "banned_tokens": [4]}, r"tokens \[4\] are both banned and allowed"),
        ({"allowed_tokens": [END], "min_new_tokens": 1}, "these masks leave no token to choose"),
        ({"banned_tokens": range(257)}, "these masks leave no token to choose"),
        ({"choices": ["a"], "banned_tokens": [3]}, "choices fix every token, so they cannot be combined with min_new_tokens, banned"),
        ({"choices": ["a"], "min_new_tokens": 1}, "choices fix every token"),
        ({"choices": ["a"], "allowed_tokens": [3]}, "choices fix every token"),
        ({"choices": []}, r"choices must be different, non-empty texts, got \[\]"),
        ({"choices": ["a", ""]}, "choices must be different, non-empty texts"),
        ({"choices": ["a", "a"]}, "choices must be different, non-empty texts"),
        ({"choices": "yes"}, r"choices must be a list of texts, got the text 'yes': write choices=\['yes'\]"),
        ({"choices": ["far too long"]}, "choice 'far too long' needs 13 tokens with its end token, more than max_new_tokens=8"),
        ({"choices": ["a. b"], "stop": ["."]}, r"choice 'a. b' contains one of the stop strings \['.'\]"),
    ],
)
def test_contradictory_or_impossible_masks_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_response_may_end_by_the_budget_before_it_may_end_by_itself():
    env = make(min_new_tokens=8)
    env.reset(seed=0)
    for _ in range(8):
        assert not env.unwrapped.action_masks()[END]
        outcome = env.step(1)
    assert outcome[4]["ending"] == "length"
    assert len(response_of(env).ids) == 8
