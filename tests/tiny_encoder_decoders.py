"""Random encoder-decoders, small enough to step in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    LEDConfig,
    MarianConfig,
    MBartConfig,
    PegasusConfig,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
)

from tests.tiny_models import LONGEST, WIDTH

END = 256
ATTENDED = ("v_proj.weight", "out_proj.weight", ".v.weight", ".o.weight")
START, FORCED, BANNED = 3, 7, 9  # ids that models are told to start with and never to write
_IDS: dict[str, Any] = {
    "vocab_size": WIDTH,
    "bos_token_id": 1,
    "eos_token_id": END,
    "pad_token_id": 0,
    "forced_eos_token_id": None,
    "tie_word_embeddings": False,
}
_HALF: dict[str, Any] = {
    f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 48))
}
_OLD = _IDS | _HALF | {"d_model": 32, "max_position_embeddings": LONGEST, "decoder_start_token_id": START}
_T5: dict[str, Any] = _IDS | {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}

SERVED: dict[str, Callable[[], PreTrainedConfig]] = {
    "t5": lambda: T5Config(**_T5 | {"tie_word_embeddings": True}),
    "t5_gated": lambda: T5Config(**_T5, feed_forward_proj="gated-gelu"),
    "bart": lambda: BartConfig(**_OLD | {"tie_word_embeddings": True}),
    "marian": lambda: MarianConfig(**_OLD, decoder_vocab_size=WIDTH, scale_embedding=True),
    "mbart": lambda: MBartConfig(**_OLD),
    "pegasus": lambda: PegasusConfig(**_OLD),
}
REFUSED: dict[str, Callable[[], PreTrainedConfig]] = {
    "led": lambda: LEDConfig(**_IDS, **_HALF, d_model=32, attention_window=4, decoder_start_token_id=START),
}


def tiny_encoder_decoder(kind: str = "t5", attention: str = "sdpa", spread: float = 0.15, **generation: Any) -> PreTrainedModel:
    """Return a model with random weights: large enough that its choices depend on all that it has read.

    Args:
        kind: a key of `SERVED` or `REFUSED`.
        attention: "sdpa" or "eager".
        spread: standard deviation of what is added to each weight.
        generation: settings of `generate`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config({**SERVED, **REFUSED}[kind](), attn_implementation=attention)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(torch.randn_like(parameter) * spread)
                if name.endswith(ATTENDED):
                    parameter.mul_(4)  # what was read, and where, counts more than the last token, which would be repeated for ever
                if name.endswith("decoder.embed_positions.weight"):
                    parameter.mul_(10)
            if hasattr(model, "final_logits_bias"):
                model.final_logits_bias.normal_(std=0.3)
    for setting, value in generation.items():
        setattr(model.generation_config, setting, value)
    assert isinstance(model, PreTrainedModel)
    model.train(False)
    return model
