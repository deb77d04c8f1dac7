"""Make a small task with references: finish a sentence about a place or a meal as its guests do, `benchmarks.phrases:Benchmark/Phrases-v0`.

A reference is an adverb, an adjective and a full stop. Guests are of two minds, so one who imitates them well scores about 0 in sentiment,
and what people like better than the average of them is left for feedback to teach. Held-out prompts have other subjects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.envs.registration import register

SUBJECTS = {
    "train": (
        "soup",
        "room",
        "service",
        "film",
        "view",
        "waiter",
        "coffee",
        "garden",
        "music",
        "story",
        "bread",
        "pool",
        "staff",
        "market",
    ),
    "held_out": ("hotel", "dinner", "actor", "beach", "owner"),
}
OPENINGS = ("The {} was", "I thought the {} was", "They said the {} was", "This time the {} was")
ADVERBS = (" quite", " very", " rather", " really", " mostly")
ADJECTIVES = (
    " good",
    " bad",
    " nice",
    " slow",
    " lovely",
    " dull",
    " fresh",
    " dirty",
    " friendly",
    " rude",
    " fine",
    " poor",
    " small",
    " old",
)


def guests(split: str) -> Any:
    """Return a function that draws a prompt of a split and what a guest said, as environments take it."""

    def draw(generator: np.random.Generator) -> dict[str, Any]:
        opening, subject, adverb, adjective = (
            words[generator.integers(len(words))] for words in (OPENINGS, SUBJECTS[split], ADVERBS, ADJECTIVES)
        )
        return {"prompt": opening.format(subject), "references": [f"{adverb}{adjective}."]}

    return draw


register(
    id="Benchmark/Phrases-v0",
    entry_point="text_env.env:TextGenEnv",
    vector_entry_point="text_env.vector:TextGenVectorEnv",
    kwargs={
        "prompts": {split: guests(split) for split in SUBJECTS},
        "feedback": "feedback.sentiment:Sentiment",
        "max_new_tokens": 8,
    },
)
