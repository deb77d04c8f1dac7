"""Fit linear reward heads to comparisons and ratings on features that stay as they are, to convergence, in seconds.

Bradley & Terry 1952; Fisher scoring (Newton's method where there is no lapse); an ensemble by the bootstrap (Efron 1979) and, if wished, by
randomised priors (Osband, Aslanides & Cassirer 2018). Left out: a noise level for each annotator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import Comparisons

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
VALUE_LOG_ODDS = 5.16  # of ten people who rated words: 1.29 a point of a scale from -4 to 4, so 4 points for a value from 0 to 1
HUBER_WIDTH = 1.0  # in values from -1 to 1: up to half of the scale, errors count squared
MOST_STEPS = 200
ROUNDING = 1e-13  # of a sum of losses, as a share of it


@dataclass(frozen=True, eq=False)
class Ratings:
    """Hold what single items were called worth.

    Args:
        item: [M] numbers of items. value: [M], -1 (bad) to 1 (good). weight: [M], at least 0.

    Errors: ValueError for arrays of different lengths, or a value or a weight out of range.
    """

    item: IntArray
    value: FloatArray
    weight: FloatArray

    def __post_init__(self) -> None:
        if not self.item.shape == self.value.shape == self.weight.shape or self.item.ndim != 1:
            shapes = f"{self.item.shape}, {self.value.shape}, {self.weight.shape}"
            raise ValueError(f"item, value and weight must have one number for each rating, got the shapes {shapes}")
        if (wrong := np.flatnonzero(~(np.abs(self.value) <= 1))).size:
            raise ValueError(f"value of rating {wrong[0]} must be from -1 to 1, got {self.value[wrong[0]]}")
        if (wrong := np.flatnonzero(~(np.isfinite(self.weight) & (self.weight >= 0)))).size:
            raise ValueError(f"weight of rating {wrong[0]} must be at least 0, got {self.weight[wrong[0]]}")

    @classmethod
    def none(cls) -> Ratings:
        """Return no ratings."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))

    def take(self, chosen: npt.ArrayLike) -> Ratings:
        """Return some of the ratings."""
        rows = np.asarray(chosen)
        return Ratings(self.item[rows], self.value[rows], self.weight[rows])


@dataclass(frozen=True, eq=False)
class Heads:
    """Hold K linear heads over features of one width.

    Args:
        weights: [K, H]. offsets: [K]; the mean score of the items that were fitted is 0, unless ratings say where 0 is.
        num_steps: [K], of Fisher scoring until it converged.
    """

    weights: FloatArray
    offsets: FloatArray
    num_steps: IntArray

    def scores(self, features: npt.ArrayLike) -> FloatArray:
        """Return what each head says of each item: features [N, H] to scores [K, N], in log odds: P(a > b) = sigma(s_a - s_b)."""
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.weights.shape[1]:
            raise ValueError(f"features must be [items, {self.weights.shape[1]}], got the shape {rows.shape}")
        return np.asarray(self.weights @ rows.T + self.offsets[:, None])


def fit_heads(
    features: npt.ArrayLike,
    comparisons: Comparisons,
    num_heads: int = 1,
    seed: int = 0,
    penalty: float = 1.0,
    lapse: float = 0.0,
    *,
    smoothing: float = 0.0,
    flips: float = 0.0,
    ratings: Ratings | None = None,
    prior_noise: float = 0.0,
    tolerance: float = 1e-8,
) -> Heads:
    """Fit each head by itself.

    minimise  sum_n c_n w_n L(t_n, s_i - s_j) + sum_m c_m w_m huber(s_i / 5.16 + b - v_m) + penalty / 2 |u - u_0|^2,   s = u . z

    L(t, d) = -t' ln p - (1 - t') ln(1 - p),  p = lapse + (1 - 2 lapse) sigma(d)
    t' = (t (1 - 2 smoothing) + smoothing - flips) / (1 - 2 flips)
    z: the features, standardised and divided by sqrt(H), so that a penalty means the same for every width: the prior's variance of a score
    is 1 / penalty. c: 1 with a single head; with several, how often the bootstrap drew the judgement for this head.

    Args:
        features: [N, H], a row for each of the comparisons' items.
        comparisons: targets, and weights, which multiply the loss.
        num_heads: K. seed: decides the bootstrap; head k is the same whatever K is, as long as it is above 1.
        penalty: above 0. lapse: share of answers given blindly, halved: from 0 to below 0.5.
        smoothing, flips: as in `reward_losses`, where `flips` makes the unbiased loss; at most one of the three is above 0.
        ratings: further judgements, of single items.
        prior_noise: 0 = all heads shrink towards 0, so that they agree where nothing was learned; 1 = each shrinks towards its own draw u_0
            from the prior, so that they do not. With a single head it has no effect.
        tolerance: the gradient's largest entry at the end, as a share of all judgements' weight.

    Errors: ValueError for features that do not fit the items or are not finite, nothing to learn from, or settings out of range.
    """
    rows = _checked(features, comparisons, num_heads, penalty, prior_noise)
    _check_noise(lapse=lapse, smoothing=smoothing, flips=flips)
    said = Ratings.none() if ratings is None else ratings
    if said.item.size and not (said.item.min() >= 0 and said.item.max() < len(rows)):
        raise ValueError(f"ratings must be of the {len(rows)} items, got item {said.item.min()} to {said.item.max()}")
    if comparisons.weight.sum() + said.weight.sum() <= 0:
        raise ValueError("there is nothing to learn from: no comparison and no rating with a weight above 0")
    standard = _standardised(rows)
    target = (comparisons.target * (1 - 2 * smoothing) + smoothing - flips) / (1 - 2 * flips)
    problem = Problem.of(standard.rows, comparisons, said, penalty, lapse, target)
    fitted, steps = [], []
    for head in range(num_heads):
        generator = np.random.default_rng((seed, head))
        counts = np.ones(len(problem.weight))
        anchor = np.zeros(problem.width)
        if num_heads > 1:
            counts = np.bincount(generator.integers(len(counts), size=len(counts)), minlength=len(counts)).astype(np.float64)
            anchor[: rows.shape[1]] = prior_noise * generator.normal(size=rows.shape[1]) / math.sqrt(penalty)
        solution, num = problem.solve(counts, anchor, tolerance)
        fitted.append(solution)
        steps.append(num)
    inner = np.stack(fitted)
    weights = inner[:, : rows.shape[1]] / standard.scale
    offsets = -weights @ standard.mean + VALUE_LOG_ODDS * inner[:, -1]  # so that a rating of 0 has the score 0
    return Heads(weights, offsets, np.array(steps, dtype=np.int64))


class Standard(NamedTuple):
    """Hold features with the mean 0 and the variance 1 / H: rows = (features - mean) / scale."""

    rows: FloatArray
    mean: FloatArray
    scale: FloatArray


@dataclass(frozen=True, eq=False)
class Problem:
    """Hold judgements as rows of a generalised linear model with H weights and the ratings' middle as its last unknown.

    Args:
        design: [J, H + 1]; a comparison's row is the difference of two items and 0, a rating's is (item / 5.16, 1).
        target, weight: [J]. is_rating: [J].
        penalty: [H + 1], of the squares.
    """

    design: FloatArray
    target: FloatArray
    weight: FloatArray
    is_rating: npt.NDArray[np.bool_]
    penalty: FloatArray
    lapse: float

    @classmethod
    def of(cls, rows: FloatArray, comparisons: Comparisons, ratings: Ratings, penalty: float, lapse: float, target: FloatArray) -> Problem:
        """Make the rows of comparisons, with these targets, and then those of ratings."""
        pairs = np.pad(rows[comparisons.first] - rows[comparisons.second], ((0, 0), (0, 1)))
        single = np.concatenate([rows[ratings.item] / VALUE_LOG_ODDS, np.ones((len(ratings.item), 1))], axis=1)
        return cls(
            np.concatenate([pairs, single]),
            np.concatenate([target, ratings.value]),
            np.concatenate([comparisons.weight, ratings.weight]),
            np.repeat([False, True], [len(pairs), len(single)]),
            np.append(np.full(rows.shape[1], penalty), 1e-3),  # the middle is all but free
            lapse,
        )

    @property
    def width(self) -> int:
        """Return H + 1."""
        return self.design.shape[1]

    def solve(self, counts: FloatArray, anchor: FloatArray, tolerance: float) -> tuple[FloatArray, int]:
        """Return the minimum by Fisher scoring with halved steps, and the number of steps.

        Errors: ArithmeticError where it does not converge.
        """
        weight = self.weight * counts
        kept = weight > 0
        design, target, is_rating, weight = self.design[kept], self.target[kept], self.is_rating[kept], weight[kept]
        bound = tolerance * max(1.0, float(weight.sum()))
        at = anchor.copy()
        now, slope, curve = self._terms(design @ at, target, is_rating)
        value = weight @ now + self._prior(at - anchor)
        for step in range(MOST_STEPS):
            gradient = design.T @ (weight * slope) + self.penalty * (at - anchor)
            if np.abs(gradient).max() <= bound:
                return at, step
            matrix = design.T @ ((weight * curve)[:, None] * design) + np.diag(self.penalty)
            move = np.linalg.solve(matrix, gradient)
            if gradient @ move <= ROUNDING * max(
                1.0, abs(float(value))
            ):  # lower values cannot be told apart: the last step is taken unchecked
                return at - move, step + 1
            length = 1.0
            while True:
                new = at - length * move
                now, slope, curve = self._terms(design @ new, target, is_rating)
                reached = weight @ now + self._prior(new - anchor)
                if reached <= value - 1e-4 * length * (gradient @ move) or length < 1e-9:
                    break
                length /= 2
            if length < 1e-9 and reached >= value:  # rounding: no lower value can be told apart
                return at, step
            at, value = new, reached
        raise ArithmeticError(f"the heads have not converged after {MOST_STEPS} steps: raise the penalty or the tolerance")

    def _prior(self, away: FloatArray) -> float:
        return float(self.penalty @ away**2) / 2

    def _terms(self, predicted: FloatArray, target: FloatArray, is_rating: npt.NDArray[np.bool_]) -> tuple[FloatArray, ...]:
        """Return loss, slope and curvature of each judgement."""
        pairs = _comparison_terms(predicted, target, self.lapse)
        error = predicted - target
        near = np.abs(error) <= HUBER_WIDTH
        loss = np.where(near, error**2 / 2, HUBER_WIDTH * (np.abs(error) - HUBER_WIDTH / 2))
        single = loss, np.clip(error, -HUBER_WIDTH, HUBER_WIDTH), np.where(near, 1.0, HUBER_WIDTH / np.maximum(np.abs(error), HUBER_WIDTH))
        return tuple(np.where(is_rating, one, other) for one, other in zip(single, pairs, strict=True))


def _comparison_terms(difference: FloatArray, target: FloatArray, lapse: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return -t ln p - (1 - t) ln(1 - p), its derivative, and the expected second one (p')^2 / (p (1 - p))."""
    chance = 1.0 / (1.0 + np.exp(-np.clip(difference, -500, 500)))
    curve = chance * (1.0 / (1.0 + np.exp(np.clip(difference, -500, 500))))
    if lapse == 0:
        return np.logaddexp(0.0, difference) - target * difference, chance - target, curve
    seen = lapse + (1 - 2 * lapse) * chance
    unseen = 1.0 - seen
    slope = (1 - 2 * lapse) * curve
    loss = -target * np.log(seen) - (1 - target) * np.log(unseen)
    return loss, (seen - target) * slope / (seen * unseen), slope**2 / (seen * unseen)


def _standardised(rows: FloatArray) -> Standard:
    mean = rows.mean(axis=0)
    spread = rows.std(axis=0)
    is_constant = spread <= 1e-7 * max(float(spread.max(initial=0.0)), 1e-30)
    scale = np.where(is_constant, np.inf, spread) * math.sqrt(rows.shape[1])
    return Standard((rows - mean) / scale, mean, scale)


def _checked(features: npt.ArrayLike, comparisons: Comparisons, num_heads: int, penalty: float, prior_noise: float) -> FloatArray:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(comparisons.items) or not rows.size:
        raise ValueError(f"features must be [{len(comparisons.items)} items, width], got the shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"features must be finite, got {rows[~np.isfinite(rows)][0]} for item {np.argwhere(~np.isfinite(rows))[0][0]}")
    if num_heads < 1:
        raise ValueError(f"num_heads must be at least 1, got {num_heads}")
    if not (penalty > 0 and math.isfinite(penalty)):
        raise ValueError(f"penalty must be above 0 and finite, got {penalty}; without one, answers that never conflict have no best fit")
    if not (prior_noise >= 0 and math.isfinite(prior_noise)):
        raise ValueError(f"prior_noise must be at least 0 and finite, got {prior_noise}")
    return rows


def _check_noise(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share < 0.5:
            raise ValueError(f"{name} must be from 0 to below 0.5, where an answer says nothing, got {share}")
    if sum(share > 0 for share in shares.values()) > 1:
        raise ValueError(f"at most one of {', '.join(shares)} may be above 0, since each accounts for the same noise; got {shares}")
