"""Draw a small chart as SVG text whose colours are the page's, light or dark.

Nothing but text comes out: classes say what a mark is, and the page's style gives them colours. Titles of marks show where a pointer rests,
and the chart's own title is read to those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

MARGIN = 0.05  # of what an axis must hold, at either end
LETTER = 6.4  # px, about, that a letter of a label is wide
Numbers = Sequence[float] | npt.NDArray[np.float64]
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """Hold what an axis shows.

    Args:
        label: with its unit.
        low, high: that must fit. marks: (value, words); none = round numbers.
    """

    label: str
    low: float
    high: float
    marks: Sequence[tuple[float, str]] = ()


@dataclass
class Chart:
    """Collect marks, and return them as SVG.

    Args:
        title: what it shows, in a sentence. across, up: axes.
        width, height: px, of everything.
    """

    title: str
    across: Axis
    up: Axis
    width: int = 340
    height: int = 230
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._range_across, self._columns = _laid_out(self.across)
        self._range_up, self._rows = _laid_out(self.up)
        self._left = min(160.0, 26 + LETTER * max(len(words) for _, words in self._rows))

    def line(self, across: Numbers, up: Numbers, kind: str) -> None:
        """Draw a line through points; those that are not finite are left out."""
        points = [self._point(x, y) for x, y in zip(across, up, strict=True) if math.isfinite(x) and math.isfinite(y)]
        self.parts.append(f'<polyline class="{kind}" points="{" ".join(points)}"/>')

    def band(self, across: Numbers, lows: Numbers, highs: Numbers, kind: str = "band") -> None:
        """Shade what lies between two lines."""
        there = [(x, low, high) for x, low, high in zip(across, lows, highs, strict=True) if math.isfinite(low) and math.isfinite(high)]
        if there:
            around = [self._point(x, high) for x, _, high in there] + [self._point(x, low) for x, low, _ in reversed(there)]
            self.parts.append(f'<polygon class="{kind}" points="{" ".join(around)}"/>')

    def bar(self, start: tuple[float, float], end: tuple[float, float], kind: str = "whisker") -> None:
        """Draw a straight line, such as an interval."""
        (x1, y1), (x2, y2) = self._place(*start), self._place(*end)
        self.parts.append(f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')

    def dot(self, across: float, up: float, kind: str, words: str, size: float = 4) -> None:
        """Draw a point that says what it is."""
        x, y = self._place(across, up)
        self.parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="{size}"><title>{escape(words)}</title></circle>')

    def label(self, across: float, up: float, words: str, kind: str = "name", shift: tuple[float, float] = (0.0, 0.0)) -> None:
        """Write words in the middle of a point, or `shift` px away."""
        x, y = self._place(across, up)
        self.parts.append(f'<text class="{kind}" x="{x + shift[0]:.1f}" y="{y + shift[1]:.1f}">{escape(words)}</text>')

    def svg(self) -> str:
        """Return all of it."""
        return "".join(
            [
                f'<svg viewBox="0 0 {self.width} {self.height}" role="img"><title>{escape(self.title)}</title>',
                *self._frame(),
                *self.parts,
                "</svg>",
            ]
        )

    def _frame(self) -> list[str]:
        """Return grid, marks and the names of the axes."""
        left, right, bottom, found = self._left, self.width - 12, self.height - 40, []
        for value, words in self._columns:
            x, _ = self._place(value, self._range_up[0])
            found.append(f'<line class="grid" x1="{x}" y1="10" x2="{x}" y2="{bottom}"/>')
            found.append(f'<text class="mark" x="{x}" y="{bottom + 14}" text-anchor="middle">{escape(words)}</text>')
        for value, words in self._rows:
            _, y = self._place(self._range_across[0], value)
            found.append(f'<line class="grid" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>')
            found.append(f'<text class="mark" x="{left - 5:.1f}" y="{y + 3.5:.1f}" text-anchor="end">{escape(words)}</text>')
        half = LETTER * len(self.across.label) / 2
        centre = max(half, min((left + right) / 2, self.width - half))  # so that a long label is not cut off
        found.append(f'<text class="axis" x="{centre:.1f}" y="{self.height - 8}">{escape(self.across.label)}</text>')
        middle = (10 + bottom) / 2
        if self.up.label:
            found.append(f'<text class="axis" transform="translate(11 {middle}) rotate(-90)">{escape(self.up.label)}</text>')
        return found

    def _place(self, across: float, up: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self._range_across, self._range_up
        left, right, bottom = self._left, self.width - 12, self.height - 40
        return round(left + (across - x0) / (x1 - x0) * (right - left), 1), round(bottom - (up - y0) / (y1 - y0) * (bottom - 10), 1)

    def _point(self, across: float, up: float) -> str:
        return "{},{}".format(*self._place(across, up))


def round_marks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return at most about `most` round numbers that enclose a range, with their words; a range without length gets some.

    >>> round_marks(0.0, 0.9, 5)
    [(0.0, '0.0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1.0')]
    """
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    factor = next(factor for factor in STEPS if factor * magnitude >= rough * (1 - 1e-9))
    step = factor * magnitude
    decimals = max(0, -math.floor(math.log10(magnitude)) + (factor == 2.5)) if step < 10 else 0
    numbers = range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    return [(round(number * step, 12), f"{number * step:,.{decimals}f}") for number in numbers]


def _laid_out(axis: Axis) -> tuple[tuple[float, float], list[tuple[float, str]]]:
    """Return what an axis extends over, a little more than must fit, and the marks inside."""
    marks = list(axis.marks) or round_marks(axis.low, axis.high, 5)
    span = axis.high - axis.low
    if span < 1e-9 * max(1.0, abs(axis.low), abs(axis.high)):
        return (marks[0][0], marks[-1][0]), marks
    low, high = axis.low - MARGIN * span, axis.high + MARGIN * span
    return (low, high), [(value, words) for value, words in marks if low <= value <= high]
