"""Turn what a content is worth into a rating: the part of `Annotator` that rates.

A model returns what is felt on a scale whose ends are -1 (lowest step) and 1 (highest); the annotator rounds that to a step of the scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from feedback.simulated.shown_sets import FloatArray, Shown


class RatingModel(Protocol):
    """Rate single contents."""

    def rate(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt: [N, 1]."""
        ...


@dataclass(frozen=True)
class Severity:
    """Rate by severity + stretch * u + N(0, sd^2), as a person who is strict or mild, bold or cautious, and unsteady.

    Args:
        severity: added to all; below 0 = strict. stretch: 1 = the ends of the scale are for utilities of -1 and 1. sd: as severity, in
            halves of the scale.
    """

    severity: float = 0.0
    stretch: float = 1.0
    sd: float = 0.0

    def __post_init__(self) -> None:
        if self.sd < 0 or not np.isfinite([self.severity, self.stretch, self.sd]).all():
            raise ValueError(f"severity, stretch and sd must be finite and sd at least 0, got {self.severity}, {self.stretch}, {self.sd}")

    def rate(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt."""
        noise = self.sd * shown.draws.normals("rating") if self.sd else 0.0
        return np.asarray(self.severity + self.stretch * utilities + noise)


@dataclass(frozen=True)
class Percentile:
    """Rate by the place among contents known before: 1 - ECDF(gap + N(0, sd^2)), where the gap is how far a content is from the best.

    Source: Metz et al. 2023, "RLHF-Blender". The result, from 0 to 1, is spread over the whole scale.

    Args:
        known: utilities of contents known before; the best of them has gap 0. sd: of the noise, in utility.
    """

    known: tuple[float, ...] = field(repr=False)
    sd: float = 0.0

    def __post_init__(self) -> None:
        if not self.known or not np.isfinite(self.known).all() or self.sd < 0:
            raise ValueError(f"known must be finite utilities, at least one, and sd at least 0; got {len(self.known)} and {self.sd}")

    def rate(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return what is felt."""
        best = max(self.known)
        gaps = np.sort(best - np.asarray(self.known, dtype=np.float64))
        felt = best - utilities + self.sd * shown.draws.normals("rating")
        worse = 1.0 - np.searchsorted(gaps, felt, side="left") / len(gaps)  # the share of known contents that are no better
        return np.asarray(2.0 * worse - 1.0)


def anchored(felt: FloatArray, pull: float, before: float | None = None) -> FloatArray:
    """Draw each rating of one person towards the one given before: y_t = f_t + pull * (y_{t-1} - f_t).

    y_t = sum_{j<t} (1 - pull) pull^j f_{t-j} + pull^t f_0, which is summed until pull^j is below 1e-17.

    Args:
        felt: [N], in the order in which they were asked. pull: 0 = no anchor, below 1. before: the last y; None = none was given.

    Returns: [N], y.
    """
    if not 0 <= pull < 1:
        raise ValueError(f"pull must be at least 0 and below 1, got {pull}")
    start = felt[0] if before is None and len(felt) else before
    if pull == 0 or not len(felt):
        return felt
    assert start is not None
    reach = min(len(felt), int(np.ceil(np.log(1e-17) / np.log(pull))) + 1)
    weights = (1.0 - pull) * pull ** np.arange(reach)
    return np.asarray(np.convolve(felt, weights)[: len(felt)] + pull ** np.arange(1, len(felt) + 1) * start)
