"""Load a transformers model with a head for whole texts, and read rows of ids with it, so that no row sees the others of its batch.

The head reads where its architecture does: at the first token (BERT), at the last (XLNet, filled up on the left), or at the last id that is
not the pad id (decoders). Left out: several devices.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from feedback.learned.classifier_rows import TextRow
from feedback.learned.reward_network import Side, filled, first_position, row_batches
from text_env.episode import FloatArray
from text_env.model_names import model_source
from text_env.quiet_loading import no_progress_bar

CONTROL_NAMES = ("pad", "eos", "bos", "cls", "sep", "mask")
WAYS_OUT = (
    "give a folder that save_pretrained wrote, a hub id that is in the cache or can be downloaded (HF_HUB_OFFLINE forbids downloads), "
    "or a transformers model object with its tokenizer"
)


class ClassifierNetwork:
    """Give the outputs of a classifier for rows of ids, with dropout off.

    Args:
        model: one of transformers' models for sequence classification; put into evaluation mode, and used where it is.
        tokenizer: the model's.
        last_id: of a row. A model that names no pad id gets the id of one of the tokenizer's control tokens, which no
            text contains and no row ends with, because the heads of decoders know by it where a row ends. The model is not changed.
        tokens_at_once: rows are read together up to so many tokens, what fills up included.

    Errors: ValueError where there is no such id.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any, last_id: int, tokens_at_once: int = 8192) -> None:
        model.train(False)
        config = model.config.get_text_config()
        self.pad_id = config.pad_token_id if _is_id(config.pad_token_id) else _free_id(tokenizer, last_id)
        if config.pad_token_id != self.pad_id:
            model = _padded_by(model, self.pad_id)
        self.model = model
        self.tokens_at_once = tokens_at_once
        self.pad_type = int(getattr(tokenizer, "pad_token_type_id", 0))
        self.side: Side = "left" if config.model_type == "xlnet" else "right"

    @property
    def num_outputs(self) -> int:
        """Return K, the number of labels."""
        return int(self.model.config.num_labels or 0)

    def outputs(self, rows: Sequence[TextRow]) -> FloatArray:
        """Return the head's outputs of all rows: [N, K]. Rows of like lengths are read together."""
        found = np.zeros((len(rows), self.num_outputs))
        for chosen in row_batches([len(row.ids) for row in rows], self.tokens_at_once):
            found[chosen] = self._outputs([rows[number] for number in chosen])
        return found

    @torch.inference_mode()
    def _outputs(self, rows: Sequence[TextRow]) -> FloatArray:
        device = next(self.model.parameters()).device
        ids, _ = filled([row.ids for row in rows], self.side, self.pad_id)
        is_there, _ = filled([np.ones(len(row.ids), dtype=np.int64) for row in rows], self.side)
        inputs = {"input_ids": ids, "attention_mask": is_there}
        types = [row.types for row in rows if row.types is not None]
        if types and "token_type_ids" in self._takes:
            inputs["token_type_ids"], _ = filled(types, self.side, self.pad_type)
        options = {"use_cache": False} if "use_cache" in self._takes else {}
        found = self.model(**{name: value.to(device) for name, value in inputs.items()}, **options, return_dict=True)
        expected = (len(rows), self.num_outputs)
        if tuple(getattr(found, "logits", torch.zeros(0)).shape) != expected:
            raise ValueError(
                f"{type(self.model).__name__} gives no {expected[1]} outputs a text: give a model for sequence classification "
                "(AutoModelForSequenceClassification), not one without a head or with another"
            )
        return np.asarray(found.logits.float().cpu().numpy(), dtype=np.float64)

    @cached_property
    def _takes(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.model.forward).parameters)


def load_classifier(name: str, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model with a head for whole texts.

    Errors: ValueError for an unknown name, and for a model whose files hold no such head: transformers would draw one at random.
    """
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            model, report = AutoModelForSequenceClassification.from_pretrained(model_source(name), dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"classifier {name!r} cannot be loaded: {WAYS_OUT} ({error})") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"the files of {name!r} do not hold {', '.join(missing)}, which {type(model).__name__} would draw at random, and judge by: "
            "give a model that was trained to classify, or to score, whole texts, or train this one first"
        )
    assert isinstance(model, PreTrainedModel)
    return model


def load_classifier_tokenizer(name: str) -> Any:
    """Return the tokenizer that belongs to a model's name. Errors: ValueError for an unknown name."""
    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(model_source(name))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"the tokenizer of {name!r} cannot be loaded: {WAYS_OUT} ({error})") from error


def random_classifier(vocab_size: int, labels: Sequence[str], seed: int = 0) -> PreTrainedModel:
    """Return a tiny decoder with a head whose weights are random, to try things out with."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    assert isinstance(model, PreTrainedModel)
    return model


def longest_row(model: PreTrainedModel, tokenizer: Any, most: int) -> int:
    """Return how many tokens a row may have: what the model's positions, its tokenizer and `most` allow."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    bounds = [most, int(min(tokenizer.model_max_length, most))]
    if positions is not None and positions > 0:
        bounds.append(int(positions) - first_position(model.base_model))
    return min(bounds)


def _is_id(pad_id: int | None) -> bool:
    return pad_id is not None and pad_id >= 0  # old configurations say -1 for none


def _free_id(tokenizer: Any, last: int) -> int:
    named = [getattr(tokenizer, f"{name}_token_id", None) for name in CONTROL_NAMES]
    free = [int(id) for id in named if id is not None and id != last]
    if not free:
        raise ValueError(
            "the classifier names no pad_token_id, and its tokenizer has no control token that could stand for it: set "
            "model.config.pad_token_id to the id that the model was trained with, or to one that no text contains"
        )
    return free[0]


def _padded_by(model: PreTrainedModel, pad_id: int) -> PreTrainedModel:
    """Return a model with the same weights and another pad id."""
    twin = copy.copy(model)
    twin.config = copy.deepcopy(model.config)
    twin.config.get_text_config().pad_token_id = pad_id
    return twin


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing progress bars and from printing what the caller raises as an error."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with no_progress_bar():
            yield
    finally:
        transformers_logging.set_verbosity(before)
