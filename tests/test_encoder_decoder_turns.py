"""Check rows that are not stepped one token at a time: turns that a partner wrote, and rows that are read again after others were cut."""

from __future__ import annotations

import functools

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import EncoderDecoderPolicy, collect
from tests.tiny_encoder_decoders import Unrepeated, tiny_encoder_decoder
from tests.tiny_sources import DISABLED, ENV

CLOSING = (256,)
ENDS = (*range(0, 256, 4), 256)
PROMPTS = ["a", "The quick", "x, y and z", "it"]


def make(num_rows, **options):
    options = {"prompts": PROMPTS, "feedback": lambda episodes: [0.0] * len(episodes), "eos_ids": ENDS, "max_new_tokens": 12} | options
    return gym.make_vec(ENV, num_envs=num_rows, autoreset_mode=DISABLED, tokenizer="bytes", **options)


def greedy(name, seed=0, **options):
    model = tiny_encoder_decoder(name, seed=seed, dtype="float64")
    return EncoderDecoderPolicy(model, device="cpu", dtype="float64", temperature=0, closing=CLOSING, reference=None, **options)


def of_full_forward(policy, rollout, row, column):
    """Return the log-probabilities [V] behind a response's first `column` tokens, of ids that the decoder has not read yet."""
    prompt = rollout.tokens[row, : rollout.prompt_lengths[row]]
    response = rollout.tokens[row, rollout.prompt_lengths[row] :][:column]
    read = torch.tensor([[*policy.opening, *response]])
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([[*prompt, *CLOSING]]), decoder_input_ids=read).logits[0, -1]
    return torch.log_softmax(logits.index_fill(0, read[0], -torch.inf), 0)


def check_each_choice(policy, rollout):
    for row, column in zip(*np.nonzero(rollout.is_action), strict=True):
        logprobs = of_full_forward(policy, rollout, row, column)
        assert logprobs.argmax() == rollout.actions[row, column]
        np.testing.assert_allclose(rollout.logprobs[row, column], logprobs.max(), atol=2e-6, rtol=0)


TALKATIVE = {"t5": 0, "bart": 2, "marian": 3}  # seeds of models that end their turns, so that the partner has its say


@functools.cache
def converse(name):
    def partner(conversations):
        """Say more to some than to others, and nothing to who has heard enough."""
        return ["!" * (1 + len(each.prompt.text) % 4) if len(each.ids) < 5 else None for each in conversations]

    agent = Unrepeated(greedy(name, seed=TALKATIVE[name]))
    return agent, collect(make(4, partner=partner), agent, 2 * len(PROMPTS), seed=0, refill=0)


@pytest.mark.parametrize("name", ["t5", pytest.param("bart", marks=pytest.mark.slow), pytest.param("marian", marks=pytest.mark.slow)])
def test_choices_after_a_partners_turn_are_those_of_a_full_forward_pass(name):
    agent, rollout = converse(name)
    heard = [(~rollout.is_action[row, : np.flatnonzero(rollout.is_action[row])[-1]]).sum() for row in range(len(rollout))]
    assert len(set(heard)) > 2, "the partner must say more to some than to others"
    check_each_choice(agent.policy, rollout)


def test_rows_are_stepped_together_until_a_partner_says_more_to_some():
    agent, _ = converse("t5")
    assert agent.cohorts[0] == [4] and max(len(cohorts) for cohorts in agent.cohorts) > 1
    assert all(sum(cohorts) <= 4 for cohorts in agent.cohorts)


def test_rows_that_go_on_after_another_was_cut_are_read_again():
    """What a cut episode was worth is asked of its row alone, so the memory drops the others, which are in the middle of a text."""
    policy = greedy("bart", value_head=True)
    with torch.no_grad():
        policy.value_head.output.weight.fill_(0.1)
    fed = []
    policy._sampler.model.get_decoder().register_forward_pre_hook(
        lambda _, __, named: fed.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    rollout = collect(make(3, max_episode_steps=4, eos_ids=(*range(0, 256, 2), 256)), Unrepeated(policy), 6, seed=0, refill=0)
    assert rollout.is_truncated.any() and not rollout.is_truncated.all()
    assert any(width > 1 for _, width in fed), "some rows must have been in the middle of a text"
    check_each_choice(policy, rollout)
    wider = np.pad(rollout.tokens, ((0, 0), (0, 1)))
    after = np.arange(rollout.is_action.shape[1] + 1)[None] == rollout.lengths[:, None]
    with torch.no_grad():
        values = policy.evaluate(wider, rollout.prompt_lengths, after).values.sum(1).numpy()
    np.testing.assert_allclose(rollout.bootstrap, np.where(rollout.is_truncated, values, 0), atol=2e-6, rtol=0)
    assert np.abs(rollout.bootstrap[rollout.is_truncated]).min() > 1e-3
