"""Measure alternatives in turn, and say how sure their medians and ratios are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.intervals import mean_interval

FloatArray = npt.NDArray[np.float64]
RESAMPLES = 4000
COVERAGE = 0.95


@dataclass(frozen=True)
class Measurement:
    """Hold one figure and how far it may be off.

    Args:
        value: the figure. unit: "ratio", "s", "MB", "steps/s", ...
        low, high: ends of its interval; equal to the value where it was measured once.
        n: how often it was measured.
    """

    value: float
    unit: str
    low: float
    high: float
    n: int


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return a function that does the work and returns its seconds."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def in_turn(works: Mapping[str, Callable[[], float]], rounds: int, warm_ups: int = 1) -> dict[str, FloatArray]:
    """Let every work measure itself once a round; return what each returned, [rounds].

    What else the machine does then falls on all of them. Every second round goes backwards, so that none always comes first.

    Args:
        works: each does something and returns what it cost.
        warm_ups: rounds before those that count.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    costs: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm_ups + rounds):
        names = list(works) if number % 2 == 0 else list(works)[::-1]
        for name in names:
            cost = works[name]()
            if number >= warm_ups:
                costs[name].append(cost)
    return {name: np.asarray(values) for name, values in costs.items()}


def median(values: Sequence[float] | FloatArray, unit: str) -> Measurement:
    """Return the median with an interval."""
    numbers = _checked(values)
    return _with_interval(float(np.median(numbers)), np.median(numbers[_resampled(len(numbers))], axis=1), unit, len(numbers))


def mean(values: Sequence[float] | FloatArray, unit: str) -> Measurement:
    """Return the mean with Student's interval (see `mean_interval`); values may have any sign. One value has an interval of length 0."""
    if len(values) == 1:
        return Measurement(float(values[0]), unit, float(values[0]), float(values[0]), 1)
    interval = mean_interval(values)
    return Measurement(interval.mean, unit, interval.low, interval.high, interval.n)


def ratio_of_means(numerator: Sequence[float] | FloatArray, denominator: Sequence[float] | FloatArray) -> Measurement:
    """Return mean(numerator) / mean(denominator) with an interval; entry i of both belongs together, as in `ratio_of_medians`."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if len(above) != len(below):
        raise ValueError(f"both must have one value per round, got {len(above)} and {len(below)}")
    rounds = _resampled(len(above))
    ratios = above[rounds].mean(axis=1) / below[rounds].mean(axis=1)
    return _with_interval(float(above.mean() / below.mean()), ratios, "ratio", len(above))


def ratio_of_medians(numerator: Sequence[float] | FloatArray, denominator: Sequence[float] | FloatArray) -> Measurement:
    """Return median(numerator) / median(denominator) with an interval.

    Entry i of both comes from round i, and rounds are resampled as a whole: what disturbed a round disturbed both.
    The interval is the percentile bootstrap's (Efron 1979); from few rounds it is too narrow rather than too wide.
    """
    above, below = _checked(numerator), _checked(denominator)
    if len(above) != len(below):
        raise ValueError(f"both must have one value per round, got {len(above)} and {len(below)}")
    rounds = _resampled(len(above))
    ratios = np.median(above[rounds], axis=1) / np.median(below[rounds], axis=1)
    return _with_interval(float(np.median(above) / np.median(below)), ratios, "ratio", len(above))


def write_json(measurements: Mapping[str, Measurement], path: Path) -> None:
    """Write one flat object: {"metric name": {"value": 1.0, "unit": "ratio", "low": 0.9, "high": 1.1, "n": 5}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: asdict(measurement) for name, measurement in measurements.items()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _checked(values: Sequence[float] | FloatArray) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not (numbers > 0).all():
        raise ValueError(f"a cost must have been measured at least once and be positive, got {numbers.tolist()}")
    return numbers


def _resampled(count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def _with_interval(value: float, resampled: FloatArray, unit: str, count: int) -> Measurement:
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Measurement(value, unit, min(float(low), value), max(float(high), value), count)
