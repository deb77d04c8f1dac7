"""Make a transformers encoder-decoder a policy: the prompt goes to the encoder, the response comes from the decoder.

The environment holds prompt and response in one row, as for every policy; `response_mask` says where the response begins. Each
episode's prompt is encoded once, and a step costs one decoder token per row (see cohorts.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from agents.policy.encoder_decoder_check import check_encoder_decoder
from agents.policy.encoding import EncoderDecoderReader
from agents.policy.slots import on_device
from agents.policy.transformer import Reference, TransformerPolicy
from text_env.tokens import Tokens


class EncoderDecoderPolicy(TransformerPolicy):
    """Choose the next token by a transformers encoder-decoder, such as T5, BART or Marian.

    Of the model's generation settings, those that belong to what it was trained on are kept: what the decoder reads first, and which
    ids are never written (`suppress_tokens`, and `bad_words_ids` of one id). The others describe a search, force an end or hold for
    some steps only (`num_beams`, `no_repeat_ngram_size`, `min_length`, `forced_eos_token_id`, `begin_suppress_tokens`, ...): they are
    left out, since the policy is the model's own distribution and an end is the agent's choice. `min_new_tokens` and `banned_tokens` of
    the environment mask tokens.

    Args:
        model: a hub id, a folder, or a model object (used as it is, put into evaluation mode).
        opening: ids that the decoder reads before the response; by default the model's decoder start token and, where it has one, its
            forced first token (BART's start of text, the language of mBART).
        closing: ids that the encoder reads behind the prompt; by default those that the tokenizer puts behind a text, and none for a
            model object without `tokens`.

    The other arguments are those of `CausalPolicy`. `value_head` reads the decoder's hidden states.

    Raises:
        ValueError: an unknown name, or an architecture that cannot be served one token at a time.
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        *,
        tokens: Tokens | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        compute_dtype: str | torch.dtype = "auto",
        temperature: float = 1.0,
        value_head: bool = False,
        value_trains_trunk: bool = False,
        reference: Reference = "initial",
        seed: int = 0,
        opening: Sequence[int] | None = None,
        closing: Sequence[int] | None = None,
    ) -> None:
        self.opening, self.closing = opening, closing
        super().__init__(model, tokens, device, dtype, compute_dtype, temperature, value_head, value_trains_trunk, reference, seed)

    def _make_reader(self) -> EncoderDecoderReader:
        if self.closing is None:
            self.closing = () if self.tokens is None else self.tokens.closing_ids
        if not self.model.config.is_encoder_decoder:
            raise ValueError(f"{type(self.model).__name__} has no encoder: make it a policy by CausalPolicy")
        if self.opening is None:
            self.opening = opening_ids(self.model)
        if len(self.opening) == 0:
            raise ValueError("opening must have at least one id: the first token needs something to be predicted from, got none")
        check_encoder_decoder(self.model, self.opening, self.closing)
        if suppressed := suppressed_ids(self.model):
            self._suppressed = on_device(np.array(suppressed), self.device)
        return EncoderDecoderReader(self.config, self.compute_dtype, self.device, self.opening, self.closing)


def opening_ids(model: PreTrainedModel) -> tuple[int, ...]:
    """Return what `generate` gives the decoder before anything is chosen: its start token and a forced first token.

    Raises:
        ValueError: the model names no start token.
    """
    start = _setting(model, "decoder_start_token_id")
    start = _setting(model, "bos_token_id") if start is None else start
    if start is None:
        raise ValueError(
            f"{type(model).__name__} names no decoder_start_token_id: give opening=(...), the ids that its decoder reads first"
        )
    forced = _setting(model, "forced_bos_token_id")
    return (int(start),) if forced is None else (int(start), int(forced))


def suppressed_ids(model: PreTrainedModel) -> list[int]:
    """Return the ids that `generate` never writes; of bad words it takes out the end, which a model must be able to choose."""
    ends = np.atleast_1d(_setting(model, "eos_token_id") or ())
    words = [words[0] for words in _setting(model, "bad_words_ids") or () if len(words) == 1 and words[0] not in ends]
    return sorted({int(id) for id in (*words, *(_setting(model, "suppress_tokens") or ()))})


def _setting(model: PreTrainedModel, name: str) -> Any:
    value = getattr(model.generation_config, name, None)
    return getattr(model.config, name, None) if value is None else value
