"""Judge what was written: rules, metrics and people, each a feedback source, and sources made of sources."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback.asynchronous import Asynchronous
    from feedback.cached import Cached
    from feedback.check import check_feedback
    from feedback.compared import Compared
    from feedback.compose import Clipped, Otherwise, WeightedSum
    from feedback.contains import Contains, Matches
    from feedback.digit_sum import DigitSum
    from feedback.drifting import Drifting
    from feedback.exact_match import ExactMatch
    from feedback.json_fields import JsonFields
    from feedback.length_window import LengthWindow
    from feedback.people import HumanFeedback
    from feedback.refitted import Refitted
    from feedback.repetition import DistinctNGrams, Repetition
    from feedback.reward_model import RewardModel
    from feedback.sentiment import Sentiment
    from feedback.shaping import Shaped
    from feedback.simulated_person import SimulatedPerson
    from feedback.source import Source
    from feedback.text import text_feedback
    from feedback.unfinished import Unfinished
    from feedback.word_credit import WordCredit

_HOMES = {
    "Asynchronous": "asynchronous",
    "Cached": "cached",
    "Clipped": "compose",
    "Compared": "compared",
    "Contains": "contains",
    "DigitSum": "digit_sum",
    "DistinctNGrams": "repetition",
    "Drifting": "drifting",
    "ExactMatch": "exact_match",
    "HumanFeedback": "people",
    "JsonFields": "json_fields",
    "LengthWindow": "length_window",
    "Matches": "contains",
    "Otherwise": "compose",
    "Refitted": "refitted",
    "Repetition": "repetition",
    "RewardModel": "reward_model",
    "Sentiment": "sentiment",
    "Shaped": "shaping",
    "SimulatedPerson": "simulated_person",
    "Source": "source",
    "Unfinished": "unfinished",
    "WeightedSum": "compose",
    "WordCredit": "word_credit",
    "check_feedback": "check",
    "text_feedback": "text",
}

__all__ = [
    "Asynchronous",
    "Cached",
    "Clipped",
    "Compared",
    "Contains",
    "DigitSum",
    "DistinctNGrams",
    "Drifting",
    "ExactMatch",
    "HumanFeedback",
    "JsonFields",
    "LengthWindow",
    "Matches",
    "Otherwise",
    "Refitted",
    "Repetition",
    "RewardModel",
    "Sentiment",
    "Shaped",
    "SimulatedPerson",
    "Source",
    "Unfinished",
    "WeightedSum",
    "WordCredit",
    "check_feedback",
    "text_feedback",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"feedback.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'feedback' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
