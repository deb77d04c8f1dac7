"""Let a Gymnasium spec carry objects.

Gymnasium deep-copies a spec's keyword arguments whenever `env.spec` is read, which would copy a model or fail on a lock.
"""

from __future__ import annotations

import pickle
from enum import Enum
from typing import Any

from gymnasium.envs.registration import EnvSpec


class Kept:
    """Hold an object so that deep-copying the holder keeps the object itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return self

    def __reduce__(self) -> tuple[type[Kept], tuple[Any]]:
        try:
            pickle.dumps(self.value)
        except Exception as error:
            raise TypeError(
                f"{self.value!r} cannot be sent to another process ({error}): pass its import path, such as "
                '"package.module:Name", so that every process makes its own'
            ) from error
        return Kept, (self.value,)

    def __repr__(self) -> str:
        return f"Kept({self.value!r})"


def unkeep(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with every held object taken out of its holder."""
    return {name: value.value if isinstance(value, Kept) else value for name, value in options.items()}


class KeepsSpec:
    """Give an environment a `spec` whose arguments survive deep copies as the same objects."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Return what made this environment; `gym.make(env.spec)` makes another with the same objects."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.kwargs = {name: value if _is_plain(value) else Kept(value) for name, value in spec.kwargs.items()}
        self._spec = spec


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, (str, int, float, bool, Enum, Kept))
