"""Refuse architectures that the slot cache would serve wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from agents.policy.architecture import project, text_config
from agents.policy.attention import VisibleTokens
from agents.policy.decoding import feed_tokens
from agents.policy.sampler import Sampler
from agents.policy.slots import Feed, SlotCache

_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
_OWN_WINDOWS = ("window_size", "attention_window", "attention_chunk_size", "local_attention", "attention_types")


def check_served(model: PreTrainedModel) -> None:
    """Step a few tokens through the slot cache and compare with the model's own forward pass.

    Raises:
        ValueError: the architecture cannot be served; it is named, with the reason.
    """
    name = type(model).__name__
    config = text_config(model)
    if config.is_encoder_decoder:
        raise ValueError(f"{name} has an encoder, which is to read the prompt: make it a policy by EncoderDecoderPolicy")
    unknown = set(getattr(config, "layer_types", None) or ()) - _KNOWN_LAYERS
    if unknown:
        raise ValueError(_refusal(name, f"it has layers of the kind {sorted(unknown)[0]!r}"))
    windowed = [field for field in _OWN_WINDOWS if getattr(config, field, None)]
    if windowed:
        raise ValueError(_refusal(name, f"its attention is cut by {windowed[0]!r}, which only `sliding_window` can be here"))
    sampler = Sampler(model, model.dtype).model
    with torch.no_grad(), _small_window(config), _small_window(text_config(sampler)):
        try:
            expected, stepped = _forward_and_stepped(model, sampler)
        except Exception as error:
            raise ValueError(_refusal(name, f"a step failed with {type(error).__name__}: {error}")) from error
    tolerance = (1e-4 if expected.dtype in (torch.float32, torch.float64) else 0.1) * float(expected.float().std())
    error_size = float((expected - stepped).abs().max())
    if not error_size <= tolerance:
        reason = (
            f"logits of tokens that were stepped differ from those of a full forward pass by {error_size:.2g}, more than {tolerance:.2g}"
        )
        raise ValueError(_refusal(name, reason))


def _refusal(name: str, reason: str) -> str:
    served = "Llama, Qwen, Mistral, Gemma, GPT-2, GPT-NeoX, OPT or Phi"
    return f"{name} cannot be served token by token from the slot cache: {reason}. Use an architecture such as {served}"


def _forward_and_stepped(model: PreTrainedModel, sampler: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    device = model.device
    generator = torch.Generator().manual_seed(0)
    lengths, first = (7, 9), (2, 5)
    ids = torch.randint(text_config(model).vocab_size, (2, max(lengths)), generator=generator).to(device)
    expected = torch.cat([model(input_ids=ids[row : row + 1, :length]).logits[0] for row, length in enumerate(lengths)])
    cache = SlotCache(2)
    visible = VisibleTokens(text_config(sampler), model.dtype)
    logits: list[list[torch.Tensor]] = [[], []]
    held, counts = np.zeros(2, dtype=np.int64), np.array(first)
    while (held < lengths).any():
        rows = np.flatnonzero(held < lengths)
        feed = Feed(rows, held[rows], counts[rows])
        hidden = feed_tokens(sampler, cache, visible, feed, ids[rows])
        for place, row in enumerate(rows):
            logits[row].append(project(sampler, hidden[place, : feed.counts[place]]))
        held, counts = held + counts * (held < lengths), np.ones(2, dtype=np.int64)
    return expected, torch.cat([*logits[0], *logits[1]])


@contextmanager
def _small_window(config: PretrainedConfig) -> Iterator[None]:
    """Narrow sliding windows for a moment, so that a few tokens reach beyond them."""
    window: Any = getattr(config, "sliding_window", None)
    if window is None:
        yield
        return
    try:
        config.sliding_window = 3
        yield
    finally:
        config.sliding_window = window
