"""Check that stepping through the environment writes what model.generate writes."""

from __future__ import annotations

import gymnasium as gym
import pytest
import torch

from agents import CausalPolicy, collect
from tests.tiny_models import SERVED, tiny_model
from tests.tiny_sources import DISABLED, ENV

PROMPTS = ["a", "The quick", "brown fox jumps over", "it", "and then some!", "Llamas", "x, y and z", "the end of the line"]
NEW = 12
ENDS = (*range(0, 256, 5), 256)  # many, so that responses end early and at different times


def written(policy, num_rows=3):
    """Return the ids of each prompt's response, written in rows that are refilled as they end."""
    env = gym.make_vec(
        ENV,
        num_envs=num_rows,
        autoreset_mode=DISABLED,
        tokenizer="bytes",
        prompts=PROMPTS,
        feedback=lambda episodes: [0.0] * len(episodes),
        max_new_tokens=NEW,
        eos_ids=ENDS,
    )
    rollout = collect(env, policy, 3 * len(PROMPTS), seed=0)
    return {episode.prompt.text: episode.ids.tolist() for episode in rollout.episodes}


def generated(model, prompt):
    ids = torch.tensor([list(prompt.encode())])
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, eos_token_id=list(ENDS))
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", SERVED)
def test_greedy_responses_equal_generate_token_for_token(name, attention):
    model = tiny_model(name, attention)
    responses = written(CausalPolicy(model, device="cpu", temperature=0))
    assert len(responses) == len(PROMPTS)
    assert len({len(ids) for ids in responses.values()}) > 1, "rows must end at different times for slots to move"
    for prompt, ids in responses.items():
        assert ids == generated(model, prompt)


def test_a_row_writes_the_same_alone_and_among_others():
    policy = CausalPolicy(tiny_model(), device="cpu", temperature=0)
    assert written(policy, num_rows=1) == written(policy, num_rows=7)
