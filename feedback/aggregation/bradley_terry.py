"""Score items by comparisons: Bradley and Terry's model with a normal prior, which keeps every score finite, and with ties.

Bradley & Terry 1952, "Rank Analysis of Incomplete Block Designs"; Davidson 1970, "On Extending the Bradley-Terry Model to Accommodate
Ties". Left out: effects of the order of showing (see `annotator_aware`), and any posterior but the normal one around its highest point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import NORMAL_QUANTILE
from feedback.aggregation.comparison_graph import ItemGraph, conjugate_gradients, joint_variances
from feedback.aggregation.opinions import TIE, Comparisons

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Ties = Literal["half", "davidson"]
MOST_STEPS = 200  # of Newton's method, which takes five to ten


@dataclass(frozen=True, eq=False)
class ItemScores:
    """Hold what comparisons say of I items.

    Args:
        method: how they were scored.
        score: [I], in units of log odds. Its mean is 0 over the items of each component.
        standard_error: [I], of the score against the mean of its component, as if the posterior were normal (it is not where an item always
            won); NaN for an item that was compared with none.
        component: [I], the lowest number of an item that a chain of comparisons leads to. Scores of two components cannot be compared.
        log_tie_strength: log nu of Davidson's model; None where ties are half wins.
        log_posterior: at the scores, constants left out. num_steps: until the stopping rule was met.
    """

    method: str
    items: tuple[str, ...]
    score: FloatArray
    standard_error: FloatArray
    component: IntArray
    log_tie_strength: float | None
    log_posterior: float
    num_steps: int

    @property
    def num_components(self) -> int:
        """Return in how many parts the comparisons leave the items; 1 = all can be compared."""
        return len(np.unique(self.component))

    @property
    def interval(self) -> FloatArray:
        """Return the ends of the scores' 95 % intervals: [I, 2]."""
        return self.score[:, None] + NORMAL_QUANTILE * self.standard_error[:, None] * np.array([-1.0, 1.0])

    def probability(self, first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
        """Return how probably the first is preferred where one is, by the scores: sigmoid(u_first - u_second).

        Args:
            first, second: numbers of items.

        Returns: NaN where no chain of comparisons leads from one to the other.
        """
        one, other = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
        return np.where(self.component[one] == self.component[other], sigmoid(self.score[one] - self.score[other]), np.nan)


class Slopes(NamedTuple):
    """Hold the log likelihood of N comparisons and its derivatives by the difference D of scores, and by t = log nu.

    Args:
        value: the sum. by_difference, curvature: [N], the first derivative, and the second with its sign turned.
        by_tie, tie_curvature: sums; 0 where there is no nu. mixed: [N], the mixed derivative with its sign turned.
    """

    value: float
    by_difference: FloatArray
    curvature: FloatArray
    by_tie: float
    tie_curvature: float
    mixed: FloatArray


def fit_bradley_terry(
    comparisons: Comparisons, prior_sd: float = 2.0, ties: Ties = "half", has_errors: bool = True, tolerance: float = 1e-8
) -> ItemScores:
    """Score items by the highest posterior, u_i ~ N(0, prior_sd^2), D = u_first - u_second, target t, weight w.

    half      log P = w (t log sigmoid(D) + (1 - t) log sigmoid(-D))
    davidson  P(first), P(second), P(tie) proportional to exp(D / 2), exp(-D / 2), nu;   log nu ~ N(0, prior_sd^2)

    Newton's method with backtracking, its steps by conjugate gradients. It stops where no slope of the log posterior is larger than
    tolerance * (1 + the largest weight that an item has in all); the posterior is concave, so that is its highest point.

    Args:
        prior_sd: in log odds; 2 is about how VADER's words differ for its raters.
        has_errors: False leaves out the standard errors, whose time grows with the cube of the largest component's size.

    Errors: ValueError for a prior_sd or tolerance that is not positive, an unknown way with ties, or a target other than 0, 0.5 and 1
        where ties have a strength; RuntimeError where rounding keeps the rule from being met.
    """
    _check(comparisons, prior_sd, ties, tolerance)
    graph, size = item_graph(comparisons), len(comparisons.items)
    place, slopes, num_steps = _maximise(comparisons, graph, np.zeros(size + (ties == "davidson")), prior_sd, tolerance)
    component = graph.components()
    errors = np.full(size, np.nan)
    if has_errors:
        cross = graph.net(slopes.mixed)[:, None][:, : len(place) - size]
        corner = np.full((cross.shape[1],) * 2, slopes.tie_curvature + prior_sd**-2)
        variance, _ = joint_variances(graph, slopes.curvature, prior_sd**-2, cross, corner)
        errors = centred_errors(variance, component, prior_sd)
    highest = slopes.value - float(place @ place) / (2 * prior_sd**2)
    strength = float(place[-1]) if ties == "davidson" else None
    return ItemScores("bradley-terry", comparisons.items, place[:size], errors, component, strength, highest, num_steps)


def log_posterior(comparisons: Comparisons, place: FloatArray, prior_sd: float) -> tuple[float, FloatArray]:
    """Return the log posterior, constants left out, and its gradient.

    Args:
        place: [I] scores, or [I + 1] with log nu behind them: then ties have Davidson's strength.

    Returns: a number, and [I] or [I + 1].
    """
    return _with_prior(_slopes(comparisons, place), item_graph(comparisons), place, prior_sd)


def item_graph(comparisons: Comparisons) -> ItemGraph:
    """Return the graph of the items; comparisons that count for nothing join nothing."""
    counts = comparisons.weight > 0
    first = comparisons.first if counts.all() else np.where(counts, comparisons.first, comparisons.second)
    return ItemGraph(first, comparisons.second, len(comparisons.items))


def centred_errors(variance: FloatArray, component: IntArray, prior_sd: float) -> FloatArray:
    """Return standard errors against the mean of each component, NaN for an item alone.

    Only the prior knows a component's mean, whose variance is prior_sd^2 / n; it is independent of the differences from it.
    """
    size = np.bincount(component, minlength=len(component))[component]
    return np.where(size > 1, np.sqrt(np.maximum(variance - prior_sd**2 / size, 0.0)), np.nan)


def sigmoid(value: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-value)) without overflow."""
    return np.exp(-np.logaddexp(0.0, -value))


def _check(comparisons: Comparisons, prior_sd: float, ties: str, tolerance: float) -> None:
    if not (np.isfinite(prior_sd) and prior_sd > 0 and tolerance > 0):
        raise ValueError(f"prior_sd must be finite and positive, and tolerance positive, got {prior_sd} and {tolerance}")
    if ties not in get_args(Ties):
        raise ValueError(f"ties must be one of {', '.join(get_args(Ties))}, got {ties!r}")
    if ties == "davidson" and (odd := np.flatnonzero(~np.isin(comparisons.target, (0.0, TIE, 1.0)))).size:
        raise ValueError(
            f"ties='davidson' needs targets of 0, {TIE} or 1, got {comparisons.target[odd[0]]} in comparison {odd[0]}: take ties='half'"
        )


def _maximise(
    comparisons: Comparisons, graph: ItemGraph, place: FloatArray, prior_sd: float, tolerance: float
) -> tuple[FloatArray, Slopes, int]:
    """Return the highest point of the log posterior, the slopes there, and how many steps led to it."""
    slopes = _slopes(comparisons, place)
    enough = tolerance * (1.0 + max(graph.total(comparisons.weight), default=0.0))
    for step in range(MOST_STEPS):
        value, gradient = _with_prior(slopes, graph, place, prior_sd)
        if np.abs(gradient).max(initial=0.0) <= enough:
            return place, slopes, step
        direction = _newton_direction(slopes, graph, gradient, prior_sd)
        rise, size = float(gradient @ direction), 1.0
        while True:
            trial = _slopes(comparisons, place + size * direction)
            reached = _with_prior(trial, graph, place + size * direction, prior_sd)[0]
            if reached >= value + 1e-4 * size * rise - 1e-13 * abs(value) or size < 1e-10:
                break
            size /= 2
        place, slopes = place + size * direction, trial
    raise RuntimeError(f"the scores have not settled after {MOST_STEPS} steps: raise tolerance from {tolerance}, or lower the weights")


def _newton_direction(slopes: Slopes, graph: ItemGraph, gradient: FloatArray, prior_sd: float) -> FloatArray:
    size, ridge = graph.num_items, prior_sd**-2
    diagonal = np.append(graph.total(slopes.curvature), slopes.tie_curvature)[: len(gradient)] + ridge

    def alone(vector: FloatArray) -> FloatArray:
        return graph.times(slopes.curvature, vector) + ridge * vector

    def with_tie(vector: FloatArray) -> FloatArray:
        items, tie = vector[:size], vector[size]
        mixed = slopes.mixed @ (items[graph.first] - items[graph.second])
        return np.append(alone(items) + graph.net(slopes.mixed) * tie, mixed + (slopes.tie_curvature + ridge) * tie)

    times: Callable[[FloatArray], FloatArray] = alone if len(gradient) == size else with_tie
    return conjugate_gradients(times, diagonal, gradient)


def _with_prior(slopes: Slopes, graph: ItemGraph, place: FloatArray, prior_sd: float) -> tuple[float, FloatArray]:
    gradient = np.append(graph.net(slopes.by_difference), slopes.by_tie)[: len(place)] - place / prior_sd**2
    return slopes.value - float(place @ place) / (2 * prior_sd**2), gradient


def _slopes(comparisons: Comparisons, place: FloatArray) -> Slopes:
    target, weight = comparisons.target, comparisons.weight
    difference = place[comparisons.first] - place[comparisons.second]
    if len(place) == len(comparisons.items):
        beats = sigmoid(difference)
        value = -weight @ (target * np.logaddexp(0.0, -difference) + (1.0 - target) * np.logaddexp(0.0, difference))
        return Slopes(float(value), weight * (target - beats), weight * beats * (1.0 - beats), 0.0, 0.0, np.zeros_like(weight))
    tie, is_tie = place[-1], target == TIE
    total = np.logaddexp(np.logaddexp(difference / 2, -difference / 2), tie)
    wins, loses, ties = np.exp(difference / 2 - total), np.exp(-difference / 2 - total), np.exp(tie - total)
    lead = wins - loses
    return Slopes(
        float(weight @ ((target - 0.5) * difference + is_tie * tie - total)),
        weight * (target - 0.5 - lead / 2),
        weight * (wins + loses - lead**2) / 4,
        float(weight @ (is_tie - ties)),
        float(weight @ (ties * (1.0 - ties))),
        -weight * lead * ties / 2,
    )
