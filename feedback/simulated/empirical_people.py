"""Judge as real people did: ratings drawn from those that ten raters gave to words of a matching mean.

VADER's lexicon (Hutto & Gilbert 2014) keeps ten ratings, from -4 to 4, of each of 7,520 words and emoticons. `vader_constants` counts
them by the mean of their word, and was made by `scripts/fit_vader_annotator.py`.

A content of utility u (rating points) gets a rating in two draws: the mean that ten people would have given it, m ~ N(u, var(u) / 10),
and then one rating of a real rater of a word of mean m; between two means that occur, one is drawn so that the expectation is m.
The first draw makes up for what a mean of ten takes in of its own raters, so that the ratings of one content vary as people's do.
Left out: who is strict and who is mild, which the lexicon does not tell, since a column of it is not one person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from feedback.simulated import vader_constants
from feedback.simulated.shown_sets import FloatArray, Shown

NUM_RATERS = 10
POINTS = 4.0  # the ends of the scale, from -4 to 4
_STEPS = np.arange(-POINTS, POINTS + 1.0)


class People(NamedTuple):
    """Hold how real people rate.

    Args:
        means: [R], those of words that occur, rising. cumulative: [R, 9], P(rating <= step | mean).
        sds: [R], standard deviation of the mean of ten around what all people would say.
    """

    means: FloatArray
    cumulative: FloatArray
    sds: FloatArray


@cache
def real_people() -> People:
    """Return how VADER's raters rate."""
    means, counts = vader_constants.MEANS, np.asarray(vader_constants.COUNTS, dtype=np.float64)
    at = np.asarray(means, dtype=np.float64)
    squares = (counts * (_STEPS - at[:, None]) ** 2).sum(axis=1) * NUM_RATERS / (NUM_RATERS - 1)
    near = np.abs(at[:, None] - at[None, :]) <= 0.35  # a mean of few words takes its variance from its neighbours too
    variances = (near @ squares) / (near @ counts.sum(axis=1))
    return People(at, np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True), np.sqrt(variances / NUM_RATERS))


@dataclass(frozen=True)
class RealPeople:
    """Rate, and choose by ratings, as VADER's raters did. It is a `Choice` and a `RatingModel`; utilities are rating points from -4 to 4.

    Of two contents the one is preferred that gets the higher rating; equal ratings are a tie.
    """

    def order(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return a rating of each content: [N, M]."""
        people = real_people()
        means = utilities + np.interp(utilities, people.means, people.sds) * shown.draws.normals("mean of ten")
        means = np.clip(means, people.means[0], people.means[-1])
        upper = np.clip(np.searchsorted(people.means, means), 1, len(people.means) - 1)
        share = (means - people.means[upper - 1]) / (people.means[upper] - people.means[upper - 1])
        row = upper - (shown.draws.uniforms("mean that occurs") >= share)
        drawn = shown.draws.uniforms("rater")
        ratings = np.full(utilities.shape, -POINTS)
        for step in range(len(_STEPS) - 1):
            ratings += drawn > people.cumulative[:, step][row]
        return ratings

    def margin(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the rating of single contents: [N, 1]."""
        return self.order(utilities, shown)

    def rate(self, utilities: FloatArray, shown: Shown) -> FloatArray:
        """Return the rating of single contents, from -1 to 1: [N, 1]."""
        return self.order(utilities, shown) / POINTS


def latent_means(means: FloatArray, alpha: float, num_raters: int = NUM_RATERS) -> FloatArray:
    """Return what all people would say, spread as it is, of units whose mean over a few raters is known.

    u = mean + sqrt(r) (m - mean),   r = n alpha / (1 + (n - 1) alpha)

    The means of n raters vary more than that; r is their reliability (Spearman 1910, Brown 1910).
    """
    reliability = num_raters * alpha / (1.0 + (num_raters - 1) * alpha)
    return np.asarray(means.mean() + np.sqrt(reliability) * (means - means.mean()))
