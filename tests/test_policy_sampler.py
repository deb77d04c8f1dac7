"""Check the copy of the weights that the sampler writes with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agents.policy.architecture import hidden_states, project, text_config
from agents.policy.attention import VisibleTokens
from agents.policy.sampler import OneDnnLinear, Sampler, onednn_packs
from tests.tiny_models import SERVED, tiny_model

IDS = torch.arange(12)[None] * 7
POSITIONS = torch.arange(12)[None]


def logits(model, dtype=torch.float32):
    mask = VisibleTokens(text_config(model), dtype).mask(POSITIONS, 12)
    with torch.no_grad():
        return project(model, hidden_states(model, IDS, POSITIONS, mask))


@pytest.mark.parametrize("name", SERVED)
def test_a_copy_in_the_same_precision_shares_every_weight(name):
    source = tiny_model(name)
    sampler = Sampler(source, torch.float32)
    own = {p.data_ptr() for p in sampler.model.parameters()}
    assert own <= {p.data_ptr() for p in source.parameters()}
    torch.testing.assert_close(logits(sampler.model), logits(source), atol=1e-5, rtol=0)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.1)
    torch.testing.assert_close(logits(sampler.model), logits(source), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SERVED)
def test_a_copy_in_bfloat16_computes_as_the_model_does_in_bfloat16(name):
    source = tiny_model(name)
    sampler = Sampler(source, torch.bfloat16)
    expected = logits(tiny_model(name).to(torch.bfloat16), torch.bfloat16).float()
    scale = expected.std()
    assert (logits(sampler.model, torch.bfloat16).float() - expected).abs().mean() < 0.02 * scale
    assert all(p.dtype == torch.float32 for p in source.parameters())
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.1)
    before = logits(sampler.model, torch.bfloat16)
    sampler.refresh()
    after, again = logits(sampler.model, torch.bfloat16), logits(Sampler(source, torch.bfloat16).model, torch.bfloat16)
    assert not torch.equal(before, after)
    assert torch.equal(after, again)


def test_rotary_frequencies_keep_their_precision():
    source = tiny_model()
    sampler = Sampler(source, torch.bfloat16)
    assert sampler.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert torch.equal(sampler.model.model.rotary_emb.inv_freq, source.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 64, 130])
@pytest.mark.parametrize("bias", [False, True])
def test_the_linear_layer_of_onednn_gives_the_same_product(dtype, rows, bias):
    if not onednn_packs(dtype):
        pytest.skip(f"oneDNN lays out no {dtype} weights on this processor, and the sampler does not ask it to")
    with torch.random.fork_rng(devices=[]):
        source = nn.Linear(40, 24, bias=bias)
    values = torch.randn(rows, 2, 40, generator=torch.Generator().manual_seed(0)).to(dtype).transpose(0, 1)
    ours = OneDnnLinear(source, dtype)(values)
    theirs = nn.functional.linear(values, source.weight.to(dtype), None if source.bias is None else source.bias.to(dtype))
    torch.testing.assert_close(ours, theirs, atol=1e-5 if dtype == torch.float32 else 2e-2, rtol=1e-2)


def test_where_onednn_lays_out_no_weights_the_sampler_keeps_ordinary_layers(monkeypatch):
    monkeypatch.setattr("agents.policy.sampler.onednn_packs", lambda dtype: False)
    sampler = Sampler(tiny_model(), torch.bfloat16)
    linears = [module for module in sampler.model.modules() if isinstance(module, nn.Linear)]
    assert linears and all(linear.weight.dtype == torch.bfloat16 for linear in linears)
    assert not any(isinstance(module, OneDnnLinear) for module in sampler.model.modules())
