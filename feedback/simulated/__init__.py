"""Simulate people who judge texts: how they differ, hesitate, err, drift and fall silent, in parts that are put together."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback.simulated.annotator import Annotator
    from feedback.simulated.population import Population
    from feedback.simulated.presets import PRESETS, preset
    from feedback.simulated.replies_table import Replies
    from feedback.simulated.study_rater import SimulatedRater

_HOMES = {
    "PRESETS": "presets",
    "Annotator": "annotator",
    "Population": "population",
    "Replies": "replies_table",
    "SimulatedRater": "study_rater",
    "preset": "presets",
}

__all__ = ["PRESETS", "Annotator", "Population", "Replies", "SimulatedRater", "preset"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"feedback.simulated.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'feedback.simulated' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
