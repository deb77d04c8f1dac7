"""Measure how often encoders of critiques agree with the ratings that people gave, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import share_interval
from feedback.encoding.critique_table import label_of
from feedback.encoding.encoded import Encoded

FloatArray = npt.NDArray[np.float64]
Encoder = Callable[[str], Encoded]
RESAMPLES = 4000
COVERAGE = 0.95


@dataclass(frozen=True)
class Figure:
    """Hold one figure, its unit, the ends of its 95 % interval, and from how many critiques it comes."""

    value: float
    unit: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Outcomes:
    """Hold what an encoder made of N critiques: [N] each.

    Args:
        is_covered: whether it had an opinion. is_right: whether it has the sign of the rating; of a neutral one, whether it abstained or
            stayed within +-0.05.
        credits: 1 where it is right, 0.5 where it is 0 or abstains beside praise or blame (what a coin would earn), else 0.
    """

    is_covered: npt.NDArray[np.bool_]
    is_right: npt.NDArray[np.bool_]
    credits: FloatArray


def vader_encoder(text: str) -> Encoded:
    """Encode a critique as plain VADER reads it (Hutto & Gilbert 2014): the compound score, abstaining at exactly 0."""
    compound = float(_analyzer().polarity_scores(text)["compound"])
    return Encoded(compound or None, 0.5 if compound else 0.0, f"compound {compound:+.4f}", "vader")


def outcomes(encoder: Encoder, texts: Sequence[str], ratings: Sequence[float]) -> Outcomes:
    """Ask an encoder about critiques whose ratings are known."""
    values = [encoder(text).value for text in texts]
    is_right = np.array([_is_right(value, rating) for value, rating in zip(values, ratings, strict=True)])
    is_open = np.array([not value for value in values])  # None or 0
    return Outcomes(np.array([value is not None for value in values]), is_right, np.where(is_right, 1.0, np.where(is_open, 0.5, 0.0)))


def _is_right(value: float | None, rating: float) -> bool:
    if label_of(rating) == "neutral":
        return label_of(value) == "neutral"
    return value is not None and value * rating > 0


def figures(result: Outcomes) -> dict[str, Figure]:
    """Return the share that is covered, the share of those that is right (both with Wilson's interval), and the mean credit."""
    covered = result.is_covered
    found = {"coverage": wilson(int(covered.sum()), len(covered)), "credit": bootstrap_mean(result.credits)}
    if covered.any():
        found["accuracy_covered"] = wilson(int(result.is_right[covered].sum()), int(covered.sum()))
    return found


def wilson(successes: int, n: int) -> Figure:
    """Return a share with its interval (Wilson 1927), see `share_interval`.

    Errors: ValueError for more successes than trials, or no trial.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"successes must be from 0 to n, and n at least 1, got {successes} of {n}")
    share, low, high = share_interval(successes, n)
    assert share is not None and low is not None and high is not None  # there is a trial
    return Figure(share, "share", min(share, low), max(share, high), n)


def bootstrap_mean(values: FloatArray, unit: str = "share") -> Figure:
    """Return a mean with its percentile bootstrap interval (Efron 1979); always the same resamples."""
    means = values[np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    mean = float(values.mean())
    return Figure(mean, unit, min(float(low), mean), max(float(high), mean), len(values))


def write_figures(found: Mapping[str, Figure], path: Path) -> None:
    """Write one flat object: {"metric name": {"value": 0.9, "unit": "share", "low": 0.8, "high": 0.95, "n": 44}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: asdict(figure) for name, figure in found.items()}, indent=2) + "\n", encoding="utf-8")


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
