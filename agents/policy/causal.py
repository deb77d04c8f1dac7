"""Make a transformers causal language model a policy: it writes one token per step, and scores what was written.

Writing goes through a cache with one slot per row (see slots.py).
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from agents.policy.decoding import CausalReader
from agents.policy.served import check_served
from agents.policy.transformer import Reference, TransformerPolicy
from text_env.tokens import Tokens


class CausalPolicy(TransformerPolicy):
    """Choose the next token by a transformers causal language model.

    Args:
        model: "tinylm", "smollm2", a hub id, a folder, or a model object (used as it is, put into evaluation mode).
        tokens: the tokenizer; by default the one that belongs to the model's name, and none for an object.
        device: where to compute; "auto" takes CUDA, then MPS, then the CPU.
        dtype: precision of the weights that are trained.
        compute_dtype: precision of writing and of the learner's matrix products; "auto" is bfloat16 where the hardware has
            bfloat16 instructions and the model is large enough to profit, else `dtype`.
        temperature: divides the logits, when writing and when scoring. 0 writes the most probable token; scores are then
            those of temperature 1.
        value_head: also estimate the expected return, from the trunk's hidden state.
        value_trains_trunk: let the value's gradient reach the trunk.
        reference: what to measure divergence from: "initial" (a frozen copy taken now), another name or model, or None.
        seed: of the random numbers, and of the value head's initial weights.

    Raises:
        ValueError: an unknown name, or an architecture that cannot be served one token at a time.
    """

    def __init__(
        self,
        model: str | PreTrainedModel = "tinylm",
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
    ) -> None:
        super().__init__(model, tokens, device, dtype, compute_dtype, temperature, value_head, value_trains_trunk, reference, seed)

    def _make_reader(self) -> CausalReader:
        check_served(self.model)
        return CausalReader(self.config, self.compute_dtype, self.device)
