"""Write under hard constraints, which masks keep, and soft goals, which a score rewards."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from text_env.env import TextGenEnv
from text_env.vector import TextGenVectorEnv

SUBJECTS = {
    "train": ("hotel", "film", "soup", "room", "book", "waiter", "phone", "shop", "song", "beach", "staff", "coffee"),
    "held_out": ("restaurant", "story", "pizza", "camera"),
}
WORDS = {"good": ("fine", "great", "nice"), "bad": ("awful", "dull", "poor")}
STARS = {"good": 5, "bad": 1}
SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": sorted(WORDS)},
        "stars": {"enum": [1, 2, 3, 4, 5]},
        "words": {"type": "array", "items": {"enum": sorted(WORDS["good"] + WORDS["bad"])}, "minItems": 1, "maxItems": 3},
    },
    "required": ["mood", "stars", "words"],
    "additionalProperties": False,
}
SENTENCE = ("the", "a", "it", "was", "is", "and", "but", "very", "not", "film", "room", "food", *WORDS["good"], *WORDS["bad"])


class ConstrainedEnv(TextGenEnv):
    r"""Write what a constraint allows, and of that what scores well.

    ## Description
    The constraint is kept by masks, whatever the agent does: `action_masks()` allows only tokens after which the response can still be
    completed within the budget. What is learned is the soft goal. The kinds:

    - "json": the prompt asks for a good or a bad review of something; the response is a JSON object {"mood": "good" or "bad", "stars": 1 to
      5, "words": one to three of six words}. Score: the share of fields that agree with the mood asked for
      (`feedback.json_fields:JsonFields`; 5 stars and fine, great, nice for a good one, 1 star and awful, dull, poor for a bad one), from 0
      to 1. The prompt decides what is best, so a response that ignores it scores at most half on average.
    - "pattern": a telephone number, ` \d\d\d-\d\d\d\d`. Score: its digits' sum over 63 (`feedback.digit_sum:DigitSum`), from 0 to 1.
    - "words": a sentence out of 18 words. Score: its sentiment (`feedback.sentiment:Sentiment`), from -1 to 1.

    Everything else is as in `TextGenEnv`. `outlines-core` is needed: `pip install "textgen-gym[constraints]"`.

    ## Starting State
    "Write a good review of the hotel:" and the like: 2 moods times 12 subjects, and 4 other subjects in the held-out split. Prompts of the
    other kinds are made of the same subjects. All are made here, of no other source.

    ## Rewards
    Floor and ceiling, of the bundled tokenizer, 1,000 responses at random among allowed tokens and the best that there is:

    | kind | random | best |
    |---|---|---|
    | json | 0.31 | 1 (the reference) |
    | pattern | 0.40 | 1 (all nines) |
    | words | 0.12 | at least 0.99 (`great` twelve times) |

    ## Arguments
    kind: "json", "pattern" or "words". Further those of `TextGenEnv`; `pattern`, `json_schema` or `word_list` and `feedback` given here win
    over the kind's own.

    ## Version History
    v0: first version.
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(render_mode=render_mode, **constrained_options(**options))


class ConstrainedVectorEnv(TextGenVectorEnv):
    """Write N constrained responses at once; arguments are those of `ConstrainedEnv` and `TextGenVectorEnv`."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__(num_envs, **constrained_options(**options))


def constrained_options(*, kind: str = "json", **options: Any) -> dict[str, Any]:
    """Return the arguments of the environment for a kind; those given here win over the kind's own."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    own = KINDS[kind]()
    if any(options.get(name) is not None for name in ("pattern", "json_schema", "word_list", "choices")):
        own = {name: value for name, value in own.items() if name not in ("pattern", "json_schema", "word_list")}
    return own | options


def _json() -> dict[str, Any]:
    prompts = {
        split: [
            {
                "prompt": f"Write a {mood} review of the {subject}:",
                "references": json.dumps({"mood": mood, "stars": STARS[mood], "words": WORDS[mood]}),
            }
            for subject in subjects
            for mood in WORDS
        ]
        for split, subjects in SUBJECTS.items()
    }
    return {"prompts": prompts, "json_schema": SCHEMA, "feedback": "feedback.json_fields:JsonFields", "max_new_tokens": 64}


def _pattern() -> dict[str, Any]:
    prompts = {split: [f"The number of the {subject} is" for subject in subjects] for split, subjects in SUBJECTS.items()}
    return {"prompts": prompts, "pattern": r" \d\d\d-\d\d\d\d", "feedback": "feedback.digit_sum:DigitSum", "max_new_tokens": 10}


def _words() -> dict[str, Any]:
    prompts = {split: [f"About the {subject}:" for subject in subjects] for split, subjects in SUBJECTS.items()}
    return {"prompts": prompts, "word_list": SENTENCE, "feedback": "feedback.sentiment:Sentiment", "max_new_tokens": 12}


KINDS: dict[str, Callable[[], dict[str, Any]]] = {"json": _json, "pattern": _pattern, "words": _words}
