"""Define the nouns that the environment, the agents and the feedback sources share.

All of them are frozen: what was written and what was said about it does not change afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Ending(StrEnum):
    """Say why a response ended."""

    EOS = "eos"  # the agent chose an end token
    STOP = "stop"  # a stop string matched
    LENGTH = "length"  # the token budget ran out


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Hold what the agent continues.

    Args:
        text: what a reader sees.
        ids: [P] int64, what the policy sees (a chat template's tokens included).
        references: answers that a reference-based feedback source compares with; may be empty.
        id: stable name of the prompt, for logs and stores.
    """

    text: str
    ids: IntArray
    references: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """Hold one response.

    Args:
        prompt: what was continued.
        ids: [T] int64, every token after the prompt, the end token included.
        is_action: [T] bool, which of them the agent chose (the rest, if any, a partner wrote).
        response: the decoded text, without special tokens and cut before a stop string. The ids are kept whole.
        ending: why it ended; None where it did not: it is still being written, or was cut off by a time limit from outside.
        index: number of the episode in starting order since the environment was seeded.
        turns: what was said after the prompt, where there is a partner: the agent's turn, the partner's, and so on, the agent's last;
            each as it was said, without special tokens, stop strings and the words around it that the model reads. Else empty.
    """

    prompt: Prompt
    ids: IntArray
    is_action: npt.NDArray[np.bool_]
    response: str
    ending: Ending | None
    index: int = 0
    turns: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return prompt and response as one text."""
        return self.prompt.text + self.response


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Hold what a feedback source says of one episode.

    Args:
        score: a finite number in the source's scale, higher is better; None means that the source abstained.
        token_scores: [T] one number per token of `Episode.ids`, which sum to `score`; None where there are none.
        rater: who judged.
        critique: what was said in words.
        seconds: how long the judgement took; None where it was not measured.
        parts: the named numbers the score was made of, for explanation only.
    """

    score: float | None
    token_scores: FloatArray | None = None
    rater: str = ""
    critique: str = ""
    seconds: float | None = None
    parts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"score must be a finite number or None, got {self.score}")
        if self.token_scores is not None:
            if self.score is None:
                raise ValueError("token_scores need a score: an abstention has none")
            total = float(np.sum(self.token_scores))
            if not math.isclose(total, self.score, rel_tol=1e-6, abs_tol=1e-6):
                raise ValueError(f"token_scores must sum to the score {self.score}, got {total}")


Scored = Judgement | float | None  # what a source may return for one episode


@runtime_checkable
class Feedback(Protocol):
    """Judge finished episodes, a batch at a time.

    `low`, `high` and `unit` state the scale; higher is better. The result has the same length and order as the batch.
    A source that compares the members of a batch with each other also sets `is_comparative = True`.
    """

    low: float
    high: float
    unit: str

    def __call__(self, episodes: Sequence[Episode]) -> Sequence[Scored]:
        """Return one judgement, number or None (abstained) for each episode."""
        ...


@runtime_checkable
class PrefixFeedback(Protocol):
    """Pay while the text is being written.

    Asked once per vector step about the rows that have just received a token; `Episode.ending` is None while a row still
    writes. What it pays over an episode sums to the episode's score. It keeps no state between calls.
    """

    low: float
    high: float
    unit: str

    def pay(self, prefixes: Sequence[Episode]) -> Sequence[float]:
        """Return what each row's newest token earned."""
        ...
