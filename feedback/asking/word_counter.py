"""Stand in for a judge model where there is none: rate a quoted response by how many different words it has."""

from __future__ import annotations

import re

from feedback.asking.chat_endpoint import Messages
from feedback.words import words

RESPONSE = re.compile(r"-----BEGIN RESPONSE (?P<key>\w+)-----\n(?P<text>.*)\n-----END RESPONSE (?P=key)-----", re.DOTALL)
MOST = 10


def rate_by_words(messages: Messages) -> str:
    """Answer the question of a `RatingPrompt` from 1 to 10, one point a word. Errors: ValueError for a question that quotes no response."""
    found = RESPONSE.search(messages[-1]["content"])
    if found is None:
        raise ValueError("the question quotes no response")
    number = len(set(words(found["text"])))
    return f"Different words: {number}.\nRating: {min(MOST, 1 + number)}"
