"""Make short reviews in a small language of our own, each with its exact summary: what it is about and how it was liked.

All of it is written here: nothing is read, and there is no licence but this package's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from text_env.prompts import SPLITS, Split

OPENERS = {  # subject: how a review of it may begin
    "film": ("I saw the film", "We watched the film"),
    "book": ("I read the book", "My sister gave me the book"),
    "song": ("I heard the song", "They played the song"),
    "meal": ("We had the meal", "I ordered the meal"),
    "hotel": ("We stayed at the hotel", "I booked the hotel"),
    "game": ("I played the game", "We bought the game"),
    "park": ("We walked in the park", "I visited the park"),
    "phone": ("I bought the phone", "My brother sold me the phone"),
    "car": ("We drove the car", "I tried the car"),
    "show": ("I went to the show", "We saw the show"),
    "garden": ("We visited the garden", "I sat in the garden"),
    "trip": ("We took the trip", "I paid for the trip"),
}
TIMES = ("last week", "yesterday", "on Monday", "in the summer", "with a friend", "with my family", "last night", "on my birthday")
GOOD = ("great", "lovely", "wonderful", "bright", "charming", "beautiful", "perfect", "amazing", "exciting", "fresh")
BAD = ("dull", "poor", "awful", "boring", "terrible", "dirty", "broken", "slow", "cheap", "sad")
OPINIONS = ("It was {}.", "It was really {}.", "I found it {}.", "Everything was {}.", "Most of it was {}.")
FOLDS = 5  # one in five pairs of subject and adjective is held out


def short_review(rng: np.random.Generator, split: Split = "train") -> dict[str, Any]:
    """Return a prompt with a review of two or three sentences, and its summary as the reference, such as "good film".

    The first sentence names the subject, the others say one or two opinions. The mood is "good" or "bad" where all opinions are, and
    "mixed" where one is good and one is bad: the summary joins a word that has to be judged with one that is copied.

    Args:
        rng: draws the subject, the opinions and how they are said.
        split: no subject is joined in "train" with an adjective that it is joined with in "held_out". Each word occurs in both, so
            held-out reviews measure whether what was learned of words holds for new pairs of them.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be "train" or "held_out", got {split!r}')
    subject = _drawn(rng, tuple(OPENERS))
    is_good = rng.random(int(rng.integers(1, 3))) < 0.5
    sentences = [f"{_drawn(rng, OPENERS[subject])} {_drawn(rng, TIMES)}."]
    sentences += [_drawn(rng, OPINIONS).format(_drawn(rng, adjectives_of(subject, bool(good), split))) for good in is_good]
    mood = "good" if is_good.all() else "mixed" if is_good.any() else "bad"
    return {"prompt": " ".join(sentences), "references": [f"{mood} {subject}"]}


def adjectives_of(subject: str, is_good: bool, split: Split) -> tuple[str, ...]:
    """Return the adjectives of one mood that a subject is joined with in one split."""
    adjectives = GOOD if is_good else BAD
    number = list(OPENERS).index(subject)
    return tuple(each for place, each in enumerate(adjectives) if ((place + number) % FOLDS == 0) == (split == "held_out"))


def _drawn(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
