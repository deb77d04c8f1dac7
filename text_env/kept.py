"""Let specs and pickled environments carry objects.

Gymnasium deep-copies a spec's keyword arguments whenever `env.spec` is read, which would copy a model or fail on a lock.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


class Kept:
    """Hold an object so that deep-copying the holder keeps the object itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return self

    def __reduce__(self) -> tuple[Callable[[bytes], Kept], tuple[bytes]]:
        import cloudpickle  # as Gymnasium and Stable-Baselines3 do for their workers: functions may be local

        try:
            return _load_kept, (cloudpickle.dumps(self.value),)
        except Exception as error:
            raise TypeError(
                f"{self.value!r} cannot be sent to another process ({error}): pass its import path, such as "
                '"package.module:Name", so that every process makes its own'
            ) from error

    def __repr__(self) -> str:
        return f"Kept({self.value!r})"


def _load_kept(pickled: bytes) -> Kept:
    return Kept(pickle.loads(pickled))


def unkeep(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with every held object taken out of its holder."""
    return {name: value.value if isinstance(value, Kept) else value for name, value in options.items()}


class HoldsObjects:
    """Copy and pickle an instance so that what the user passed into it is shared by copies, and named where it cannot be pickled."""

    held: ClassVar[tuple[str, ...]] = ()  # attributes that hold objects of the user

    def __getstate__(self) -> dict[str, Any]:
        return {name: Kept(value) if name in self.held and not _is_plain(value) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(unkeep(state))


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
