"""Lay out the learning curve of a training: score by updates done, of what it learns from and of what is held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from feedback.page.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, Picture, Point
from feedback.page.run_metrics import Measured, RunMetrics

MOST_POINTS = 120  # of one line; of more, neighbours are drawn as their mean
MOST_MARKS = 5  # about, of the vertical axis
FLATTEST = 1e-4  # range of scores, as a share of their size, at which they are one score
SMALLEST = 1e-9  # the same of scores near 0
STEPS = (1.0, 2.0, 5.0, 10.0)
AGES = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))


def score_picture(metrics: RunMetrics) -> Picture | None:
    """Lay out the scores of a run; None as long as there are none."""
    lines = {name: thinned(of) for name, of in (("training", metrics.training), ("held out", metrics.held_out)) if of}
    if not lines:
        return None
    every = [each for of in lines.values() for each in of]
    first = min(each.updates for each in every) if metrics.is_cut else 0.0
    columns = _marks(first, max(max(each.updates for each in every), first + 1), WIDTH // 80, least_step=1.0)
    rows = _marks(*_range(every), MOST_MARKS)

    def across(updates: float) -> float:
        return round(LEFT + (updates - columns[0]) / (columns[-1] - columns[0]) * (WIDTH - LEFT - RIGHT), 1)

    def up(score: float) -> float:
        return round(TOP + (rows[-1] - score) / (rows[-1] - rows[0]) * (HEIGHT - TOP - BOTTOM), 1)

    def point(each: Measured) -> Point:
        words = f"{each.updates:g} updates: {each.score:.4g}" + (f" ± {each.error:.2g}" if each.error else "")
        return Point(across(each.updates), up(each.score), up(each.score - each.error), up(each.score + each.error), words)

    return Picture(
        label="Score by updates done. " + " ".join(_in_words(name, of) for name, of in lines.items()),
        caption=_caption(metrics),
        axes=("updates done", "score"),
        curves=tuple(Curve(name, tuple(point(each) for each in of)) for name, of in lines.items()),
        across=tuple((across(mark), _number(mark, columns)) for mark in columns),
        up=tuple((up(mark), _number(mark, rows)) for mark in rows),
    )


def thinned(measured: Sequence[Measured]) -> tuple[Measured, ...]:
    """Return at most MOST_POINTS points: means of equally many neighbours, the last of those left over; a mean's error is not known."""
    together = _together(measured)
    if together <= 1:
        return tuple(measured)
    parts = [measured[start : start + together] for start in range(0, len(measured), together)]
    return tuple(Measured(sum(e.updates for e in part) / len(part), sum(e.score for e in part) / len(part)) for part in parts)


def age(seconds: float) -> str:
    """Return how long ago something was, in its largest whole unit.

    >>> age(7300.0), age(-0.2)
    ('2 h', '0 s')
    """
    length, unit = next(((length, unit) for length, unit in AGES if seconds >= length), AGES[-1])
    return f"{max(0, int(seconds // length))} {unit}"


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as people read it.

    >>> moment(1_700_000_000.0)
    '2023-11-14 22:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _together(measured: Sequence[Measured]) -> int:
    return -(-len(measured) // MOST_POINTS)


def _range(measured: Sequence[Measured]) -> tuple[float, float]:
    """Return a range that holds all scores with their errors, and is never empty."""
    low, high = min(each.score - each.error for each in measured), max(each.score + each.error for each in measured)
    size = max(abs(low), abs(high))
    if high - low > max(FLATTEST * size, SMALLEST):
        return low, high
    around = 0.1 * size if size > 10 * SMALLEST else 1.0
    return low - around, high + around


def _marks(low: float, high: float, most: int, least_step: float = 0.0) -> list[float]:
    """Return round numbers, equally far apart, from at or below `low` to at or above `high`."""
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = max(least_step, next(factor * magnitude for factor in STEPS if factor * magnitude >= rough * (1 - 1e-9)))
    return [number * step for number in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _number(mark: float, marks: Sequence[float]) -> str:
    """Return a mark with as many decimals as tell it from its neighbours."""
    step, largest = marks[1] - marks[0], max(abs(marks[0]), abs(marks[-1]))
    finest = math.floor(math.log10(step * (1 + 1e-9)))
    if step < 1e-4 or largest >= 1e6:
        return f"{mark:.{math.floor(math.log10(largest)) - finest + 1}g}"
    return f"{mark:.{max(0, -finest)}f}"


def _in_words(name: str, measured: Sequence[Measured]) -> str:
    """Say where a line begins and ends, and between what it runs."""
    first, last, scores = measured[0], measured[-1], [each.score for each in measured]
    return (
        f"{name.capitalize()}: {first.score:.3g} after {first.updates:g} updates, {last.score:.3g} after {last.updates:g}; "
        f"lowest {min(scores):.3g}, highest {max(scores):.3g}."
    )


def _caption(metrics: RunMetrics) -> str:
    parts = ["Mean score, in the unit of the feedback that gave it"]
    if any(each.error for each in metrics.held_out):
        parts[0] += ", held out ± one standard error"
    for name, of in (("training", metrics.training), ("held out", metrics.held_out)):
        if len(of) > MOST_POINTS:
            parts.append(f"Each point of “{name}” is the mean of {_together(of)} neighbours")
    if metrics.is_cut:
        parts.append("The run is long: its beginning is not shown")
    return ". ".join(parts) + "."
