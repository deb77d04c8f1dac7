"""Run the tensor functions on a second device that is not there: mixing devices raises, as it would on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("spare")
torch.spare.get_amp_supported_dtype = lambda: [torch.bfloat16]

import agents.policy.causal
from agents import CausalPolicy
from agents.policy.decoding import last_hidden_states
from agents.policy.logprobs import ActionMasks
from agents.policy.value_head import ValueHead
from tests.tiny_models import tiny_model

agents.policy.causal.check_served = lambda model: None  # it compares numbers, which fake tensors have not
rows, width = 6, 257


def elsewhere(model):
    """Move a model whose tied weights Module.to cannot move."""
    moved, kept = {}, []
    for module in model.modules():
        for place in (module._parameters, module._buffers):
            for name, tensor in place.items():
                if tensor is not None:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="spare")
                    kept.append(tensor)  # so that its id is not given to another
                    moved.setdefault(id(tensor), torch.nn.Parameter(empty) if place is module._parameters else empty)
                    place[name] = moved[id(tensor)]
    return model


def learn(policy):
    """Score a batch in all ways, and make a step."""
    batch = (np.ones((rows, 20), dtype=np.int64), np.array([4, 6, 4, 6, 4, 5]), np.tri(rows, 8, 2, dtype=bool))
    masks = ActionMasks(np.ones((2, width), dtype=bool), np.ones((rows, 8), dtype=np.int64))
    evaluation = policy.evaluate(*batch, masks, exact_kl=True)
    reference = policy.reference_logprobs(*batch, masks)
    parameters = [*policy.parameters(), *policy.value_parameters()]
    optimizer = torch.optim.AdamW(parameters)
    loss = ((reference - evaluation.logprobs) + evaluation.kl - evaluation.entropy + evaluation.values**2).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    policy.updated()
    assert {p.grad.device.type for p in parameters if p.grad is not None} == {"spare"}
    print("stepped and learned")


with FakeTensorMode():
    try:
        torch.zeros(2, device="spare") + torch.zeros(2)
    except FakeTensorDeviceMismatchError:
        print("mixing raises")
'''

CAUSAL = """
models = [tiny_model(name) for name in ("llama", "gemma3", "gpt2")]

with FakeTensorMode():
    for model in models:
        policy = CausalPolicy(elsewhere(model), device="spare", temperature=0.7)
        policy.value_head = elsewhere(ValueHead(32, seed=0))
        memory = policy.start(rows, seed=0)
        ids, lengths = np.ones((rows, 20), dtype=np.int64), np.array([4, 6, 4, 6, 4, 5])
        fresh = active = np.ones(rows, dtype=bool)
        mask = torch.ones(rows, width, dtype=torch.bool).to("spare")
        for step in range(3):  # prompts that rows share, then single tokens, then rows that ended; never one alone, which fake tensors skip
            if step == 2:
                active = np.array([False, False, True, True, True, True])
            hidden = last_hidden_states(policy._sampler.model, policy._reader.visible, memory, ids, lengths, fresh, active, policy.device)
            tokens, logprobs = policy._choose(hidden, mask[: len(hidden)], memory.draws, memory.table.rows, epsilon=0.1)
            values = policy.value_head(hidden)
            assert {t.device.type for t in (hidden, tokens, logprobs, values, *memory.cache.keys)} == {"spare"}
            lengths, fresh = lengths + 1, np.zeros(rows, dtype=bool)
        lengths = lengths + 2  # turns that a partner wrote
        last_hidden_states(policy._sampler.model, policy._reader.visible, memory, ids, lengths, fresh, active, policy.device)
        learn(policy)
"""


ENCODER_DECODER = """
import agents.policy.encoder_decoder
from agents import EncoderDecoderPolicy
from tests.tiny_encoder_decoders import tiny_encoder_decoder

agents.policy.encoder_decoder.check_encoder_decoder = lambda model, opening, closing: None
models = [tiny_encoder_decoder(name, suppress_tokens=[9, 11]) for name in ("t5", "bart")]
length = 20


def observed(lengths):
    columns = np.arange(length)
    is_real = columns < lengths[:, None]
    is_response = is_real & (columns >= prompts[:, None])
    return {"input_ids": np.ones((rows, length), dtype=np.int64), "attention_mask": is_real, "response_mask": is_response}


with FakeTensorMode():
    for model in models:
        policy = EncoderDecoderPolicy(elsewhere(model), device="spare", closing=(256,), temperature=0.7)
        policy.value_head = elsewhere(ValueHead(32, seed=0))
        memory = policy.start(rows, seed=0)
        prompts = np.array([4, 6, 4, 6, 4, 5])
        lengths, fresh, active = prompts.copy(), np.ones(rows, dtype=bool), np.ones(rows, dtype=bool)
        mask = torch.ones(rows, width, dtype=torch.bool).to("spare")
        for step in range(4):  # a start, a step, rows that ended, and turns that a partner wrote to some
            if step == 2:
                active = np.array([False, False, True, True, True, True])
            lengths = lengths + (0 if step == 0 else 1) + 2 * (step == 3) * (np.arange(rows) % 2)
            hidden, which = policy._reader.last_hidden_states(policy._sampler.model, memory, observed(lengths), fresh, active)
            tokens, logprobs = policy._choose(hidden, mask[: len(hidden)], memory.draws, which, epsilon=0.1)
            values = policy.value_head(hidden)
            assert {t.device.type for t in (hidden, tokens, logprobs, values, *memory.cohorts[0].responses.keys)} == {"spare"}
            fresh = np.zeros(rows, dtype=bool)
        assert len(memory.cohorts) == 2
        learn(policy)
"""


def check_runs_elsewhere(script, num_models):
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT + script]
    result = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, env=settings)
    assert result.stdout.splitlines() == ["mixing raises", *["stepped and learned"] * num_models], result.stderr[-3000:]


def test_a_step_and_an_update_run_on_a_device_other_than_the_cpu():
    check_runs_elsewhere(CAUSAL, 3)


@pytest.mark.slow
def test_an_encoder_decoder_runs_on_a_device_other_than_the_cpu():
    check_runs_elsewhere(ENCODER_DECODER, 2)
