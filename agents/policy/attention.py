"""Attend from one new token per row to the cache, and say which cached tokens each new token may see."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

SLOT_ATTENTION = "textgen_slots"  # the name under which transformers finds `slot_attention`

_EXTRAS = ("position_bias", "s_aux", "softcap")  # what some architectures put into the scores: sdpa takes it or refuses it
_FEW = 32  # new tokens per row up to which two products beat sdpa

Mask = torch.Tensor | dict[str, torch.Tensor]


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend as transformers' sdpa does, but few tokens on the CPU by two batched products.

    Heads that share keys and values are stacked as the rows of one matrix, so that nothing is repeated.
    query [n, heads, tokens, size], key and value [n, key heads, seen, size], attention_mask [n or 1, 1, tokens, seen].
    Returns [n, tokens, heads, size].
    """
    rows, heads, tokens, size = query.shape
    has_extras = any(kwargs.get(name) is not None for name in _EXTRAS)
    if attention_mask is None or attention_mask.shape[1] > 1 or has_extras or tokens > _FEW or query.device.type != "cpu":
        output, weights = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
        return output, weights
    kinds, seen = key.shape[1], key.shape[2]
    sharing = heads // kinds
    bias = attention_mask.unsqueeze(2).expand(rows, kinds, sharing if tokens > 1 else 1, tokens, seen)
    stacked = query.reshape(rows * kinds, sharing * tokens, size)
    keys = key.reshape(rows * kinds, seen, size).transpose(1, 2)
    scale = size**-0.5 if scaling is None else scaling
    scores = torch.baddbmm(bias.reshape(rows * kinds, -1, seen), stacked, keys, alpha=scale)
    attended = torch.bmm(torch.softmax(scores, -1), value.reshape(rows * kinds, seen, -1))
    return attended.view(rows, heads, tokens, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(SLOT_ATTENTION, slot_attention)


def same_with_gradient(config: PretrainedConfig, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which sdpa gives the same numbers whether or not gradients are wanted.

    T5 adds learned distances to its attention masks. The CPU's fused kernel refuses a mask that needs a gradient, so sdpa computes
    plain products for the learner and would take the fused kernel, whose sums run in another order, for a frozen copy: in bfloat16
    that differs by several hundredths of a nat a token, where a policy's divergence from its own copy is 0.
    """
    has_learned_distances = getattr(config, "relative_attention_num_buckets", None) is not None
    return sdpa_kernel(SDPBackend.MATH) if has_learned_distances and device.type == "cpu" else nullcontext()


class VisibleTokens:
    """Build attention masks: a token sees itself and what came before it, within its layer's window.

    The masks are added to the attention scores (0 where a token is seen, the lowest number where not): a boolean mask is
    read wrongly by eager attention. transformers passes masks with four dimensions through, so that windows are put in here.

    Args:
        config: the model's; `layer_types` and `sliding_window` are read.
        dtype: precision of the attention scores.
    """

    def __init__(self, config: PretrainedConfig, dtype: torch.dtype) -> None:
        self.dtype = dtype
        window = getattr(config, "sliding_window", None)
        types = getattr(config, "layer_types", None) or ["full_attention" if window is None else "sliding_attention"]
        self.windows: dict[str, int | None] = {kind: window if kind == "sliding_attention" else None for kind in types}

    def mask(self, positions: torch.Tensor, num_columns: int) -> Mask:
        """Return what the tokens at `positions` [n, width] see of the cache: [n, 1, width, num_columns].

        A dictionary by layer type where the model mixes windowed and full layers.
        """
        columns = torch.arange(num_columns, device=positions.device)
        queries = positions[:, None, :, None]
        masks = {}
        for kind, window in self.windows.items():
            is_hidden = columns > queries
            if window is not None:
                is_hidden |= columns <= queries - window
            zeros = torch.zeros(is_hidden.shape, dtype=self.dtype, device=positions.device)
            masks[kind] = zeros.masked_fill_(is_hidden, torch.finfo(self.dtype).min)
        return masks if len(masks) > 1 else masks.popitem()[1]
