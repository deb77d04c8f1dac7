"""Read texts with any transformers encoder or decoder, and give one row of features for each.

The state is read at the last token that is there, known by lengths: ids say nothing of padding, since the pad token may be the end token,
may stand inside a text, or may not exist. A decoder has then read all of the text; of an encoder it is the separator or, for XLNet, the
class token, which attend to all of it. Left out: models with an encoder and a decoder, and state-space models' padding on the left.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from text_env.model_names import model_source
from text_env.quiet_loading import no_progress_bar

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Read = Literal["last", "mean"]
Side = Literal["right", "left"]
TOKENS_AT_ONCE = 8192
LONGEST = 1024  # tokens, where the architecture sets no bound


class RewardNetwork(nn.Module):
    """Make features of rows of ids.

    Args:
        trunk: a model without a head, such as `load_trunk` returns; put into evaluation mode, so that dropout is off.
        read: "last" reads the state at the last token, "mean" the mean over all tokens of a row.
    """

    def __init__(self, trunk: nn.Module, read: Read = "last") -> None:
        super().__init__()
        if read not in get_args(Read):
            raise ValueError(f"read must be one of {', '.join(get_args(Read))}, got {read!r}")
        self.trunk, self.read = trunk, read
        self.trunk.train(False)
        adapted: Any = trunk
        inner = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
        self.config = inner.config.get_text_config()
        self._takes_positions = "position_ids" in inspect.signature(inner.forward).parameters
        self._first_position = first_position(inner)

    @property
    def width(self) -> int:
        """Return H, the number of features."""
        return int(self.config.hidden_size)

    @property
    def longest(self) -> int:
        """Return how many tokens a row may have."""
        bound = getattr(self.config, "max_position_embeddings", None)
        return LONGEST if bound is None or bound <= 0 else min(LONGEST, int(bound) - self._first_position)

    def forward(self, rows: Sequence[IntArray], side: Side = "right") -> Tensor:
        """Return the features of some rows, with gradient: [N, H].

        Args:
            rows: ids, each row at least one. side: where the shorter ones are filled up; it changes nothing else.
        """
        ids, lengths = filled(rows, side)
        device = next(self.trunk.parameters()).device
        place = torch.arange(ids.shape[1])[None, :]
        start = (ids.shape[1] - lengths)[:, None] if side == "left" else torch.zeros(len(rows), 1, dtype=torch.int64)
        is_there = (place >= start) & (place < start + lengths[:, None])  # [N, T]
        positions = (place - start).clamp(min=0) * is_there + self._first_position
        options = {"position_ids": positions.to(device)} if self._takes_positions else {}
        states = self.trunk(
            input_ids=ids.to(device), attention_mask=is_there.to(device, torch.int64), return_dict=True, **options
        ).last_hidden_state
        if self.read == "last":
            last = (start[:, 0] + lengths - 1).to(device)
            return torch.as_tensor(states[torch.arange(len(rows), device=device), last])
        there = is_there.to(device)[..., None]
        return torch.as_tensor(states.masked_fill(~there, 0.0).sum(1) / there.sum(1))

    @torch.no_grad()
    def features(self, rows: Sequence[IntArray]) -> FloatArray:
        """Return the features of all rows: [N, H] float32. Rows of like lengths go through the trunk together."""
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        for chosen in row_batches([len(row) for row in rows], TOKENS_AT_ONCE):
            found[chosen] = self([rows[number] for number in chosen]).float().cpu().numpy()
        return found


def load_trunk(model: str | PreTrainedModel) -> PreTrainedModel:
    """Return a model's trunk in float32: of a name (as in `text_env.model_names`, a folder, or a hub id) or of a model object.

    Errors: ValueError for an unknown name, and for a model with an encoder and a decoder.
    """
    if isinstance(model, str):
        source = model_source(model)
        try:
            with no_progress_bar():
                found = AutoModel.from_pretrained(source, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"model {model!r} cannot be loaded: give 'tinylm', 'smollm2', a folder that save_pretrained wrote, a hub id that is in the "
                f"local cache or can be downloaded (HF_HUB_OFFLINE forbids downloads), or a transformers model object ({error})"
            ) from error
    else:
        found = model.base_model
    if getattr(found.config, "is_encoder_decoder", False):
        raise ValueError(f"{type(found).__name__} has an encoder and a decoder: give a model that is one of both")
    assert isinstance(found, PreTrainedModel)
    found.train(False)
    return found


def row_batches(lengths: Sequence[int], tokens_at_once: int) -> Iterator[list[int]]:
    """Yield the numbers of rows that are read together: of like lengths, filled up to at most so many tokens, or one row."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[order[end]] <= tokens_at_once:
            end += 1
        yield order[start:end]
        start = end


def with_lora(trunk: nn.Module, rank: int, seed: int) -> nn.Module:
    """Return a trunk of which only low-rank changes of its linear layers are trained (Hu et al. 2022); they start at zero.

    Errors: ModuleNotFoundError with the way out where peft is not installed; ValueError for a rank below 1.
    """
    if rank < 1:
        raise ValueError(f"lora_rank must be at least 1, got {rank}")
    try:
        peft: Any = importlib.import_module("peft")
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise ModuleNotFoundError('training by LoRA needs peft: pip install "textgen-gym[lora]"', name="peft") from error
    settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adapted = peft.get_peft_model(trunk, settings)
    assert isinstance(adapted, nn.Module)
    return adapted


def filled(rows: Sequence[IntArray], side: Side, fill: int = 0) -> tuple[Tensor, Tensor]:
    """Return rows as one array [N, T], and their lengths [N]; nothing reads what fills up."""
    lengths = torch.tensor([len(row) for row in rows])
    assert len(rows) and bool((lengths > 0).all()), "every row needs a token"
    ids = torch.full((len(rows), int(lengths.max())), fill, dtype=torch.int64)
    for number, row in enumerate(rows):
        piece = torch.from_numpy(np.ascontiguousarray(row))
        if side == "left":
            ids[number, ids.shape[1] - len(row) :] = piece
        else:
            ids[number, : len(row)] = piece
    return ids, lengths


def first_position(trunk: Any) -> int:
    """Return the position of a text's first token: RoBERTa's kind counts from behind its pad id, and finds it by ids unless it is told."""
    table = getattr(getattr(trunk, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1
