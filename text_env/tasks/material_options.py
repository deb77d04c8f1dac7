"""Make the prompts of a task of several kinds, each with arguments of its own, from those that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from text_env.material.frames import Frame


def make_material(kinds: Mapping[str, type[Any]], kind: str, split: str, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the material of a kind, and the options that are not its own.

    Args:
        kinds: a dataclass for each kind; its fields are the arguments that the kind has.
        options: what the user gave.

    Errors: ValueError for an unknown kind, and for an argument that another kind has.
    """
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(map(repr, kinds))}, got {kind!r}")
    if "prompts" in options:
        raise ValueError('this task makes its own prompts: for others use gym.make("TextGen-v0", prompts=..., feedback=...)')
    own = {field.name for field in fields(kinds[kind])}
    elsewhere = {field.name for material in kinds.values() for field in fields(material)} - own
    strange = sorted(elsewhere & set(options))
    if strange:
        raise ValueError(f"kind={kind!r} has no argument {', '.join(strange)}; it has {', '.join(sorted(own))}")
    material = kinds[kind](**{name: value for name, value in options.items() if name in own}, split=split)
    return material, {name: value for name, value in options.items() if name not in own}


def framed_prompts(material: Any, frame: Frame, split: str) -> dict[str, Any]:
    """Return prompts for the environment: a function that draws where the material draws, else the list of its rows."""
    if callable(material):
        return {split: frame.around_made(material)}
    return {split: [frame.around(row) for row in material.rows()]}
