"""Feedback sources, vocabularies and ways of writing that many tests share. All are real, only small."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import gymnasium as gym
import numpy as np

import text_env  # registers the environments
from text_env.episode import Episode, Judgement
from text_env.tokens import ByteVocabulary, Tokens

END = ByteVocabulary.END
ENV = "TextGen-v0"
MODES = tuple(gym.vector.AutoresetMode)
DISABLED, NEXT_STEP, SAME_STEP = (gym.vector.AutoresetMode[name] for name in ("DISABLED", "NEXT_STEP", "SAME_STEP"))

assert text_env


class Length:
    """Score the number of tokens and remember which episodes each call was about."""

    low, high, unit = 0.0, np.inf, "tokens"

    def __init__(self) -> None:
        self.calls: list[list[Episode]] = []

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        self.calls.append(list(episodes))
        return [float(len(episode.ids)) for episode in episodes]


class Vowels:
    """Pay 1 for each vowel when it is written, and remember what it was asked about."""

    low, high, unit = 0.0, np.inf, "vowels"

    def __init__(self) -> None:
        self.calls: list[list[Episode]] = []

    def pay(self, prefixes: Sequence[Episode]) -> list[float]:
        self.calls.append(list(prefixes))
        return [float(chr(prefix.ids[-1]) in "aeiou") if prefix.ids[-1] < 256 else 0.0 for prefix in prefixes]


class LengthRank:
    """Score the rank of each response's length in its batch."""

    low, high, unit, is_comparative = 0.0, np.inf, "rank", True

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, episodes: Sequence[Episode]) -> list[float]:
        self.calls.append([episode.index for episode in episodes])
        lengths = [len(episode.ids) for episode in episodes]
        return [float(sum(other < length for other in lengths)) for length in lengths]


class NoOpinionOnShort:
    """Score 1, but abstain on responses of fewer than three tokens."""

    low, high, unit = 0.0, 1.0, ""

    def __call__(self, episodes: Sequence[Episode]) -> list[float | None]:
        return [1.0 if len(episode.ids) >= 3 else None for episode in episodes]


class Critic:
    """Score each token 0.5 and the end token nothing."""

    low, high, unit = 0.0, np.inf, ""

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        scores = [np.where(episode.ids == END, 0.0, 0.5) for episode in episodes]
        return [Judgement(float(each.sum()), token_scores=each, critique="well", rater="critic") for each in scores]


class Locked(Length):
    """Score the length, and hold what can be neither copied nor pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class CountingVocabulary(ByteVocabulary):
    """Count how many rows and ids are decoded."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.num_ids = 0

    def decode_rows(self, rows: Sequence[Sequence[int]]) -> list[str]:
        self.num_calls += 1
        self.num_ids += sum(map(len, rows))
        return super().decode_rows(rows)


def counted_tokens() -> tuple[Tokens, CountingVocabulary]:
    vocabulary = CountingVocabulary()
    return Tokens(vocabulary, "counted", (END,)), vocabulary


def make(**options):
    return gym.make(ENV, **{"tokenizer": "bytes", "prompts": ["ab"], "feedback": Length(), "max_new_tokens": 8, **options})


def make_vec(num_envs=3, **options):
    return gym.make_vec(
        ENV, num_envs=num_envs, **{"tokenizer": "bytes", "prompts": ["ab"], "feedback": Length(), "max_new_tokens": 8, **options}
    )


def write(env, text, *, seed=0, end=False):
    """Reset, write the bytes of a text (and the end token) into a single environment; return the last step's outcome."""
    env.reset(seed=seed)
    outcome = None
    for token in [*text.encode(), *[END] * end]:
        outcome = env.step(token)
    return outcome


def response_of(env):
    return env.unwrapped.episodes[0]


def same(one, other):
    """Compare what environments return, arrays of objects included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype and one.shape == other.shape and all(map(same, one.tolist(), other.tolist()))
            if one.dtype == object
            else (one.dtype == other.dtype and np.array_equal(one, other))
        )
    return type(one) is type(other) and one == other
