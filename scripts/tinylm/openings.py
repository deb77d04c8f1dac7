"""Build the openings of reviews that the environment gives as prompts when it is given none.

An opening names a thing and leaves open what is said about it: three to eight words, neutral to the sentiment lexicon,
so that the response decides the mood.
One part is what the corpus' reviews begin with, the other comes from templates of topics.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

MAX_TOKENS = 16
NUM_TRAIN, NUM_HELD_OUT = 400, 100
LAST_WORDS = {"was", "is", "were", "are", "has", "had", "and"}
# what makes an opening lean or stumble without the lexicon noticing
UNWANTED_WORDS = re.compile(
    r"\b(?:too|not|no|never|only|so|for|must\S*|break|breakin'?|hours?|long|dark|main|of a|of an|a|made and|life|young|new|with|seemed"
    r"|designed|steakhouse|video|watchmaker|story|parlor|director's|chef's|music director|blog|page|network|car|app|my book"
    r"|author's message|(?:pasta|pizza|phone) (?:restaurant|service)|I'm|and|but)\b(?! it was$|$| breakfast)"
)
UNWANTED = re.compile(UNWANTED_WORDS.pattern + r"|[^A-Za-z' ]|chair I was|^The bed and$|^(?:The|My) \w+ and$")

DISHES = ["food", "soup", "pizza", "pasta", "salad", "dessert", "breakfast", "coffee", "steak", "bread", "fish", "lunch"]
SINGULAR = (  # the things of a topic, and where they are found
    (DISHES, ["at this restaurant", "at this cafe", "we had on Sunday", "they serve here"]),
    (["service", "menu", "waiter", "music", "atmosphere"], ["at this restaurant", "at the cafe", "in this place"]),
    (["room", "bathroom", "bed", "pool", "lobby", "wifi", "front desk", "breakfast"], ["at this hotel", "in our hotel"]),
    (["acting", "ending", "plot", "music", "camera work", "first scene", "script"], ["in this film", "in this movie", "of the film"]),
    (["first chapter", "ending", "plot", "writing", "story", "main character", "last page", "cover"], ["of this book", "in this novel"]),
    (["screen", "battery", "sound", "case", "price"], ["of this phone", "of this laptop", "of the watch"]),
)
PLURAL = (
    (["staff", "waiters", "guests", "rooms"], ["here", "in this place", "at our hotel"]),
    (["noodles", "waiters", "salads"], ["at this cafe", "at this restaurant"]),
    (["actors", "characters", "jokes", "scenes"], ["in this film", "in this movie", "in this one"]),
    (["chapters", "characters", "pictures"], ["in this book", "in the novel"]),
    (["shoes", "headphones", "chairs"], ["I ordered", "that we ordered", "I was sent"]),
)
THINGS = [
    "phone",
    "lamp",
    "blender",
    "watch",
    "backpack",
    "chair",
    "toy",
    "keyboard",
    "jacket",
    "kettle",
    "camera",
    "book",
    "novel",
    "hotel",
    "restaurant",
    "cafe",
    "tent",
    "desk",
    "bicycle",
]
DEEDS = [
    "I ordered the soup",
    "I ordered the noodles",
    "We had the fish",
    "I had the pasta",
    "We ate here last night",
    "We had dinner here",
    "I had lunch here today",
    "We stayed here for two nights",
    "We stayed here in June",
    "I booked a room here",
    "We checked in late",
    "I watched this film last night",
    "I watched the film with my family",
    "We saw this movie yesterday",
    "I saw it on Friday",
    "I read this book last week",
    "I read this novel on the train",
    "I finished the book today",
    "I read the first chapter",
    "I bought this phone last month",
    "I bought this lamp online",
    "I bought these shoes in May",
    "I have used this blender",
    "I used the headphones at work",
    "I took this backpack on a trip",
    "It arrived on Monday",
    "It arrived yesterday",
    "We waited for our table",
    "The waiter came to our table",
    "The chef came out",
    "My sister read this book",
    "My brother chose this movie",
    "My son has this toy",
    "My wife ordered the steak",
]


def from_templates() -> list[str]:
    """Return every opening that the templates give."""
    found = []
    for verbs, groups in ((["was", "is"], SINGULAR), (["were", "are"], PLURAL)):
        for subjects, places in groups:
            found += [f"The {subject} {place} {verb}" for subject, place, verb in product(subjects, places, verbs)]
    found += [f"This {thing} {verb}" for thing, verb in product(THINGS, ["is", "was", "has"])]
    found += [f"{deed} {ending}" for deed, ending in product(DEEDS, ["and", "and I thought it was"])]
    return found


def from_reviews(reviews: Iterable[str], min_count: int = 3) -> list[str]:
    """Return what at least `min_count` reviews begin with, cut behind a word that calls for a continuation; the most frequent first."""
    counts: Counter[str] = Counter()
    for review in reviews:
        words = review.split()
        counts.update(" ".join(words[:n]) for n in range(3, min(9, len(words) - 2)) if words[n - 1] in LAST_WORDS)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [opening for opening, count in ordered if count >= min_count and not UNWANTED.search(opening)]


def is_neutral(opening: str, analyzer: SentimentIntensityAnalyzer) -> bool:
    """Tell whether the lexicon finds no mood at all in the opening."""
    return bool(analyzer.polarity_scores(opening)["compound"] == 0.0)


def build_openings(reviews: Sequence[str], count_tokens: Sequence[Callable[[str], int]], seed: int = 0) -> tuple[list[str], list[str]]:
    """Return the training and the held-out openings: at most half from reviews, the rest from templates.

    Each is neutral and at most MAX_TOKENS long for every counter.

    Raises:
        ValueError: there are too few.
    """
    analyzer = SentimentIntensityAnalyzer()
    generator = np.random.default_rng(seed)

    def usable(openings: Iterable[str]) -> list[str]:
        return [
            o
            for o in openings
            if 3 <= len(o.split()) <= 8 and is_neutral(o, analyzer) and all(count(o) <= MAX_TOKENS for count in count_tokens)
        ]

    wanted = NUM_TRAIN + NUM_HELD_OUT
    real = usable(from_reviews(reviews))[: wanted // 2]
    templates = [opening for opening in usable(from_templates()) if opening not in set(real)]
    if len(real) + len(templates) < wanted:
        raise ValueError(
            f"expected at least {wanted} openings, found {len(real)} in the reviews and {len(templates)} by templates: give a larger corpus"
        )
    openings = real + [templates[i] for i in generator.permutation(len(templates))[: wanted - len(real)]]
    shuffled = [openings[i] for i in generator.permutation(wanted)]
    return shuffled[:NUM_TRAIN], shuffled[NUM_TRAIN:]
