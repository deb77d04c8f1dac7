"""Check that architectures which would be stepped wrongly are refused by name."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2LMHeadModel

from agents import CausalPolicy
from agents.policy import served
from agents.policy.attention import VisibleTokens
from tests.tiny_models import REFUSED, SERVED, tiny_model

NAMES = {"bloom": "BloomForCausalLM", "falcon": "FalconForCausalLM", "gpt_neo": "GPTNeoForCausalLM", "mamba": "MambaForCausalLM"}


@pytest.mark.parametrize("name", REFUSED)
def test_an_architecture_that_cannot_be_stepped_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{NAMES[name]} cannot be served token by token from the slot cache"):
        CausalPolicy(tiny_model(name, "eager"), device="cpu")


def test_layers_of_an_unknown_kind_are_refused_by_their_kind():
    with pytest.raises(ValueError, match="it has layers of the kind 'chunked_attention'"):
        CausalPolicy(tiny_model("qwen2", layer_types=["full_attention", "chunked_attention"]), device="cpu")


def test_a_model_without_a_head_over_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="GPT2Model has no linear head over a vocabulary"):
        CausalPolicy(tiny_model("gpt2").transformer, device="cpu")


class ScaledTwice(GPT2LMHeadModel):
    """A model that does to its logits what nobody knows of."""

    def forward(self, *arguments, **named):
        output = super().forward(*arguments, **named)
        output.logits = output.logits * 2
        return output


def test_logits_that_the_head_does_not_give_are_noticed():
    model = tiny_model("gpt2")
    model.__class__ = ScaledTwice
    with pytest.raises(ValueError, match=r"ScaledTwice cannot be served .* differ from those of a full forward pass"):
        CausalPolicy(model, device="cpu")


@pytest.mark.parametrize("name", ["mistral", "gemma3", "qwen2"])
@pytest.mark.parametrize("window", [4, 4096])
def test_a_window_that_is_not_kept_is_noticed_however_long_it_is(name, window, monkeypatch):
    """The check narrows windows for a moment, so that a few tokens reach beyond them."""
    model = tiny_model(name, sliding_window=window)
    CausalPolicy(model, device="cpu")
    assert model.config.sliding_window == window

    class Unwindowed(VisibleTokens):
        def __init__(self, config, dtype):
            super().__init__(config, dtype)
            self.windows = dict.fromkeys(self.windows)

    monkeypatch.setattr(served, "VisibleTokens", Unwindowed)
    with pytest.raises(ValueError, match="differ from those of a full forward pass"):
        CausalPolicy(model, device="cpu")
    assert model.config.sliding_window == window


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", SERVED)
def test_served_architectures_are_served_in_other_precisions_too(name, dtype):
    CausalPolicy(tiny_model(name).to(getattr(torch, dtype)), device="cpu", dtype=dtype)
