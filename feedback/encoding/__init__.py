"""Turn answers in words into numbers: by rules, by learning from rated critiques, and always with the reason."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback.encoding.critique_rules import CritiqueRules
    from feedback.encoding.encoded import Aspect, Encoded
    from feedback.encoding.learned_critique import LearnedCritique

_HOMES = {
    "Aspect": "encoded",
    "CritiqueRules": "critique_rules",
    "Encoded": "encoded",
    "LearnedCritique": "learned_critique",
}

__all__ = [
    "Aspect",
    "CritiqueRules",
    "Encoded",
    "LearnedCritique",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"feedback.encoding.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'feedback.encoding' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
