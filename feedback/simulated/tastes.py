"""Turn what a feedback source says into utilities and features, as a simulated person's taste."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.simulated.shown_sets import Features, FloatArray
from feedback.source import as_feedback
from feedback.text import TextFeedback
from feedback.words import words
from text_env.scoring import Judge

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback

_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s", re.MULTILINE)


def as_taste(taste: Any) -> Feedback:
    """Return a source as a taste: a bounded `Feedback`, its import path, or a function f(prompt, response) from -1 to 1.

    Errors: ValueError for a source whose scale is not bounded, or that compares the members of a batch.
    """
    source = TextFeedback(taste, -1.0, 1.0, "liking") if inspect.isfunction(taste) else as_feedback(taste)
    if not np.isfinite([source.low, source.high]).all() or source.low == source.high:
        raise ValueError(f"a simulated person needs a source with a bounded scale, got {source.low} to {source.high}: clip it")
    if Judge(source).is_comparative:
        raise ValueError(f"{Judge(source).name} compares the members of a batch, so it says nothing of one text that a person could feel")
    return source


def utilities_of(source: Feedback, episodes: Sequence[Episode], points: float = 1.0) -> tuple[FloatArray, FloatArray | None]:
    """Return what a taste says of each episode, from -points to points, NaN where it abstains: [N], and of its steps: [N, H].

    The steps are its token scores on the same scale, NaN after the last; None where it gives none.
    """
    said = Judge(source).ask(episodes)
    half = (source.high - source.low) / (2.0 * points)
    middle = (source.low + source.high) / 2.0
    utilities = np.array([np.nan if each.score is None else (each.score - middle) / half for each in said], dtype=np.float64)
    given = [each.token_scores for each in said]
    if not given or any(scores is None for scores in given):
        return utilities, None
    steps = np.full((len(given), max(len(scores) for scores in given if scores is not None)), np.nan)
    for row, scores in zip(steps, given, strict=True):
        assert scores is not None
        row[: len(scores)] = scores / half
    return utilities, steps


def features_of(texts: Sequence[str], steps: FloatArray | None) -> Features:
    """Return the features of single texts, [N, 1] each: their lengths in words, and how many lines of a list they hold."""
    return Features(
        lengths=np.array([[len(words(text))] for text in texts], dtype=np.float64).reshape(-1, 1),
        lists=np.array([[len(_BULLET.findall(text))] for text in texts], dtype=np.float64).reshape(-1, 1),
        steps=None if steps is None else steps[:, None, :],
    )


def in_sets(features: Features, sets: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Features:
    """Return the features of sets of texts.

    Args:
        features: of single texts. sets: [N, M], numbers of texts.
    """
    lengths, lists, steps = (None if each is None else each[:, 0][sets] for each in (features.lengths, features.lists, features.steps))
    return Features(lengths=lengths, lists=lists, steps=steps)
