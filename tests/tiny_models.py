"""Random language models of many architectures, small enough to step in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

WIDTH = 257  # the byte tokenizer's
LONGEST = 96

_SIZES: dict[str, Any] = {
    "vocab_size": WIDTH,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
    "bos_token_id": 256,
    "eos_token_id": 256,
    "pad_token_id": 256,
}
_GROUPED = _SIZES | {"num_key_value_heads": 2}
_OLD: dict[str, Any] = {"vocab_size": WIDTH, "bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 256}
_MIXED = ["sliding_attention", "full_attention"]

SERVED: dict[str, Callable[[], PreTrainedConfig]] = {
    "gpt2": lambda: GPT2Config(**_OLD, n_embd=32, n_layer=2, n_head=4, n_positions=LONGEST),
    "llama": lambda: LlamaConfig(**_GROUPED),
    "qwen2": lambda: Qwen2Config(**_GROUPED, use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "qwen3": lambda: Qwen3Config(**_GROUPED, head_dim=8),
    "mistral": lambda: MistralConfig(**_GROUPED, sliding_window=4),
    "gemma3": lambda: Gemma3TextConfig(**_GROUPED, head_dim=8, sliding_window=4, final_logit_softcapping=5.0, layer_types=_MIXED),
    "gpt_neox": lambda: GPTNeoXConfig(**_SIZES),
    "opt": lambda: OPTConfig(
        **_OLD,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        word_embed_proj_dim=32,
    ),
    "phi": lambda: PhiConfig(**_SIZES),
}

REFUSED: dict[str, Callable[[], PreTrainedConfig]] = {
    "bloom": lambda: BloomConfig(**_OLD, hidden_size=32, n_layer=2, n_head=4),
    "falcon": lambda: FalconConfig(**_OLD, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True),
    "gpt_neo": lambda: GPTNeoConfig(
        **_OLD, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=4
    ),
    "mamba": lambda: MambaConfig(vocab_size=WIDTH, hidden_size=32, num_hidden_layers=2),
}


def tiny_model(name: str = "llama", attention: str = "sdpa", spread: float = 0.15, **changes: Any) -> PreTrainedModel:
    """Return a model with random weights: large enough that its choices depend on all that it has read.

    Args:
        name: a key of `SERVED` or `REFUSED`.
        attention: "sdpa" or "eager".
        spread: standard deviation of what is added to each weight.
        changes: fields of the configuration.
    """
    config = {**SERVED, **REFUSED}[name]()
    for field, value in changes.items():
        setattr(config, field, value)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * spread)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 256
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model
