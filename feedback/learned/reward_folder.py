"""Save a reward model as a folder of safetensors and JSON, and read it back; names in it are looked up among the bundled ones only."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from feedback.learned.heads import Heads
from feedback.learned.reward_network import RewardNetwork, load_trunk
from feedback.learned.reward_settings import RewardConfig, TrunkTraining
from feedback.learned.reward_tokens import reward_tokenizer
from text_env.model_names import BUNDLED
from text_env.tokens import FastVocabulary, Tokens

if TYPE_CHECKING:
    from feedback.reward_model import RewardModel

FORMAT = "textgen reward model 1"
NAMED = (*BUNDLED, "bytes")  # tokenizers


def write_from(model: RewardModel, folder: Path) -> Path:
    """Write a model; the folder holds either the old or the new one, whole, whenever the process ends.

    A bundled trunk that was not trained is written as its name, any other with its weights. The tokenizer's file is written too, unless
    its kind has none (a slow one): then it must be given again to load.
    """
    heads, tokens = model._need_heads(), model._rows.tokens
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    is_named = model._trained is None and model.trunk in BUNDLED if isinstance(model.trunk, str) else False
    if not is_named:
        _plain_trunk(model).save_pretrained(fresh / "trunk")
    save_file({"weights": heads.weights, "offsets": heads.offsets}, fresh / "heads.safetensors")
    described = {
        "format": FORMAT,
        "trunk": model.trunk if is_named else "",
        "tokenizer": _write_tokenizer(tokens, fresh),
        "fingerprint": tokens.fingerprint,
        "eos_ids": list(tokens.eos_ids),
        "read": model.read,
        "centre": model._centre,
        "temperature": model._temperature,
        "config": _plain(model.config),
    }
    (fresh / "reward.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def read_into(model: RewardModel, folder: Path) -> None:
    """Fill a new model from a folder.

    Errors: ValueError for a folder that holds none, one that was changed, or a tokenizer that must be given and is not.
    """
    try:
        described = json.loads((folder / "reward.json").read_text("utf-8"))
        if described["format"] != FORMAT:
            raise ValueError(f"its format is {described['format']!r}")
        arrays = load_file(folder / "heads.safetensors")
        weights, offsets = arrays["weights"].astype(np.float64), arrays["offsets"].astype(np.float64)
        if weights.ndim != 2 or offsets.shape != (len(weights),) or not np.isfinite(weights).all() or not np.isfinite(offsets).all():
            raise ValueError(f"its heads have the shapes {weights.shape} and {offsets.shape}, or are not finite")
        model.config = _config(described["config"])
        model.read, model._centre, model._temperature = described["read"], float(described["centre"]), float(described["temperature"])
        trunk, tokenizer = str(described["trunk"]), str(described["tokenizer"])
        eos_ids, fingerprint = [int(id) for id in described["eos_ids"]], str(described["fingerprint"])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"expected {str(folder)!r} to be a folder that RewardModel.save wrote ({FORMAT!r}), but {error}") from error
    if trunk and trunk not in BUNDLED:
        raise ValueError(f"{folder} names the trunk {trunk!r}, which is not bundled: names in files are not looked up elsewhere")
    model.trunk = trunk or load_trunk(str(folder / "trunk"))
    model._heads = Heads(weights, offsets, np.zeros(len(weights), dtype=np.int64))
    if not trunk:
        model._trained = RewardNetwork(model.trunk, model.read).to(model.device)
    if model.tokenizer is None:
        model.tokenizer = _read_tokenizer(folder, tokenizer, eos_ids)
    if (found := reward_tokenizer(model.tokenizer, 1 << 40).fingerprint) != fingerprint:
        raise ValueError(f"the tokenizer's vocabulary is another one than {folder} was written with ({found}, not {fingerprint})")


def _plain_trunk(model: RewardModel) -> Any:
    """Return the trunk as transformers knows it; low-rank changes are added to the weights, so that peft is not needed to load."""
    network: Any = model._trained or model._network
    return network.trunk.merge_and_unload() if hasattr(network.trunk, "merge_and_unload") else network.trunk


def _write_tokenizer(tokens: Tokens, folder: Path) -> str:
    if tokens.name in NAMED:
        return tokens.name
    if not isinstance(tokens.vocabulary, FastVocabulary):
        return ""
    (folder / "tokenizer").mkdir()
    tokens.vocabulary.tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return "file"


def _read_tokenizer(folder: Path, kind: str, eos_ids: list[int]) -> Any:
    from text_env.tokens import load_tokens

    if kind == "file":
        return load_tokens(str(folder / "tokenizer"), eos_ids=eos_ids)
    if kind in NAMED:
        return kind
    raise ValueError(f"{folder} holds no tokenizer: give the one that it was fitted with, as tokenizer=...")


def _plain(config: RewardConfig) -> dict[str, Any]:
    plain = asdict(config)
    return plain | {"half_life_seconds": None if math.isinf(config.half_life_seconds) else config.half_life_seconds}


def _config(plain: dict[str, Any]) -> RewardConfig:
    age = plain["half_life_seconds"]
    settings = plain | {"half_life_seconds": math.inf if age is None else float(age), "training": TrunkTraining(**plain["training"])}
    return RewardConfig(**settings)
