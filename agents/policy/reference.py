"""Freeze a model to measure the policy's divergence from."""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from agents.policy.architecture import num_logits
from agents.policy.models import ready_model


def make_reference(model: PreTrainedModel, reference: str | PreTrainedModel | None, compute_dtype: torch.dtype) -> PreTrainedModel | None:
    """Return what the policy is compared with.

    Args:
        model: the policy's.
        reference: "initial" for a frozen copy of `model` as it is now, another name or model, or None for no reference.
        compute_dtype: precision of matrix products.

    Raises:
        ValueError: the reference has another vocabulary than the policy, or only one of them has an encoder.
    """
    if reference is None:
        return None
    if reference == "initial":
        return _frozen(model, compute_dtype)
    other = ready_model(reference, model.dtype, model.device)
    if num_logits(other) != num_logits(model):
        raise ValueError(f"the reference has {num_logits(other)} logits and the policy {num_logits(model)}: they need one vocabulary")
    if other.config.is_encoder_decoder != model.config.is_encoder_decoder:
        with_encoder, without = ("reference", "policy") if other.config.is_encoder_decoder else ("policy", "reference")
        raise ValueError(f"the {with_encoder} has an encoder and the {without} has none: they need the same kind of model")
    return _frozen(other, compute_dtype)


def _frozen(model: PreTrainedModel, compute_dtype: torch.dtype) -> PreTrainedModel:
    """Return a frozen copy that gives, under autocast to `compute_dtype`, exactly what the model gives under it now.

    Autocast rounds the weights of matrix products anyway, so those are kept rounded; all others keep their precision.
    """
    rounded = [m for m in model.modules() if isinstance(m, nn.Linear | Conv1D)]
    kept = {id(p) for m in model.modules() if not isinstance(m, nn.Linear | Conv1D) for p in m.parameters(recurse=False)}
    cast = {id(p) for m in rounded for p in m.parameters(recurse=False)} - kept
    copies = {
        id(p): nn.Parameter(p.detach().to(compute_dtype if id(p) in cast else p.dtype, copy=True), requires_grad=False)
        for p in model.parameters()
    }
    buffers = {id(buffer): buffer for buffer in model.buffers()}
    duplicate: PreTrainedModel = copy.deepcopy(model, {**copies, **buffers})
    duplicate.train(False)
    return duplicate
