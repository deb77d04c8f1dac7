"""Read what is to be compared: an agent, an agent with settings, or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from text_env.names import resolve

HOW = "write module:Agent, module:Agent,field=value,field=value, or the folder of a checkpoint"
TRUTH = {"true": True, "True": True, "false": False, "False": False}


@dataclass(frozen=True)
class Side:
    """Hold one side of a comparison.

    Args:
        text: what the user wrote.
        agent: import path of the agent's class; None for a checkpoint.
        config: settings of the agent; None for a checkpoint.
        folder: of a checkpoint; None for an agent.
    """

    text: str
    agent: str | None
    config: Any
    folder: Path | None

    @property
    def is_trained(self) -> bool:
        """Say whether the comparison trains it; a checkpoint is measured as it is."""
        return self.folder is None


def read_side(text: str) -> Side:
    """Read a side from what the user wrote.

    A comma separates settings because no shell gives it a meaning: agents.reinforce:Reinforce,learning_rate=3e-4,kl_weight=0.02.
    An agent is a class that is called with policy and config; its settings are those of the class NAMEConfig beside it.

    Errors: ValueError for an unknown agent, an unknown field, or a value that its field does not take.
    """
    if Path(text).is_dir():
        if not (Path(text) / "agent.json").is_file():
            raise ValueError(
                f"{text} is not a checkpoint: it has no agent.json. A run keeps them in runs/NAME/checkpoints/last and .../best"
            )
        return Side(text, None, None, Path(text))
    agent, *settings = text.split(",")
    if ":" not in agent:
        raise ValueError(f"{agent!r} is neither a folder nor an agent: {HOW}")
    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"a setting must look like field=value, got {setting!r} in {text!r}")
        if name in given:
            raise ValueError(f"{name} is set twice in {text!r}")
        given[name] = value
    return Side(text, agent, read_config(agent, given), None)


def read_config(agent: str, given: Mapping[str, str]) -> Any:
    """Return the settings of an agent, those given as text and the defaults of the others.

    Errors: ValueError for an unknown agent, an unknown field, or a value that its field does not take.
    """
    blank = resolve(f"{agent}Config")
    if not is_dataclass(blank) or isinstance(blank, type):
        raise ValueError(f"{agent}Config must be a dataclass of settings with defaults, got {blank!r}")
    kinds = get_type_hints(type(blank))
    known = [field.name for field in fields(blank) if field.init]
    unknown = [name for name in given if name not in known]
    if unknown:
        have = f"it has {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{agent} has no setting {', '.join(unknown)}; {have}")
    return type(blank)(**{name: read_value(text, kinds[name], f"{name} of {agent}") for name, text in given.items()})


def read_value(text: str, kind: Any, name: str) -> Any:
    """Read a value of a type: float, int, bool, str, a Literal of them, or one of several of these ("None" for None).

    Errors: ValueError that names the field, the value and what is expected.
    """
    for option in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        for choice in _choices(text, option):
            return choice
    raise ValueError(f"{name} must be {_describe(kind)}, got {text!r}")


def _choices(text: str, kind: Any) -> list[Any]:
    """Return the one value of a plain type or Literal that a text means, in a list, or nothing."""
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if str(choice) == text]
    if kind in (None, NoneType):
        return [None] if text == "None" else []
    if kind is bool:
        return [TRUTH[text]] if text in TRUTH else []
    if kind not in (int, float, str):
        return []
    try:
        return [kind(text)]
    except ValueError:
        return []


def _describe(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_describe(option) for option in get_args(kind))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "None"}
    return plain.get(kind, f"set in Python, as it is a {kind}")
