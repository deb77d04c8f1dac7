"""Measure on the ratings of real people how reliable each is, and how much is gained by asking several and putting together what they say.

The people are VADER's ten raters. Nobody knows the true order of the words: it is taken to be that of the means of raters who were held
out, whose own noise keeps every accuracy below 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import Interval, alpha_interval
from feedback.aggregation.annotator_aware import fit_annotator_aware
from feedback.aggregation.annotator_detection import AnnotatorFinding, detect_in_ratings
from feedback.aggregation.bradley_terry import fit_bradley_terry
from feedback.aggregation.dawid_skene import fit_dawid_skene
from feedback.aggregation.mace import fit_mace
from feedback.aggregation.majority import majority
from feedback.aggregation.opinions import Comparisons, Labels
from feedback.aggregation.pair_agreement import PairAgreement, pair_agreement

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BINS = np.array([-2.5, -0.5, 0.5, 2.5])  # between the five classes that ratings from -4 to 4 are put into
CLASSES = ("very bad", "bad", "neutral", "good", "very good")
WORTH = np.arange(len(CLASSES)) - 2.0
PAIRS_PER_ITEM = 4  # comparisons that each rater makes, for each item
MOST_ITEMS = 1000  # of whose pairs the order is compared
RESAMPLES = 500


@dataclass(frozen=True)
class RaterFigures:
    """Hold how reliable one rater is: the findings, and the accuracy of the order of pairs against the mean of all others."""

    finding: AnnotatorFinding
    accuracy: Interval


@dataclass(frozen=True)
class Reliability:
    """Hold how reliable raters are, each and together."""

    raters: tuple[RaterFigures, ...]
    alpha: Interval
    pairs: PairAgreement
    num_units: int


@dataclass(frozen=True)
class Gain:
    """Hold the accuracy of the order of pairs against held-out raters, its gain over one rater's, and from how many items they come."""

    accuracy: Interval
    gain: Interval
    num_items: int


def reliability(ratings: npt.ArrayLike, error_rate: float = 0.05) -> Reliability:
    """Say how reliable each rater is against the mean of all others.

    Args:
        ratings: [people, units], each unit rated by all.
        error_rate: of accusing anybody wrongly.
    """
    table = np.asarray(ratings, dtype=np.float64)
    findings = detect_in_ratings(table, [str(number + 1) for number in range(len(table))], error_rate)
    drawn = np.sort(np.random.default_rng(0).permutation(table.shape[1])[:MOST_ITEMS])
    raters = []
    for number, finding in enumerate(findings):
        right, counted = _credit(table[number, drawn], np.delete(table, number, axis=0)[:, drawn].mean(axis=0))
        raters.append(RaterFigures(finding, _interval(_ratios(_resampled(len(drawn)), right, counted))))
    return Reliability(tuple(raters), alpha_interval(table, resamples=100), pair_agreement(table, resamples=100), table.shape[1])


def gains(ratings: npt.ArrayLike, num_items: int = 1500, splits: int = 4, seed: int = 0) -> dict[str, Gain]:
    """Say how well several ways of putting half of the raters' ratings together give the order of the other half's means.

    accuracy = share of the pairs of items, put in an order by the held-out raters, that have it too; half where there is none

    one rater, mean of k      ratings of k of the raters
    majority, dawid-skene, mace   expected class of their ratings in five classes
    bradley-terry, annotator-aware   scores of their comparisons of random pairs of items, by their ratings

    Args:
        ratings: [people, units], each unit rated by all.
        num_items: how many units are drawn.
        splits: how often the raters are split in two halves; the figures are those of all splits together.

    Returns: figures by method, with intervals over items (the raters are those that there are).

    Errors: ValueError for fewer than four raters or ten items.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if len(table) < 4 or min(num_items, table.shape[1]) < 10 or splits < 1:
        raise ValueError(
            f"gains need at least 4 raters, 10 items and 1 split, got {len(table)}, {min(num_items, table.shape[1])} and {splits}"
        )
    generator = np.random.default_rng(seed)
    items = np.sort(generator.permutation(table.shape[1])[:num_items])
    right: dict[str, FloatArray] = {}
    counted = np.zeros((len(items), len(items)))
    for _ in range(splits):
        order = generator.permutation(len(table))
        asked, held_out = np.array_split(order, 2)
        reference = table[held_out][:, items].mean(axis=0)
        for name, scores in _scores(table[asked][:, items], generator).items():
            credit = np.mean([_credit(score, reference)[0] for score in scores], axis=0)
            right[name] = right.get(name, 0.0) + credit
        counted += _credit(reference, reference)[1]
    often = _resampled(len(items))
    shares = {name: _ratios(often, credit, counted) for name, credit in right.items()}
    one = shares["one rater"]
    return {name: Gain(_interval(share), _interval(share - one), len(items)) for name, share in shares.items()}


def _scores(ratings: FloatArray, generator: np.random.Generator) -> Mapping[str, FloatArray]:
    """Return scores of each item by each method: [people, items] -> [scores, items]; one rater is any of them, and has as many scores."""
    found = {"one rater": ratings}
    found |= {f"mean of {number}": ratings[:number].mean(axis=0, keepdims=True) for number in range(2, len(ratings) + 1)}
    labels = _binned(ratings)
    for posterior in (majority(labels).posterior, fit_dawid_skene(labels).posterior, fit_mace(labels).posterior):
        found[posterior.method] = posterior.expected(WORTH)[None]
    compared = _compared(ratings, generator)
    found["bradley-terry"] = fit_bradley_terry(compared, has_errors=False).score[None]
    found["annotator-aware"] = fit_annotator_aware(compared, has_errors=False, tolerance=1e-4).items.score[None]
    return found


def _binned(ratings: FloatArray) -> Labels:
    people, items = ratings.shape
    annotator, unit = np.nonzero(np.isfinite(ratings))
    return Labels(annotator, unit, np.digitize(ratings, BINS)[annotator, unit], _names(people), _names(items), CLASSES)


def _compared(ratings: FloatArray, generator: np.random.Generator) -> Comparisons:
    people, items = ratings.shape
    annotator = np.repeat(np.arange(people), items * PAIRS_PER_ITEM)
    first = np.tile(np.arange(items), people * PAIRS_PER_ITEM)
    second = (first + generator.integers(1, items, size=len(first))) % items
    target = (1.0 + np.sign(ratings[annotator, first] - ratings[annotator, second])) / 2.0
    return Comparisons.of(first, second, target, _names(items), annotator, _names(people))


def _names(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))


def _credit(score: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each pair 1 where the score has the reference's order, 0.5 where it has none; and whether that has one: [I, I]."""
    wanted = np.sign(np.round(reference[:, None] - reference, 9))  # means of equal sums are equal, whatever the rounding
    given = np.sign(np.round(score[:, None] - score, 9))
    is_ordered = (wanted != 0).astype(np.float64)
    return is_ordered * (1.0 + wanted * given) / 2.0, is_ordered


def _resampled(num_items: int) -> FloatArray:
    """Return how often each item is in the sample and in each of its resamples: [1 + RESAMPLES, I]."""
    drawn = np.random.default_rng(0).multinomial(num_items, np.full(num_items, 1.0 / num_items), RESAMPLES)
    return np.vstack([np.ones((1, num_items)), drawn])


def _ratios(often: FloatArray, right: FloatArray, counted: FloatArray) -> FloatArray:
    """Return the share of the credit in the sample and in each resample: [1 + RESAMPLES]."""
    return ((often @ right) * often).sum(axis=1) / ((often @ counted) * often).sum(axis=1)


def _interval(values: FloatArray) -> Interval:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))
