"""Check that an encoder-decoder, stepped through the environment, writes what model.generate writes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import EncoderDecoderPolicy, collect
from tests.tiny_encoder_decoders import BANNED, FORCED, SERVED, tiny_encoder_decoder
from tests.tiny_sources import DISABLED, ENV, MODES, NEXT_STEP

PROMPTS = ["a", "The quick", "brown fox jumps over", "it", "and then some!", "x, y and z", "the end of the line, which is far away"]
NEW = 10
ENDS = (*range(0, 256, 5), 256)  # many, so that responses end early and at different times
CLOSING = (256,)


def greedy(model, **options):
    return EncoderDecoderPolicy(model, device="cpu", temperature=0, closing=CLOSING, **options)


def make(num_rows=3, mode=DISABLED, prompts=PROMPTS):
    return gym.make_vec(
        ENV,
        num_envs=num_rows,
        autoreset_mode=mode,
        tokenizer="bytes",
        prompts=prompts,
        feedback=lambda episodes: [0.0] * len(episodes),
        max_new_tokens=NEW,
        eos_ids=ENDS,
    )


def written(policy, num_rows=3):
    """Return the ids of each prompt's response, written in rows that are refilled one by one as they end."""
    rollout = collect(make(num_rows), policy, 2 * len(PROMPTS), seed=0, refill=0)
    return {episode.prompt.text: episode.ids.tolist() for episode in rollout.episodes}


def generated(model, prompt, num_given=1):
    """Return what `generate` writes behind the ids that it gives the decoder itself."""
    ids = torch.tensor([[*prompt.encode(), *CLOSING]])
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW + num_given - 1, do_sample=False, eos_token_id=list(ENDS)
        )
    return out[0, num_given:].tolist()


@pytest.mark.parametrize(("name", "attention"), [*((name, "sdpa") for name in SERVED), ("t5", "eager"), ("bart", "eager")])
def test_greedy_responses_equal_generate_token_for_token(name, attention):
    model = tiny_encoder_decoder(name, attention)
    responses = written(greedy(model))
    assert len(responses) == len(PROMPTS)
    assert len({len(ids) for ids in responses.values()}) > 1, "rows must begin at different times, so that responses are of mixed lengths"
    for prompt, ids in responses.items():
        assert ids == generated(model, prompt)


@pytest.mark.parametrize("name", ["t5", "bart", "marian"])
def test_a_row_writes_the_same_alone_and_among_others(name):
    policy = greedy(tiny_encoder_decoder(name))
    assert written(policy, num_rows=1) == written(policy, num_rows=7)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode is not DISABLED])
def test_rows_that_the_environment_starts_again_write_what_generate_writes(mode):
    """Episodes begin whenever a row's last one ended, so responses of many lengths are written side by side."""
    model = tiny_encoder_decoder("bart")
    policy, env = greedy(model), make(4, mode)
    memory = policy.start(4, seed=0)
    observation, info = env.reset(seed=0)
    fresh, begins = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    texts, seen = [list[int]() for _ in range(4)], 0
    lengths = set()
    for _ in range(40):
        tokens = policy.act(observation, memory, fresh, ~begins).tokens
        lengths.add(tuple(len(text) for text in texts))
        for row in np.flatnonzero(~begins):
            texts[row].append(int(tokens[row]))
        observation, _, terminated, _, info = env.step(tokens)
        fresh = begins if mode is NEXT_STEP else terminated
        ended = info["final_info"] if mode is not NEXT_STEP and "final_info" in info else info
        for row in np.flatnonzero(terminated):
            assert texts[row] == generated(model, ended["prompt"][row])
            texts[row], seen = [], seen + 1
        begins = terminated if mode is NEXT_STEP else np.zeros(4, dtype=bool)
    assert seen > 8 and any(len(set(counts)) > 2 for counts in lengths)


def test_a_first_token_that_the_model_is_trained_behind_is_given_and_not_chosen():
    model = tiny_encoder_decoder("bart", forced_bos_token_id=FORCED)
    policy = greedy(model)
    assert tuple(policy.opening) == (3, FORCED)
    for prompt, ids in written(policy).items():
        assert ids == generated(model, prompt, num_given=2)
    assert written(policy) != written(greedy(tiny_encoder_decoder("bart")))


def test_ids_that_the_model_never_writes_are_never_written():
    free = written(greedy(tiny_encoder_decoder("marian")))
    counts = np.bincount([id for ids in free.values() for id in ids])
    likeliest = int(counts.argmax())
    model = tiny_encoder_decoder("marian", bad_words_ids=[[likeliest], [65, 66]], suppress_tokens=[BANNED])
    responses = written(greedy(model))
    assert all(likeliest not in ids and BANNED not in ids for ids in responses.values())
    for prompt, ids in responses.items():
        assert ids == generated(model, prompt)
