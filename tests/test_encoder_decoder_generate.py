"""Check that an encoder-decoder, stepped through the environment, writes what model.generate writes.

Weights are float64, so that no choice hangs on rounding, and no id is chosen twice in a text, so that each choice needs all that was read.
"""

from __future__ import annotations

import functools

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import EncoderDecoderPolicy, collect
from tests.tiny_encoder_decoders import END, FORCED, SERVED, Unrepeated, tiny_encoder_decoder, unread
from tests.tiny_sources import DISABLED, ENV, NEXT_STEP, SAME_STEP

PROMPTS = ["a", "The quick", "it", "x, y and z", "the end of the line, which is far away"]
NEW = 8
ENDS = (*range(0, 256, 5), 256)  # many, so that responses end early and at different times
CLOSING = (256,)


def greedy(model):
    return EncoderDecoderPolicy(model, device="cpu", dtype="float64", temperature=0, closing=CLOSING, reference=None)


@functools.cache
def policy_of(name, attention="sdpa", seed=0):
    return greedy(tiny_encoder_decoder(name, attention, seed, "float64"))


def make(num_rows=3, mode=DISABLED):
    return gym.make_vec(
        ENV,
        num_envs=num_rows,
        autoreset_mode=mode,
        tokenizer="bytes",
        prompts=PROMPTS,
        feedback=lambda episodes: [0.0] * len(episodes),
        max_new_tokens=NEW,
        eos_ids=ENDS,
    )


def written(policy, num_rows=3):
    """Return the ids of each prompt's response, written in rows that are refilled one by one as they end."""
    rollout = collect(make(num_rows), Unrepeated(policy), 2 * len(PROMPTS), seed=0, refill=0)
    texts = {episode.prompt.text: episode.ids.tolist() for episode in rollout.episodes}
    assert set(texts) == set(PROMPTS) and len({tuple(ids) for ids in texts.values()}) > len(PROMPTS) / 2, "what was asked must matter"
    return texts


def generated(model, prompt, num_given=1):
    """Return what `generate` writes behind the ids that it gives the decoder itself."""
    ids = torch.tensor([[*prompt.encode(), *CLOSING]])
    settings = {"max_new_tokens": NEW + num_given - 1, "do_sample": False, "eos_token_id": list(ENDS), "no_repeat_ngram_size": 1}
    with torch.no_grad():
        return model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, num_given:].tolist()


def check_equals_generate(policy, num_rows=3):
    responses = written(policy, num_rows)
    assert len({len(ids) for ids in responses.values()}) > 1, "rows must begin at different times, so that responses are of mixed lengths"
    for prompt, ids in responses.items():
        assert ids == generated(policy.model, prompt)


def test_greedy_responses_equal_generate_token_for_token():
    check_equals_generate(policy_of("t5"))


@pytest.mark.slow
@pytest.mark.parametrize("num_rows", [1, 3, 7])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", SERVED)
def test_greedy_responses_equal_generate_whatever_the_model_and_the_rows(name, attention, seed, num_rows):
    check_equals_generate(policy_of(name, attention, seed), num_rows)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_rows_that_the_environment_starts_again_write_what_generate_writes(mode):
    """Episodes begin whenever a row's last one ended, so responses of many lengths are written side by side."""
    policy, env = policy_of("bart"), make(4, mode)
    memory = policy.start(4, seed=0)
    observation, info = env.reset(seed=0)
    fresh, begins = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    texts, num_seen, lengths = [list[int]() for _ in range(4)], 0, set()
    for _ in range(25):
        tokens = policy.act(observation, memory, fresh, ~begins, unread(policy, observation)).tokens
        lengths.add(tuple(len(text) for text in texts))
        for row in np.flatnonzero(~begins):
            texts[row].append(int(tokens[row]))
        observation, _, terminated, _, info = env.step(tokens)
        fresh = begins if mode is NEXT_STEP else terminated
        ended = info["final_info"] if mode is not NEXT_STEP and "final_info" in info else info
        for row in np.flatnonzero(terminated):
            assert texts[row] == generated(policy.model, ended["prompt"][row])
            texts[row], num_seen = [], num_seen + 1
        begins = terminated if mode is NEXT_STEP else np.zeros(4, dtype=bool)
    assert num_seen > 8 and any(len(set(counts)) > 2 for counts in lengths)


def test_a_first_token_that_the_model_is_trained_behind_is_given_and_not_chosen():
    policy = greedy(tiny_encoder_decoder("bart", dtype="float64", forced_bos_token_id=FORCED))
    assert tuple(policy.opening) == (3, FORCED)
    responses = written(policy)
    for prompt, ids in responses.items():
        assert ids == generated(policy.model, prompt, num_given=2)


def test_ids_that_the_model_never_writes_are_never_written():
    free = tiny_encoder_decoder("marian", dtype="float64")
    likely, suppressed = [id for id in dict.fromkeys(id for prompt in PROMPTS for id in generated(free, prompt)) if id not in ENDS][:2]
    words = [[likely], [65, 66], [END]]  # an end is a bad word to nobody
    policy = greedy(tiny_encoder_decoder("marian", dtype="float64", bad_words_ids=words, suppress_tokens=[suppressed]))
    assert policy._suppressed.tolist() == sorted([likely, suppressed])
    responses = written(policy)
    assert not {likely, suppressed} & {id for ids in responses.values() for id in ids}
    for prompt, ids in responses.items():
        assert ids == generated(policy.model, prompt)
