"""Save agents and go on from what was saved.

A checkpoint is a folder that transformers reads too: weights (safetensors), config and tokenizer of the language model on top, and
beside them what only the agent needs. Files hold tensors, numbers and text, never programs. A name that is read from a
file is looked up in a short table of our own classes; anything else the user passes again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

import agents
from agents.agent import Agent
from agents.policy.choice import language_policy
from agents.policy.encoder_decoder import EncoderDecoderPolicy
from agents.policy.models import load_model
from agents.policy.transformer import TransformerPolicy
from text_env.model_names import BUNDLED, model_source
from text_env.quiet_loading import no_progress_bar
from text_env.tokens import FastVocabulary, Tokens

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def save(agent: Agent, folder: str | Path, extra: dict[str, Any] | None = None, with_optimizer: bool = True) -> Path:
    """Save an agent; the folder holds either the old or the new checkpoint, whole, whenever the process ends.

    Args:
        folder: is made, or replaced.
        extra: further tensors, numbers, texts, lists and dictionaries to keep beside it, such as a run's progress.
        with_optimizer: False leaves out what only further training needs, two thirds of the size.

    Returns: the folder.
    """
    folder = Path(folder)
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    _write(agent, fresh, extra or {}, with_optimizer)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def restore(agent: Agent, folder: str | Path) -> dict[str, Any]:
    """Put what was saved into an agent that was made as the saved one was, and return the extra values.

    Raises ValueError where the folder holds no checkpoint, one without the optimiser's state, or one of another class.
    """
    folder = _whole(Path(folder))
    described = _description(folder)
    if described["agent"] != class_name(agent):
        raise ValueError(f"{folder} holds a {described['agent']}, which cannot go on as a {class_name(agent)}")
    state = torch.load(folder / "agent.pt", weights_only=True)
    if "optimizer" not in state:
        raise ValueError(f"{folder} was saved without the optimiser's state, so that nothing can go on from it: use the last checkpoint")
    policy = getattr(agent, "policy", None)
    if isinstance(policy, TransformerPolicy):
        state["policy"]["model"] = load_model(str(folder), policy.dtype).state_dict()
    if policy is not None:
        policy.load_state_dict(state["policy"])
    if state["optimizer"] is not None:
        agent.optimizer.load_state_dict(state["optimizer"])  # type: ignore[attr-defined]
    if state["own"] is not None:
        agent.load_state_dict(state["own"])  # type: ignore[attr-defined]
    extra: dict[str, Any] = state["extra"]
    return extra


def load(folder: str | Path, agent_class: type[Any] | None = None, reference: Any = None, **policy_options: Any) -> Any:
    """Make an agent from a checkpoint.

    Args:
        folder: written by `save`.
        agent_class: needed where the agent is not one of this package: its class, called with policy and config.
        reference: what to measure divergence from: a name or a model. None takes the model that training started from, where that was
            one of the bundled ones, and else no reference: then agents that need one say so.
        policy_options: further arguments of `CausalPolicy` or `EncoderDecoderPolicy`, such as `device` or `temperature`.
    """
    folder = _whole(Path(folder))
    described = _description(folder)
    agent_type, config_type = (agent_class, None) if agent_class is not None else _known(described["agent"], folder)
    saved_options = dict(described["policy"])
    trained_from = saved_options.pop("reference")
    if reference is None and trained_from in BUNDLED:
        reference = trained_from
    policy = language_policy(str(folder), **{**saved_options, "reference": reference, **policy_options})
    state = torch.load(folder / "agent.pt", weights_only=True)
    policy.load_state_dict({**state["policy"], "model": policy.model.state_dict()})
    return agent_type(policy) if config_type is None else agent_type(policy, config_type(**described["config"]))


def class_name(thing: object) -> str:
    """Return the import path of an object's class."""
    return f"{type(thing).__module__}:{type(thing).__qualname__}"


def _known(name: str, folder: Path) -> tuple[type[Any], type[Any]]:
    """Return the class and the config class of an agent that this package exports; no other name from a file is resolved."""
    classes = {f"agents.{home}:{public}": public for public, home in agents.HOMES.items()}
    config_name = f"{classes.get(name)}Config"
    if config_name not in agents.HOMES:
        known = [name for name, public in classes.items() if f"{public}Config" in agents.HOMES]
        raise ValueError(f"{folder} holds a {name}, which is not one of {', '.join(known)}: pass its class, load(folder, agent_class=...)")
    return getattr(agents, classes[name]), getattr(agents, config_name)


def _whole(folder: Path) -> Path:
    """Return the folder, or the one that it was about to replace when the process ended between two renames."""
    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():
        return old
    return folder


def _description(folder: Path) -> dict[str, Any]:
    if not (folder / "agent.json").is_file():
        raise ValueError(f"{folder} is not a checkpoint: it has no agent.json. A run keeps them in runs/NAME/checkpoints/last and .../best")
    described: dict[str, Any] = json.loads((folder / "agent.json").read_text())
    return described


def _write(agent: Agent, folder: Path, extra: dict[str, Any], with_optimizer: bool) -> None:
    policy, config, optimizer = (getattr(agent, name, None) for name in ("policy", "config", "optimizer"))
    policy_state: dict[str, Any] | None = None
    described: dict[str, Any] = {
        "agent": class_name(agent),
        "config": asdict(config) if is_dataclass(config) and not isinstance(config, type) else None,
        "policy": None,
    }
    if isinstance(policy, TransformerPolicy):
        with no_progress_bar():
            policy.model.save_pretrained(folder)
        if policy.tokens is not None:
            _write_tokens(policy.tokens, folder)
        policy_state = {name: value for name, value in policy.state_dict().items() if name != "model"}
        described["policy"] = _options(policy)
    elif policy is not None:
        policy_state = policy.state_dict()
    state: dict[str, Any] = {"policy": policy_state, "extra": extra}
    if with_optimizer:
        state["optimizer"] = None if optimizer is None else optimizer.state_dict()
        state["own"] = agent.state_dict() if hasattr(agent, "state_dict") else None
    torch.save(state, folder / "agent.pt")
    (folder / "agent.json").write_text(json.dumps(described, indent=2) + "\n")


def _options(policy: TransformerPolicy) -> dict[str, Any]:
    """Return the arguments that make the policy again from the folder."""
    special = {"opening": policy.opening, "closing": policy.closing} if isinstance(policy, EncoderDecoderPolicy) else {}
    return special | {
        "dtype": str(policy.dtype).removeprefix("torch."),
        "temperature": policy.temperature,
        "value_head": policy.value_head is not None,
        "value_trains_trunk": policy.value_trains_trunk,
        "seed": policy.seed,
        "reference": policy.reference_name,
    }


def _write_tokens(tokens: Tokens, folder: Path) -> None:
    """Write the tokenizer as transformers reads it."""
    source = Path(model_source(tokens.name))
    if (source / "tokenizer.json").is_file():
        for name in TOKENIZER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
    elif isinstance(tokens.vocabulary, FastVocabulary):
        end = tokens.pieces[tokens.eos_ids[0]]
        tokens.vocabulary.tokenizer.save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "pad_token": end}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    elif tokens.name != "bytes":
        AutoTokenizer.from_pretrained(tokens.name).save_pretrained(folder)
