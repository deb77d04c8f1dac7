"""Random encoder-decoders, small enough to step in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    LEDConfig,
    MarianConfig,
    MBartConfig,
    PegasusConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
)

from agents import EncoderDecoderPolicy
from agents.agent import Decision, Observation
from tests.tiny_models import LONGEST, WIDTH

END = 256
_SCALES = {  # by how much weights are multiplied, so that what was read counts more than the last token, which would be repeated for ever
    (".v.weight", ".o.weight"): 4,
    ("v_proj.weight", "out_proj.weight"): 2,
    ("q_proj.weight", "k_proj.weight"): 3,  # BART and its kin divide the scores, so they would attend to all tokens alike
}
START, FORCED = 3, 7  # what models are told to start with
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


def untrained(kind: str = "t5", seed: int = 0) -> PreTrainedModel:
    """Return a model with the weights that training begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _fresh(kind, "sdpa")


def _fresh(kind: str, attention: str) -> PreTrainedModel:
    model = AutoModelForSeq2SeqLM.from_config({**SERVED, **REFUSED}[kind](), attn_implementation=attention)
    assert isinstance(model, PreTrainedModel)
    return model


def tiny_encoder_decoder(
    kind: str = "t5", attention: str = "sdpa", seed: int = 0, dtype: str = "float32", **generation: Any
) -> PreTrainedModel:
    """Return a model with random weights: large enough that its choices depend on all that it has read.

    Args:
        kind: a key of `SERVED` or `REFUSED`.
        attention: "sdpa" or "eager".
        seed: of the weights.
        dtype: of the weights; in float64, two ways to compute the same differ by less than any choice could hang on.
        generation: settings of `generate`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _fresh(kind, attention)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(torch.randn_like(parameter) * 0.15)
                for ends, scale in _SCALES.items():
                    parameter.mul_(scale if name.endswith(ends) else 1)
            if hasattr(model, "final_logits_bias"):
                model.final_logits_bias.normal_(std=0.3)
    for setting, value in generation.items():
        setattr(model.generation_config, setting, value)
    model.train(False)
    return model.to(getattr(torch, dtype))


class Unrepeated:
    """Choose the likeliest id that the decoder has not read yet, as `no_repeat_ngram_size=1` does in generate: no text is one id for ever.

    Args:
        policy: is asked, at temperature 0.
    """

    def __init__(self, policy: EncoderDecoderPolicy) -> None:
        self.policy = policy
        self.cohorts: list[list[int]] = []  # of each call, how many rows were stepped together

    def start(self, num_rows: int, seed: int | None = None) -> Any:
        """Return a memory."""
        return self.policy.start(num_rows, seed)

    def act(self, observation: Observation, memory: Any, fresh: Any, active: Any, action_mask: Any = None) -> Decision:
        """Choose a token for each active row."""
        decision = self.policy.act(observation, memory, fresh, active, unread(self.policy, observation))
        self.cohorts.append([len(cohort.rows) for cohort in memory.cohorts])
        return decision


def unread(policy: EncoderDecoderPolicy, observation: Observation) -> Any:
    """Return which ids the decoder has not read: [N, V]."""
    ids, attended = np.asarray(observation["input_ids"]), np.asarray(observation["attention_mask"]) != 0
    is_response = np.cumsum(observation["response_mask"], axis=1) > 0
    allowed = np.ones((len(ids), policy.width), dtype=bool)
    for row in range(len(ids)):
        allowed[row, [*policy.opening, *ids[row, is_response[row] & attended[row]]]] = False
    return allowed


def write_folder(folder: Path, kind: str = "t5", seed: int = 0) -> Path:
    """Write a random model and a tokenizer of bytes, which puts an end behind every text, as T5's does.

    Args:
        folder: to write to.
        kind: a key of `SERVED`.
        seed: of the weights.
    """
    alphabet = sorted(ByteLevel.alphabet())
    pieces = Tokenizer(BPE(vocab={"<pad>": 0, **{piece: id for id, piece in enumerate(alphabet, 1)}}, merges=[]))
    pieces.pre_tokenizer, pieces.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    pieces.add_special_tokens(["<pad>", "</s>"])
    end = pieces.token_to_id("</s>")
    pieces.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    model = tiny_encoder_decoder(kind, seed=seed)
    model.resize_token_embeddings(end + 1, mean_resizing=False)
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="</s>", pad_token="<pad>").save_pretrained(folder)
    return folder
