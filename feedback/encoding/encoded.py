"""Hold what an encoder made of an answer in words: a number, how far to trust it, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Aspect:
    """Hold what a critique said about one side of a text.

    Args:
        name: "length", "fluency", "grammar", "faithfulness", "relevance", "repetition", "tone", "safety" or "overall"; not checked.
        polarity: -1 (only blame) to 1 (only praise).
        strength: 0 (a hint) to 1 (the strongest words), whatever the direction.
        confidence: 0 to 1.
        words: the words of the critique that said so, in its order.

    Errors: ValueError where a number is outside its range or NaN.
    """

    name: str
    polarity: float
    strength: float
    confidence: float
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_range("polarity", self.polarity, -1.0)
        _check_range("strength", self.strength, 0.0)
        _check_range("confidence", self.confidence, 0.0)


@dataclass(frozen=True)
class Encoded:
    """Hold the number that an encoder made of one answer.

    Args:
        value: -1 (bad) to 1 (good); None where the encoder abstained because it found no evidence. 0 is a judgement, None is none.
        confidence: 0 (do not use it) to 1; 0 where it abstained.
        explanation: what the value rests on, for a person to read.
        encoder: name of the encoder.
        aspects: what was said about each side of the text, if the encoder tells them apart.

    Errors: ValueError where a number is outside its range or NaN, and where an abstention claims a confidence.
    """

    value: float | None
    confidence: float
    explanation: str
    encoder: str
    aspects: tuple[Aspect, ...] = ()

    def __post_init__(self) -> None:
        if self.value is not None:
            _check_range("value", self.value, -1.0)
        _check_range("confidence", self.confidence, 0.0)
        if self.value is None and self.confidence != 0:
            raise ValueError(f"confidence must be 0 where value is None (abstained), got {self.confidence}")


def _check_range(name: str, number: float, low: float) -> None:
    if math.isnan(number) or not low <= number <= 1.0:
        raise ValueError(f"{name} must be from {low:g} to 1, got {number}")
