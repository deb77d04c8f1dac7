"""Write a corpus for the tiny model with SmolLM2, through this project's own environment and rollout.

Each text is asked for in a chat message made from a kind, a topic and, for reviews, a mood, and the answer is begun with an
opening, so that a small model keeps to the form.
Not reproduced: the bundled corpus drew from the 200 likeliest tokens only; here the temperature alone keeps to the likely ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from agents import CausalPolicy, Frozen, collect
from text_env import Ending, Episode, Prompt, Tokens, load_tokens

from .corpus import Text

MOODS = [
    "very positive",
    "positive",
    "delighted",
    "neutral",
    "plain and factual",
    "mixed",
    "disappointed",
    "negative",
    "angry",
    "very negative",
]
REVIEWED = {
    "restaurant": ["The food at", "The staff", "I ordered the soup and", "The menu", "Our table", "The dessert", "The pizza", "We waited"],
    "hotel": ["The room", "Our stay", "The view from", "The front desk", "The pool", "The wifi", "The bathroom", "The location"],
    "film": [
        "I watched this film and",
        "The acting",
        "The plot",
        "The ending",
        "The first half",
        "The music",
        "The characters",
        "This film",
    ],
    "book": [
        "I read this book and",
        "The author",
        "The first chapter",
        "The writing",
        "The main character",
        "The story",
        "This novel",
        "The ending",
    ],
    "product": [
        "I bought this lamp and",
        "The battery",
        "The screen",
        "It arrived",
        "This phone",
        "The headphones",
        "The quality",
        "The price",
    ],
}
STORY_OPENINGS = [
    "Once upon a time,",
    "One day,",
    "Last week,",
    "It was a sunny morning.",
    "In the evening,",
    "A girl",
    "Tom",
    "Anna",
    "An old man",
]
HEROES = ["a cat", "a fox", "a baker", "a sailor", "a teacher", "a farmer", "a bird", "a robot", "two friends", "a grandmother"]
PLACES = [
    "at the market",
    "in the forest",
    "on a farm",
    "at school",
    "by the river",
    "in a small town",
    "on a bus",
    "in a library",
    "at the sea",
]
SPEAKERS = ["Anna", "Ben", "Lily", "Lucy", "Max", "Mia", "Sam", "Tom"]
MATTERS = [
    "the weather",
    "a lost phone",
    "homework",
    "breakfast",
    "a new job",
    "a film",
    "moving house",
    "a birthday",
    "learning to drive",
    "a cat",
]
FACTS = [
    "The sun",
    "The moon",
    "Water",
    "Bread",
    "Rice",
    "Salt",
    "A cat",
    "Horses",
    "Bees",
    "Trees",
    "A river",
    "The heart",
    "Snow",
    "A bicycle",
    "A school",
    "Iron",
]
KIND_SHARES = {"review": 0.5, "story": 0.25, "dialogue": 0.15, "fact": 0.1}


@dataclass(frozen=True, slots=True)
class RegenerationConfig:
    """Hold the settings of one regeneration."""

    num_texts: int = 1000  # how many texts to write
    seed: int = 0  # of the requests and of the draws
    model: str = "smollm2"  # a name that CausalPolicy takes; it needs a chat template
    temperatures: tuple[float, ...] = (0.9, 0.7)  # each writes an equal share
    max_new_tokens: int = 72  # longest answer behind the opening
    num_rows: int = 64  # texts written side by side


@dataclass(frozen=True, slots=True)
class Request:
    """Say what one text is asked to be, and how it begins."""

    kind: str
    mood: str
    message: str
    opening: str


def draw_request(generator: np.random.Generator) -> Request:
    """Draw one request from the templates."""

    def one(choices: Sequence[str]) -> str:
        return choices[int(generator.integers(len(choices)))]

    kind = str(generator.choice(list(KIND_SHARES), p=list(KIND_SHARES.values())))
    if kind == "review":
        thing, mood = one(list(REVIEWED)), one(MOODS)
        return Request(kind, mood, f"Write a {mood} {thing} review in two or three sentences, without lists.", one(REVIEWED[thing]))
    if kind == "story":
        return Request(kind, "", f"Write a very short story about {one(HEROES)} {one(PLACES)}, in simple words.", one(STORY_OPENINGS))
    if kind == "dialogue":
        first, second = (SPEAKERS[i] for i in generator.permutation(len(SPEAKERS))[:2])
        message = f"Write a short dialogue between {first} and {second} about {one(MATTERS)}. Each line begins with the name of who speaks."
        return Request(kind, "", message, f"{first}:")
    subject = one(FACTS)
    return Request(kind, "", f"Say one simple fact about this in one sentence: {subject.lower()}.", subject)


def make_prompts(requests: Sequence[Request], tokens: Tokens) -> list[Prompt]:
    """Return one prompt per request: the chat message and the beginning of the answer; its id is the request's number."""
    texts = [tokens.chat([{"role": "user", "content": request.message}]) + request.opening for request in requests]
    return [Prompt(text, tokens.encode(text), id=str(number)) for number, text in enumerate(texts)]


def no_opinion(episodes: Sequence[Episode]) -> list[float]:
    """Score every episode 0: nothing is learned here."""
    return [0.0 for _ in episodes]


def to_text(episode: Episode, requests: Sequence[Request]) -> Text:
    """Turn a finished episode into a text of the corpus: the opening and the response."""
    request = requests[int(episode.prompt.id)]
    return Text(request.kind, request.mood, episode.ending is Ending.EOS, (request.opening + episode.response).strip())


def regenerate(config: RegenerationConfig) -> list[Text]:
    """Write the texts, exact duplicates left out, in an order that depends on the seed only."""
    tokens = load_tokens(config.model)
    texts: list[Text] = []
    shares = np.diff(np.linspace(0, config.num_texts, len(config.temperatures) + 1).astype(int)).tolist()
    for number, (temperature, share) in enumerate(zip(config.temperatures, shares, strict=True)):
        if share == 0:
            continue
        generator = np.random.default_rng([config.seed, number])
        requests = [draw_request(generator) for _ in range(share)]
        env = gym.make_vec(
            "TextGen-v0",
            num_envs=min(config.num_rows, share),
            autoreset_mode=gym.vector.AutoresetMode.DISABLED,
            tokenizer=tokens,
            prompts=make_prompts(requests, tokens),
            feedback=no_opinion,
            max_new_tokens=config.max_new_tokens,
        )
        writer = Frozen(CausalPolicy(config.model, temperature=temperature, seed=config.seed, reference=None))
        rollout = collect(env, writer, share, seed=config.seed)
        texts += [to_text(episode, requests) for episode in rollout.episodes if episode is not None]
        env.close()
    return list(dict.fromkeys(texts))
