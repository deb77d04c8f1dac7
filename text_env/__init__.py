"""Write text one token at a time as a Gymnasium environment: state = token prefix, action = next token, reward = feedback."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register

if TYPE_CHECKING:
    from text_env.env import TextGenEnv
    from text_env.episode import Ending, Episode, Feedback, Judgement, PrefixFeedback, Prompt
    from text_env.names import resolve
    from text_env.scoring import FeedbackError
    from text_env.tokens import Tokens, load_tokens
    from text_env.vector import TextGenVectorEnv

_HOMES = {
    "Ending": "episode",
    "Episode": "episode",
    "Feedback": "episode",
    "FeedbackError": "scoring",
    "Judgement": "episode",
    "PrefixFeedback": "episode",
    "Prompt": "episode",
    "TextGenEnv": "env",
    "TextGenVectorEnv": "vector",
    "Tokens": "tokens",
    "load_tokens": "tokens",
    "resolve": "names",
}

__all__ = [
    "Ending",
    "Episode",
    "Feedback",
    "FeedbackError",
    "Judgement",
    "PrefixFeedback",
    "Prompt",
    "TextGenEnv",
    "TextGenVectorEnv",
    "Tokens",
    "load_tokens",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"text_env.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'text_env' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


ENV, VECTOR_ENV = "text_env.env:TextGenEnv", "text_env.vector:TextGenVectorEnv"

register(id="TextGen-v0", entry_point=ENV, vector_entry_point=VECTOR_ENV)
# Continue the opening of a review: the bundled openings, judged by the sentiment of the response, from -1 to 1.
register(
    id="TextGen/Reviews-v0",
    entry_point=ENV,
    vector_entry_point=VECTOR_ENV,
    kwargs={"prompts": None, "feedback": "feedback.sentiment:Sentiment", "max_new_tokens": 32},
)
# Rules whose best response is known, with few enough responses to list them all; scored from 0 to 1.
register(
    id="TextGen/Exact-v0",
    entry_point="text_env.tasks.exact_env:ExactEnv",
    vector_entry_point="text_env.tasks.exact_env:ExactVectorEnv",
    kwargs={"rule": "count"},
)
# Translate numbers, dates (kind="dates") or interface strings (kind="interface") from English; chrF, from 0 to 1.
register(
    id="TextGen/Translate-v0",
    entry_point="text_env.tasks.translate_env:TranslateEnv",
    vector_entry_point="text_env.tasks.translate_env:TranslateVectorEnv",
    kwargs={"kind": "numbers", "language": "fr"},
)
# Answer a question about a passage that holds the answer, or about the world (kind="facts"); words shared, from 0 to 1.
register(
    id="TextGen/Answer-v0",
    entry_point="text_env.tasks.answer_env:AnswerEnv",
    vector_entry_point="text_env.tasks.answer_env:AnswerVectorEnv",
    kwargs={"kind": "passage"},
)
# Summarise short reviews by mood and subject, or docstrings of the standard library (kind="docstrings"); scored from 0 to 1.
register(
    id="TextGen/Summarize-v0",
    entry_point="text_env.tasks.summarize_env:SummarizeEnv",
    vector_entry_point="text_env.tasks.summarize_env:SummarizeVectorEnv",
    kwargs={"kind": "reviews"},
)
# Answer sayings of a small language, or lines of a corpus (kind="corpus"), in one turn or several.
register(
    id="TextGen/Dialogue-v0",
    entry_point="text_env.tasks.dialogue_env:DialogueEnv",
    vector_entry_point="text_env.tasks.dialogue_env:DialogueVectorEnv",
    kwargs={"kind": "sayings"},
)
# Write under hard constraints by mask, which every response keeps, and soft goals by score.
register(
    id="TextGen/Constrained-v0",
    entry_point="text_env.tasks.constrained_env:ConstrainedEnv",
    vector_entry_point="text_env.tasks.constrained_env:ConstrainedVectorEnv",
    kwargs={"kind": "json"},
)
