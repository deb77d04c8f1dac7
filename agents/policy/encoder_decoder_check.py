"""Refuse encoder-decoders that the cohorts' caches would serve wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from agents.policy.architecture import project
from agents.policy.draws import Draws
from agents.policy.encoding import EncoderDecoderReader
from agents.policy.sampler import Sampler
from agents.policy.slots import IntArray

_OWN_WINDOWS = ("attention_window", "local_radius", "block_size", "sliding_window")  # attention that a short check cannot reach beyond
_STEPS = 4


def check_encoder_decoder(model: PreTrainedModel, opening: Sequence[int], closing: Sequence[int]) -> None:
    """Step a few tokens, in rows that begin at different times, and compare with the model's own forward pass.

    Raises:
        ValueError: the architecture cannot be served; it is named, with the reason.
    """
    windowed = [field for field in _OWN_WINDOWS if getattr(model.config, field, None)]
    if windowed:
        raise ValueError(_refusal(model, f"its attention is cut by {windowed[0]!r}"))
    reader = EncoderDecoderReader(model.config, model.dtype, model.device, opening, closing)
    with torch.no_grad():
        try:
            expected, stepped = _forward_and_stepped(model, reader)
        except Exception as error:
            raise ValueError(_refusal(model, f"a step failed with {type(error).__name__}: {error}")) from error
    tolerance = (1e-4 if expected.dtype in (torch.float32, torch.float64) else 0.1) * float(expected.float().std())
    error_size = float((expected - stepped).float().square().mean().sqrt())  # of all logits, since single ones round far off in bfloat16
    if not error_size <= tolerance:
        reason = (
            f"logits of tokens that were stepped differ from those of a full forward pass by {error_size:.2g} in the mean square, "
            f"more than {tolerance:.2g}"
        )
        raise ValueError(_refusal(model, reason))


def _refusal(model: PreTrainedModel, reason: str) -> str:
    served = "T5, mT5, BART, mBART, Marian or Pegasus"
    return f"{type(model).__name__} cannot be served token by token from a cache: {reason}. Use an architecture such as {served}"


def _forward_and_stepped(model: PreTrainedModel, reader: EncoderDecoderReader) -> tuple[torch.Tensor, torch.Tensor]:
    sampler = Sampler(model, model.dtype).model
    prompts, begins = np.array([5, 3, 4]), np.array([0, 0, 1])  # the third row begins one step later
    generator = np.random.default_rng(0)
    ids = generator.integers(0, min(model.config.vocab_size, 10_000), (3, int(prompts.max()) + _STEPS))
    columns = np.arange(ids.shape[1])
    memory = reader.memory(3, object(), Draws.of(0))
    stepped: list[list[torch.Tensor]] = [[], [], []]
    for step in range(_STEPS):
        written = np.maximum(step - begins, 0)
        observation = {
            "input_ids": ids,
            "attention_mask": columns < (prompts + written)[:, None],
            "response_mask": (columns >= prompts[:, None]) & (columns < (prompts + written)[:, None]),
        }
        hidden, rows = reader.last_hidden_states(sampler, memory, observation, begins == step, begins <= step)
        for row, logits in zip(rows, project(sampler, hidden), strict=True):
            stepped[row].append(logits)
    expected = [_whole(model, reader, ids[row], prompts[row], len(stepped[row])) for row in range(3)]
    return torch.cat(expected), torch.cat([torch.stack(logits) for logits in stepped])


def _whole(model: PreTrainedModel, reader: EncoderDecoderReader, ids: IntArray, prompt: int, count: int) -> torch.Tensor:
    """Return the logits [count, V] of a response's first tokens by one forward pass of the model itself."""
    encoder_ids, _ = reader.encoder_input(ids[None], np.array([prompt]))
    decoder_ids = np.concatenate([reader.opening, ids[prompt : prompt + count - 1]])[None]
    logits: torch.Tensor = model(
        input_ids=torch.from_numpy(encoder_ids).to(model.device), decoder_input_ids=torch.from_numpy(decoder_ids).to(model.device)
    ).logits
    return logits[0, -count:]
