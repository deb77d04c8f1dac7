"""Attend from one new token per row to the cache, and say which cached tokens each new token may see."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

SLOT_ATTENTION = "textgen_slots"  # the name under which transformers finds `slot_attention`

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
    """Attend as transformers' sdpa does, but on the CPU for one token per row by two batched products.

    Heads that share keys and values are stacked as the rows of one matrix, so that nothing is repeated.
    query [n, heads, tokens, size], key and value [n, key heads, seen, size], attention_mask [n or 1, 1, tokens, seen].
    Returns [n, tokens, heads, size].
    """
    rows, heads, tokens, size = query.shape
    if tokens > 1 or query.device.type != "cpu" or attention_mask is None or attention_mask.shape[1] > 1:
        output, weights = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
        return output, weights
    shared = heads // key.shape[1]
    scale = size**-0.5 if scaling is None else scaling
    grouped = (query * scale).reshape(rows, key.shape[1], shared, size)
    weights = torch.matmul(grouped, key.transpose(2, 3)).add_(attention_mask)
    attended = torch.matmul(torch.softmax(weights, -1), value)
    return attended.reshape(rows, 1, heads, value.shape[3]), None


AttentionInterface.register(SLOT_ATTENTION, slot_attention)


class VisibleTokens:
    """Build attention masks: a token sees itself and what came before it, within its layer's window.

    The masks are added to the attention scores (0 where a token is seen, the lowest number where not): a boolean mask is
    read wrongly by eager attention. transformers passes masks with four dimensions through, so that windows are put in here.

    Args:
        config: the model's; `layer_types` and `sliding_window` are read.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        window = getattr(config, "sliding_window", None)
        types = getattr(config, "layer_types", None) or ["full_attention" if window is None else "sliding_attention"]
        self.windows: dict[str, int | None] = {kind: window if kind == "sliding_attention" else None for kind in types}

    def mask(self, positions: torch.Tensor, longest: int, dtype: torch.dtype) -> Mask:
        """Return what the tokens at `positions` [n, width] see of columns 0 to longest - 1: [n, 1, width, longest].

        A dictionary by layer type where the model mixes windowed and full layers.
        """
        columns = torch.arange(longest, device=positions.device)
        queries = positions[:, None, :, None]
        masks = {}
        for kind, window in self.windows.items():
            is_hidden = columns > queries
            if window is not None:
                is_hidden |= columns <= queries - window
            masks[kind] = torch.zeros(is_hidden.shape, dtype=dtype, device=positions.device).masked_fill_(is_hidden, torch.finfo(dtype).min)
        return masks if len(masks) > 1 else masks.popitem()[1]
