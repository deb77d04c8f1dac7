"""Say from a few paired differences how large the true one may be, and how many pairs would tell its sign.

Intervals are Student's t over pairs (Student 1908), not the bootstrap's: comparisons have three to ten pairs, from which the percentile
bootstrap misses the truth far more often than it says (the tests measure both). Each difference is between means over many responses,
which is what brings it near the normal distribution that t assumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
CONFIDENCE = 0.95
POWER = 0.8
MOST_PAIRS = 10_000  # a difference that needs more is none for any practical purpose


@dataclass(frozen=True)
class Interval:
    """Hold a mean, its interval, the standard deviation of one value, and how many values there were."""

    mean: float
    low: float
    high: float
    deviation: float
    n: int

    @property
    def sign(self) -> int:
        """Return 1 or -1 where the whole interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def mean_interval(values: Sequence[float] | FloatArray, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of values with its interval: mean +- t(n - 1) * deviation / sqrt(n).

    Of paired differences it is the interval of the paired t test. Values that are all the same have an interval of length 0.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"an interval needs at least 2 finite values, got {numbers.tolist()}")
    mean, n = float(numbers.mean()), len(numbers)
    if (numbers == numbers[0]).all():
        return Interval(float(numbers[0]), float(numbers[0]), float(numbers[0]), 0.0, n)  # without rounding
    deviation = float(numbers.std(ddof=1))
    half = t_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, deviation, n)


def pairs_needed(difference: float, deviation: float, power: float = POWER, confidence: float = CONFIDENCE) -> int | None:
    """Return how many pairs a paired t test needs to tell the sign of a difference.

    The smallest n with |difference| >= (t_{(1 + confidence) / 2}(n - 1) + t_power(n - 1)) * deviation / sqrt(n)

    Args:
        difference, deviation: mean and standard deviation of the difference of one pair, taken to be the true ones.
        power: share of experiments with n pairs that would tell.

    Returns: n, at least 2; None where even 10,000 pairs would not do.
    """
    if deviation < 0 or not math.isfinite(difference + deviation):
        raise ValueError(f"difference and deviation must be finite and the deviation at least 0, got {difference} and {deviation}")

    def is_enough(n: int) -> bool:
        return difference != 0 and detectable(deviation, n, power, confidence) <= abs(difference)

    if not is_enough(MOST_PAIRS):
        return None
    return 1 + _last_false(is_enough, 1, MOST_PAIRS)


def detectable(deviation: float, n: int, power: float = POWER, confidence: float = CONFIDENCE) -> float:
    """Return the smallest true difference that n pairs would tell from 0 in a share `power` of experiments."""
    if n < 2:
        raise ValueError(f"a paired test needs at least 2 pairs, got {n}")
    return (t_quantile((1 + confidence) / 2, n - 1) + t_quantile(power, n - 1)) * deviation / math.sqrt(n)


@cache
def t_quantile(probability: float, degrees: int) -> float:
    """Return the value below which Student's t lies with a probability from 0.5 up to, not including, 1."""
    if not 0.5 <= probability < 1:
        raise ValueError(f"probability must be at least 0.5 and below 1, got {probability}")
    low, high = 0.0, 1.0
    while t_within(high, degrees) < 2 * probability - 1:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if t_within(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return high


def t_within(bound: float, degrees: int) -> float:
    """Return the probability that Student's t lies between -bound and bound (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).

    With a = arctan(bound / sqrt(degrees)):
        odd:  2/pi * (a + sin a * (cos a + 2/3 cos^3 a + (2*4)/(3*5) cos^5 a + ...)),  the sum up to cos^(degrees - 2)
        even: sin a * (1 + 1/2 cos^2 a + (1*3)/(2*4) cos^4 a + ...),  likewise
    """
    if degrees < 1:
        raise ValueError(f"degrees of freedom must be at least 1, got {degrees}")
    angle = math.atan(bound / math.sqrt(degrees))
    is_odd = degrees % 2
    steps = np.arange(1, (degrees - 2 - is_odd) // 2 + 1)
    factors = 2 * steps / (2 * steps + 1) if is_odd else (2 * steps - 1) / (2 * steps)
    total = 1.0 + float(np.cumprod(factors * math.cos(angle) ** 2).sum())
    if not is_odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + (math.sin(angle) * math.cos(angle) * total if degrees > 1 else 0.0))


def _last_false(is_true: Callable[[int], bool], false: int, true: int) -> int:
    """Return the last number at which a condition does not hold, which holds from there on; `false` counts as one."""
    while true - false > 1:
        middle = (false + true) // 2
        false, true = (false, middle) if is_true(middle) else (middle, true)
    return false
