"""Hold what a report says, apart from how it looks: sections of words, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.intervals import mean_interval
from benchmarks.leaderboard.run_statistics import Estimate, FloatArray


@dataclass(frozen=True)
class Words:
    """Hold a paragraph, or, where there are items, a list."""

    text: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Hold rows of cells under a head; a cell that begins and ends with ** is to stand out."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    num_names: int = 1  # columns of words, on the left


@dataclass(frozen=True)
class Charts:
    """Hold charts that stand side by side: (name, SVG); and what they show."""

    charts: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True)
class Folded:
    """Hold what is shown when it is asked for, or, where it is open, until it is folded."""

    title: str
    blocks: tuple[Words | Table | Charts, ...]
    is_open: bool = False


Block = Words | Table | Charts | Folded


@dataclass(frozen=True)
class Section:
    """Hold blocks under a title."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def shown(value: float) -> str:
    """Return a number as tables show it.

    >>> shown(0.12345), shown(-0.0001), shown(12.345), shown(12345.6)
    ('0.123', '0.000', '12.3', '12,346')
    """
    decimals = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def estimate_shown(estimate: Estimate) -> str:
    """Return a figure with its interval, where it has one."""
    interval = f" ({shown(estimate.low)} to {shown(estimate.high)})" if estimate.has_interval else ""
    return f"{shown(estimate.value)}{interval}"


def mean_of(values: FloatArray) -> Estimate:
    """Return the mean over seeds with Student's interval, which a single one does not have."""
    if len(values) < 2:
        return Estimate(float(values[0]), math.nan, math.nan)
    interval = mean_interval(values)
    return Estimate(interval.mean, interval.low, interval.high)


def mean_shown(values: FloatArray) -> str:
    """Return the mean over seeds as a cell; nothing where there is none."""
    return estimate_shown(mean_of(values)) if len(values) else "–"
