"""Choose the kind of policy that a model needs."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from agents.policy.causal import CausalPolicy
from agents.policy.encoder_decoder import EncoderDecoderPolicy
from agents.policy.models import has_encoder


def language_policy(model: str | PreTrainedModel, **options: Any) -> CausalPolicy | EncoderDecoderPolicy:
    """Make the policy that fits a model: an `EncoderDecoderPolicy` where its configuration says that it has an encoder, else causal.

    Args:
        model: a name or a model object.
        options: arguments of the policy.
    """
    return EncoderDecoderPolicy(model, **options) if has_encoder(model) else CausalPolicy(model, **options)
