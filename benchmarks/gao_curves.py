"""Fit how the true score follows the distance from the reference policy as a learned one is optimised (Gao et al. 2022, arXiv:2210.10760).

With d = sqrt(KL in nats), and the score counted from the reference policy's:
best of n               R(d) = d (a - b d),      highest a^2 / 4b at d = a / 2b
reinforcement learning  R(d) = d (a - b ln d),   highest b d at d = exp(a / b - 1)

Both are linear in a and b, so that the fit is one of least squares with one solution. Left out: their laws in the reward model's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Method = Literal["best_of_n", "rl"]


@dataclass(frozen=True)
class GaoCurve:
    """Hold a fitted curve.

    Args:
        a, b: its coefficients: score per square root of a nat at the start, and how fast that falls.
        residual: root mean square of what the fit leaves, in units of the score.
    """

    method: Method
    a: float
    b: float
    residual: float

    def at(self, kl: npt.ArrayLike) -> FloatArray:
        """Return the score above the reference policy's at some distances, in nats; 0 at 0."""
        d = np.sqrt(_checked_kl(kl))
        if self.method == "best_of_n":
            return np.asarray(d * (self.a - self.b * d))
        return np.asarray(d * self.a - self.b * _d_log_d(d))

    @property
    def peak_kl(self) -> float | None:
        """Return the distance of the highest score, in nats; None where the curve never turns down, or never goes up."""
        if self.b <= 0 or (self.a <= 0 and self.method == "best_of_n"):
            return None
        try:
            return (self.a / (2 * self.b) if self.method == "best_of_n" else math.exp(self.a / self.b - 1)) ** 2
        except OverflowError:
            return None  # farther than any policy gets

    @property
    def peak(self) -> float | None:
        """Return the highest score above the reference policy's; None where there is no peak."""
        return None if self.peak_kl is None else float(self.at(self.peak_kl))


def fit_gao_curve(kl: npt.ArrayLike, score: npt.ArrayLike, method: Method, weight: npt.ArrayLike | None = None) -> GaoCurve:
    """Fit a curve by weighted least squares.

    Args:
        kl: [N], nats, at least 0. score: [N], above that of the reference policy. weight: [N], at least 0; None = all the same.

    Errors: ValueError for fewer than two different distances above 0, or numbers that are not finite.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    d, scores = np.sqrt(_checked_kl(kl)), np.asarray(score, dtype=np.float64)
    weights = np.ones(len(d)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not d.shape == scores.shape == weights.shape or d.ndim != 1:
        raise ValueError(f"kl, score and weight must have one number each, got the shapes {d.shape}, {scores.shape} and {weights.shape}")
    if not np.isfinite(scores).all() or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("scores and weights must be finite, and weights at least 0")
    if len(np.unique(d[(d > 0) & (weights > 0)])) < 2:
        raise ValueError(f"two coefficients need at least two different distances above 0 nats, got {np.unique(d**2).tolist()}")
    bends = d**2 if method == "best_of_n" else _d_log_d(d)
    design, root = np.stack([d, -bends], axis=1), np.sqrt(weights)
    (a, b), *_ = np.linalg.lstsq(design * root[:, None], scores * root, rcond=None)
    left = scores - design @ np.array([a, b])
    return GaoCurve(method, float(a), float(b), float(np.sqrt((weights * left**2).sum() / weights.sum())))


def _d_log_d(d: FloatArray) -> FloatArray:
    return np.asarray(d * np.log(np.where(d > 0, d, 1.0)))  # 0 at 0


def _checked_kl(kl: npt.ArrayLike) -> FloatArray:
    distances = np.asarray(kl, dtype=np.float64)
    if not (np.isfinite(distances) & (distances >= 0)).all():
        raise ValueError(f"distances must be at least 0 nats, got {distances.tolist()}")
    return distances
