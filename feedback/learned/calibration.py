"""Say how far a reward model can be trusted: how often it is right, how well its probabilities hold, and what it may have learned instead.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (temperature, expected calibration error); Brier 1950. Every comparison counts
in both of its orders, so that which text was called the first one changes nothing. Left out: calibration for each annotator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import NORMAL_QUANTILE, Interval, correlation_interval, share_interval
from feedback.aggregation.opinions import TIE, Comparisons

FloatArray = npt.NDArray[np.float64]
BINS = 10
LEAST = 30  # comparisons that a temperature is fitted to


@dataclass(frozen=True)
class Calibration:
    """Hold how well a model's scores fit comparisons that it has not seen.

    Args:
        num_comparisons: that were judged; num_ties: of them, which are in all figures but the accuracies.
        accuracy: of which one is preferred. longer: what "the longer one" would reach. A guess without a preference counts half.
        shown_first: how often people preferred the text that they saw first, of those of which this is known.
        log_loss_nats, brier, calibration_error: of P(first preferred) = sigma(difference / temperature); see the functions.
        length_correlation: of score and characters over the passages that were judged.
    """

    num_comparisons: int
    num_ties: int
    accuracy: Interval
    longer: Interval
    shown_first: Interval
    log_loss_nats: float | None
    brier: float | None
    calibration_error: float | None
    length_correlation: Interval


def calibration_of(scores: FloatArray, lengths: FloatArray, comparisons: Comparisons, temperature: float = 1.0) -> Calibration:
    """Return all figures of a model's scores on comparisons.

    Args:
        scores: [items], in log odds at the temperature 1. lengths: [items], in characters.
    """
    difference = (scores[comparisons.first] - scores[comparisons.second]) / temperature
    longer = lengths[comparisons.first] - lengths[comparisons.second]
    target, weight = comparisons.target, comparisons.weight
    judged = np.unique(np.concatenate([comparisons.first, comparisons.second]))
    said = comparisons.shown_first != 0
    has = bool(weight.sum() > 0)
    return Calibration(
        comparisons.num_comparisons,
        int((target == TIE).sum()),
        accuracy(difference, target),
        accuracy(longer, target),
        accuracy(comparisons.shown_first[said].astype(np.float64), target[said]),
        log_loss_nats(difference, target, weight) if has else None,
        brier_score(difference, target, weight) if has else None,
        calibration_error(difference, target, weight) if has else None,
        correlation_interval(scores[judged].tolist(), lengths[judged].tolist()),
    )


def accuracy(difference: FloatArray, target: FloatArray) -> Interval:
    """Return how often the sign of a difference is that of the preference, with a 95 % interval; undefined without a preference.

    Ties of the people are left out, since they say that neither answer is wrong; a difference of exactly 0 counts half, so that a constant
    model has 0.5. The interval is Wilson's, at the share of halves found.
    """
    told = target != TIE
    right = np.where(difference[told] == 0, 0.5, (difference[told] > 0) == (target[told] > TIE))
    if not len(right):
        return Interval(None, None, None)
    share, number = float(right.mean()), len(right)
    if float(right.sum()).is_integer():
        return share_interval(int(right.sum()), number)
    below, above = share_interval(math.floor(right.sum()), number), share_interval(math.ceil(right.sum()), number)
    assert below.low is not None and above.high is not None
    return Interval(share, below.low, above.high)


def log_loss_nats(difference: FloatArray, target: FloatArray, weight: FloatArray) -> float:
    """Return the weighted mean of -t ln p - (1 - t) ln(1 - p), p = sigma(d); ln 2 for a constant model."""
    return float(np.average(np.logaddexp(0.0, difference) - target * difference, weights=weight))


def brier_score(difference: FloatArray, target: FloatArray, weight: FloatArray) -> float:
    """Return the weighted mean of (p - t)^2; a quarter for a constant model."""
    return float(np.average((_chance(difference) - target) ** 2, weights=weight))


def calibration_error(difference: FloatArray, target: FloatArray, weight: FloatArray, bins: int = BINS) -> float:
    """Return sum_b share_b |mean p - mean t| over bins of equal width in p, each comparison in both orders."""
    chance = np.concatenate([_chance(difference), _chance(-difference)])
    told, counted = np.concatenate([target, 1 - target]), np.concatenate([weight, weight])
    place = np.minimum((chance * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, counted * (chance - told), minlength=bins)
    return float(np.abs(gap).sum() / counted.sum())


def fitted_temperature(difference: FloatArray, target: FloatArray, weight: FloatArray, bound: float = 100.0) -> float:
    """Return the temperature that makes sigma(d / T) likeliest, between 1 / bound and bound.

    One imagined tie at the mean |d| is among the comparisons, so that a model which happens to be right on all of a few is not called sure
    of everything. The slope of the loss in 1 / T never falls, so halving finds the minimum. Where the comparisons say that the model is
    worse than chance, T is the upper bound. With fewer than thirty comparisons, or none with a difference, it is 1: they cannot tell.
    """
    if len(difference) < LEAST or not (weight * np.abs(difference)).any():
        return 1.0
    gap, told = np.append(difference, np.average(np.abs(difference), weights=weight)), np.append(target, TIE)
    counted = np.append(weight, weight.mean())
    low, high = 1.0 / bound, bound  # of 1 / T
    for _ in range(100):
        middle = math.sqrt(low * high)
        slope = float((counted * gap * (_chance(middle * gap) - told)).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1.0 / math.sqrt(low * high)


def agreement_ceiling(comparisons: Comparisons) -> Interval:
    """Return how often two people who preferred one of the same two passages preferred the same one, with a 95 % interval.

    A model that says what most people say agrees with one of them more often than two of them do, but not by much: where two agree with the
    rate A, at most (1 + sqrt(2 A - 1)) / 2. Each person counts once for each two passages (by their first answer), and ties are left out.
    The interval is that of a ratio of sums over pairs of passages (the delta method); it is undefined below ten pairs, and the share is
    undefined where no pair was judged by two.
    """
    told = comparisons.target != TIE
    one, other = comparisons.first[told], comparisons.second[told]
    low, high = np.minimum(one, other), np.maximum(one, other)
    prefers_low = (comparisons.target[told] > TIE) == (one == low)
    key = low * np.int64(len(comparisons.items)) + high
    _, once = np.unique(key * np.int64(len(comparisons.annotators)) + comparisons.annotator[told], return_index=True)
    _, pair = np.unique(key[once], return_inverse=True)
    if not len(once):
        return Interval(None, None, None)
    all_of, low_of = np.bincount(pair).astype(np.float64), np.bincount(pair, prefers_low[once])
    couples = all_of * (all_of - 1) / 2
    same = (low_of * (low_of - 1) + (all_of - low_of) * (all_of - low_of - 1)) / 2
    judged_twice = int((couples > 0).sum())
    if not judged_twice:
        return Interval(None, None, None)
    share = float(same.sum() / couples.sum())
    if judged_twice < 10:
        return Interval(share, None, None)
    half = NORMAL_QUANTILE * math.sqrt(float(((same - share * couples) ** 2).sum())) / float(couples.sum())
    return Interval(share, max(0.0, share - half), min(1.0, share + half))


def _chance(difference: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1.0 + np.tanh(difference / 2)))
