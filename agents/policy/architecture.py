"""Split a language model into its trunk and its head."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from agents.policy.attention import SLOT_ATTENTION, Mask
from agents.policy.slots import SlotCache


def text_config(model: PreTrainedModel) -> PretrainedConfig:
    """Return the configuration of the part that reads text; of a model with an encoder, that of the whole."""
    if model.config.is_encoder_decoder:
        return model.config  # transformers would make a copy with fields of other names
    config = model.config.get_text_config(decoder=True)
    assert isinstance(config, PretrainedConfig)
    return config


def hidden_states(
    model: PreTrainedModel, ids: torch.Tensor, positions: torch.Tensor, mask: Mask | None = None, cache: SlotCache | None = None
) -> torch.Tensor:
    """Run the trunk: ids and positions [n, width] to hidden states [n, width, H]."""
    output = model.base_model(
        input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=cache is not None, return_dict=True
    )
    states = output.last_hidden_state
    assert isinstance(states, torch.Tensor)
    return states


def num_logits(model: PreTrainedModel) -> int:
    """Return the number of tokens that the model gives logits to."""
    width = _head(model).out_features
    assert isinstance(width, int)
    return width


def project(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Run the head: hidden states [..., H] to logits [..., V], with what the architecture does to its logits."""
    config = text_config(model)
    if getattr(config, "scale_decoder_outputs", False):
        hidden = hidden * config.d_model**-0.5
    logits: torch.Tensor = _head(model)(hidden)
    if (bias := getattr(model, "final_logits_bias", None)) is not None:
        logits = logits + bias
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits / divisor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


def use_slot_attention(model: PreTrainedModel) -> None:
    """Let a model that attends by sdpa attend by `slot_attention`; one that was set to eager stays so."""
    if model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation():
        model.set_attn_implementation(SLOT_ATTENTION)


def _head(model: PreTrainedModel) -> nn.Module:
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if not hasattr(head, "out_features"):
        raise ValueError(f"{type(model).__name__} has no linear head over a vocabulary: give a causal language model")
    assert isinstance(head, nn.Module)
    return head
