"""Judge what was written: rules, metrics and people, each a feedback source, and sources made of sources."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback.asynchronous import Asynchronous
    from feedback.bleu import Bleu, corpus_bleu
    from feedback.cached import Cached
    from feedback.check import check_feedback
    from feedback.chrf import Chrf, corpus_chrf
    from feedback.classifier import Classifier
    from feedback.compared import Compared
    from feedback.compose import Clipped, Otherwise, WeightedSum
    from feedback.contains import Contains, Matches
    from feedback.copying import Copying
    from feedback.dialogue_score import DialogueScore
    from feedback.digit_sum import DigitSum
    from feedback.drifting import Drifting
    from feedback.exact_match import ExactMatch
    from feedback.grammar import Grammar
    from feedback.json_fields import JsonFields
    from feedback.judge_model import JudgeModel
    from feedback.length_window import LengthWindow
    from feedback.people import HumanFeedback
    from feedback.politeness import Politeness
    from feedback.readability import FleschKincaidGrade, FleschReadingEase
    from feedback.refitted import Refitted
    from feedback.repetition import DistinctNGrams, Repetition
    from feedback.reward_model import RewardModel
    from feedback.rouge import Rouge
    from feedback.safe_words import SafeWords
    from feedback.sentiment import Sentiment
    from feedback.shaping import Shaped
    from feedback.similarity import EmbeddingSimilarity
    from feedback.simulated_person import SimulatedPerson
    from feedback.source import Source
    from feedback.text import text_feedback
    from feedback.token_f1 import TokenF1
    from feedback.turns import EachTurn
    from feedback.unfinished import Unfinished
    from feedback.word_credit import WordCredit

_HOMES = {
    "Asynchronous": "asynchronous",
    "Bleu": "bleu",
    "Cached": "cached",
    "Chrf": "chrf",
    "Classifier": "classifier",
    "Clipped": "compose",
    "Compared": "compared",
    "Contains": "contains",
    "Copying": "copying",
    "DialogueScore": "dialogue_score",
    "DigitSum": "digit_sum",
    "DistinctNGrams": "repetition",
    "Drifting": "drifting",
    "EachTurn": "turns",
    "EmbeddingSimilarity": "similarity",
    "ExactMatch": "exact_match",
    "FleschKincaidGrade": "readability",
    "FleschReadingEase": "readability",
    "Grammar": "grammar",
    "HumanFeedback": "people",
    "JsonFields": "json_fields",
    "JudgeModel": "judge_model",
    "LengthWindow": "length_window",
    "Matches": "contains",
    "Otherwise": "compose",
    "Politeness": "politeness",
    "Refitted": "refitted",
    "Repetition": "repetition",
    "RewardModel": "reward_model",
    "Rouge": "rouge",
    "SafeWords": "safe_words",
    "Sentiment": "sentiment",
    "Shaped": "shaping",
    "SimulatedPerson": "simulated_person",
    "Source": "source",
    "TokenF1": "token_f1",
    "Unfinished": "unfinished",
    "WeightedSum": "compose",
    "WordCredit": "word_credit",
    "check_feedback": "check",
    "corpus_bleu": "bleu",
    "corpus_chrf": "chrf",
    "text_feedback": "text",
}

__all__ = [
    "Asynchronous",
    "Bleu",
    "Cached",
    "Chrf",
    "Classifier",
    "Clipped",
    "Compared",
    "Contains",
    "Copying",
    "DialogueScore",
    "DigitSum",
    "DistinctNGrams",
    "Drifting",
    "EachTurn",
    "EmbeddingSimilarity",
    "ExactMatch",
    "FleschKincaidGrade",
    "FleschReadingEase",
    "Grammar",
    "HumanFeedback",
    "JsonFields",
    "JudgeModel",
    "LengthWindow",
    "Matches",
    "Otherwise",
    "Politeness",
    "Refitted",
    "Repetition",
    "RewardModel",
    "Rouge",
    "SafeWords",
    "Sentiment",
    "Shaped",
    "SimulatedPerson",
    "Source",
    "TokenF1",
    "Unfinished",
    "WeightedSum",
    "WordCredit",
    "check_feedback",
    "corpus_bleu",
    "corpus_chrf",
    "text_feedback",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"feedback.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'feedback' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
