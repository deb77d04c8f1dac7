"""Score items and the people who compare them: Bradley and Terry's model where each person follows it only so often.

Chen et al. 2013, "Pairwise Ranking Aggregation in a Crowdsourced Setting" (Crowd-BT), whose online updates are left out: everything is
fitted at once. Besides turning the scale round, a person may answer by the place in which a text was shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from feedback.aggregation.agreement import NORMAL_QUANTILE
from feedback.aggregation.bradley_terry import ItemScores, centred_errors, item_graph, sigmoid
from feedback.aggregation.comparison_graph import ItemGraph, conjugate_gradients, joint_variances
from feedback.aggregation.opinions import Comparisons

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Otherwise = Literal["reversed", "position"]
Inverted = Literal["reverse", "drop"]
MOST_STEPS = 5000


@dataclass(frozen=True)
class AnnotatorPrior:
    """Hold what is believed before anything was said; the first two counts must be above 1, so that nobody is certain.

    Args:
        score_sd: of the items' scores, in log odds.
        followed, otherwise: parameters of a Beta distribution of the reliability g: as if each person had been seen to follow the scores
            `followed` - 1 times, and to do otherwise `otherwise` - 1 times. The first must be larger, or all could be turned round.
        habit_sd: of the habit q of taking what was shown first, in log odds; for "position" only.
    """

    score_sd: float = 2.0
    followed: float = 4.0
    otherwise: float = 2.0
    habit_sd: float = 1.0

    def __post_init__(self) -> None:
        if not (self.score_sd > 0 and self.habit_sd > 0 and np.isfinite(self.score_sd + self.habit_sd)):
            raise ValueError(f"score_sd and habit_sd must be finite and positive, got {self.score_sd} and {self.habit_sd}")
        if not self.followed > self.otherwise > 1:
            raise ValueError(f"followed must be above otherwise, and that above 1, got {self.followed} and {self.otherwise}")


class Place(NamedTuple):
    """Hold a point of the model: scores u [I], reliabilities g [K], and habits q [K] (0 where they play no part)."""

    score: FloatArray
    reliability: FloatArray
    habit: FloatArray


@dataclass(frozen=True, eq=False)
class AnnotatorScores:
    """Hold what comparisons say of I items and of the K people who made them.

    Args:
        items: the scores; their errors count that the reliabilities are uncertain, but not the habits.
        reliability: [K], g_k. reliability_interval: [K, 2], 95 %; NaN without errors.
        influence: [K], how much a comparison tells about the scores: 2 g - 1 where the rest is "reversed" (below 0: it is turned round),
            g where the rest is "position". 0 for who answers blindly, and for who was dropped.
        habit: [K], q_k; above 0 prefers what was shown first.
        is_inverted: [K], the whole interval of the reliability lies below 1/2, and the rest is "reversed".
        history: log posterior after each step of the last fit, constants left out; it never falls.
    """

    items: ItemScores
    annotators: tuple[str, ...]
    reliability: FloatArray
    reliability_interval: FloatArray
    influence: FloatArray
    habit: FloatArray
    is_inverted: npt.NDArray[np.bool_]
    history: tuple[float, ...]


def fit_annotator_aware(
    comparisons: Comparisons,
    prior: AnnotatorPrior | None = None,
    otherwise: Otherwise = "reversed",
    inverted: Inverted = "reverse",
    has_errors: bool = True,
    tolerance: float = 1e-6,
) -> AnnotatorScores:
    """Score items and people by the highest posterior.

    P(first > second | k) = g_k sigmoid(D) + (1 - g_k) o,   D = u_first - u_second
    reversed  o = sigmoid(-D): g = 1 follows the scores, 1/2 is blind, 0 turns the scale round
    position  o = sigmoid(q_k s), s = 1 where the first was shown first, -1 where the second was, 0 where it is not known

    By expectation-maximisation with one Newton step a time (Lange 1995), until no slope is larger than tolerance * (1 + the largest
    weight of an item or a person).

    Args:
        prior: None = `AnnotatorPrior()`.
        inverted: "reverse" uses the answers of who turned the scale round the other way, "drop" fits again without them.
        has_errors: False leaves out errors and intervals, whose time grows with the cube of the largest component's size, and with them the
            finding of who is inverted: it does not go with "drop".
        tolerance: in nats per unit.

    Errors: ValueError for an unknown form or policy, "drop" without errors, or "position" where no order of showing is known; RuntimeError
        where the rule is not met in 5,000 steps.
    """
    prior = prior or AnnotatorPrior()
    _check(comparisons, otherwise, inverted, tolerance)
    if inverted == "drop" and not has_errors:
        raise ValueError("inverted='drop' needs has_errors=True: only the reliability's interval tells who is inverted")
    found = _fit(comparisons, prior, otherwise, has_errors, tolerance)
    if inverted == "drop" and found.is_inverted.any():
        weight = np.where(found.is_inverted[comparisons.annotator], 0.0, comparisons.weight)
        without = _fit(replace(comparisons, weight=weight), prior, otherwise, has_errors, tolerance)
        influence = np.where(found.is_inverted, 0.0, without.influence)
        kept = found.is_inverted
        return replace(
            without,
            reliability=np.where(kept, found.reliability, without.reliability),
            reliability_interval=np.where(kept[:, None], found.reliability_interval, without.reliability_interval),
            influence=influence,
            is_inverted=kept | without.is_inverted,
        )
    return found


def annotator_log_posterior(
    comparisons: Comparisons, place: Place, prior: AnnotatorPrior, otherwise: Otherwise = "reversed"
) -> tuple[float, Place]:
    """Return the log posterior, constants left out, and its gradient by the scores, by the log odds of g, and by the habits."""
    counts = _Counts.at(comparisons, place, otherwise)
    return _value(comparisons, place, prior, otherwise), _gradient(comparisons, counts, place, prior, otherwise)


class _Counts(NamedTuple):
    """Hold how much weight of each comparison follows the scores, or does otherwise, and takes the first or the second: [N] each."""

    follows_first: FloatArray
    follows_second: FloatArray
    other_first: FloatArray
    other_second: FloatArray

    @classmethod
    def at(cls, comparisons: Comparisons, place: Place, otherwise: Otherwise) -> _Counts:
        first, second = comparisons.weight * comparisons.target, comparisons.weight * (1.0 - comparisons.target)
        trust = place.reliability[comparisons.annotator]
        beats, other = _chances(comparisons, place, otherwise)
        for_first = trust * beats / (trust * beats + (1.0 - trust) * other)
        for_second = trust * (1.0 - beats) / (trust * (1.0 - beats) + (1.0 - trust) * (1.0 - other))
        return cls(first * for_first, second * for_second, first * (1.0 - for_first), second * (1.0 - for_second))

    def of_scores(self, otherwise: Otherwise) -> tuple[FloatArray, FloatArray]:
        """Return how much speaks for the first and for the second: what was turned round speaks for the other."""
        if otherwise == "position":
            return self.follows_first, self.follows_second
        return self.follows_first + self.other_second, self.follows_second + self.other_first


def _check(comparisons: Comparisons, otherwise: str, inverted: str, tolerance: float) -> None:
    if otherwise not in get_args(Otherwise):
        raise ValueError(f"otherwise must be one of {', '.join(get_args(Otherwise))}, got {otherwise!r}")
    if inverted not in get_args(Inverted):
        raise ValueError(f"inverted must be one of {', '.join(get_args(Inverted))}, got {inverted!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    if otherwise == "position" and comparisons.num_comparisons and not comparisons.shown_first.any():
        raise ValueError("otherwise='position' needs shown_first, which is 0 everywhere: say what was shown first, or take 'reversed'")


def _fit(comparisons: Comparisons, prior: AnnotatorPrior, otherwise: Otherwise, has_errors: bool, tolerance: float) -> AnnotatorScores:
    graph, num_people = item_graph(comparisons), len(comparisons.annotators)
    likely = (prior.followed - 1.0) / (prior.followed + prior.otherwise - 2.0)
    place = Place(np.zeros(len(comparisons.items)), np.full(num_people, likely), np.zeros(num_people))
    of_people = np.bincount(comparisons.annotator, comparisons.weight, num_people)
    enough = tolerance * (1.0 + max(graph.total(comparisons.weight).max(initial=0.0), of_people.max(initial=0.0)))
    history = []
    for _ in range(MOST_STEPS):
        counts = _Counts.at(comparisons, place, otherwise)
        history.append(_value(comparisons, place, prior, otherwise))
        if max(np.abs(part).max(initial=0.0) for part in _gradient(comparisons, counts, place, prior, otherwise)) <= enough:
            return _described(comparisons, graph, place, prior, otherwise, has_errors, history)
        place = _improved(comparisons, graph, counts, place, prior, otherwise)
    raise RuntimeError(f"the scores have not settled after {MOST_STEPS} steps: raise tolerance from {tolerance}")


def _chances(comparisons: Comparisons, place: Place, otherwise: Otherwise) -> tuple[FloatArray, FloatArray]:
    """Return how probably the first is taken by who follows the scores, and by who does otherwise: [N] each."""
    beats = sigmoid(place.score[comparisons.first] - place.score[comparisons.second])
    if otherwise == "reversed":
        return beats, 1.0 - beats
    return beats, sigmoid(place.habit[comparisons.annotator] * comparisons.shown_first)


def _value(comparisons: Comparisons, place: Place, prior: AnnotatorPrior, otherwise: Otherwise) -> float:
    trust = place.reliability[comparisons.annotator]
    beats, other = _chances(comparisons, place, otherwise)
    takes_first = trust * beats + (1.0 - trust) * other
    takes_second = trust * (1.0 - beats) + (1.0 - trust) * (1.0 - other)
    said = comparisons.weight @ (comparisons.target * np.log(takes_first) + (1.0 - comparisons.target) * np.log(takes_second))
    g = place.reliability
    believed = (prior.followed - 1.0) * np.log(g) + (prior.otherwise - 1.0) * np.log1p(-g)
    squares = (place.score @ place.score) / prior.score_sd**2 + (place.habit @ place.habit) / prior.habit_sd**2
    return float(said + believed.sum() - squares / 2)


def _gradient(comparisons: Comparisons, counts: _Counts, place: Place, prior: AnnotatorPrior, otherwise: Otherwise) -> Place:
    """Return the gradient by Fisher's identity: that of the expected complete log posterior, summed over all of each person's answers."""
    graph, num_people = item_graph(comparisons), len(comparisons.annotators)
    for_first, for_second = counts.of_scores(otherwise)
    beats = sigmoid(place.score[comparisons.first] - place.score[comparisons.second])
    by_score = graph.net(for_first - (for_first + for_second) * beats) - place.score / prior.score_sd**2
    followed = np.bincount(comparisons.annotator, counts.follows_first + counts.follows_second, num_people) + prior.followed - 1.0
    others = np.bincount(comparisons.annotator, counts.other_first + counts.other_second, num_people) + prior.otherwise - 1.0
    by_trust = followed * (1.0 - place.reliability) - others * place.reliability
    return Place(by_score, by_trust, _by_habit(comparisons, counts, place, prior, otherwise))


def _by_habit(comparisons: Comparisons, counts: _Counts, place: Place, prior: AnnotatorPrior, otherwise: Otherwise) -> FloatArray:
    if otherwise == "reversed":
        return np.zeros_like(place.habit)
    other = sigmoid(place.habit[comparisons.annotator] * comparisons.shown_first)
    slope = comparisons.shown_first * (counts.other_first - (counts.other_first + counts.other_second) * other)
    return np.bincount(comparisons.annotator, slope, len(place.habit)) - place.habit / prior.habit_sd**2


def _improved(
    comparisons: Comparisons, graph: ItemGraph, counts: _Counts, place: Place, prior: AnnotatorPrior, otherwise: Otherwise
) -> Place:
    """Return a point where the expected complete log posterior is higher: exact for g, one step for the rest."""
    gradient = _gradient(comparisons, counts, place, prior, otherwise)
    ridge = prior.score_sd**-2
    for_first, for_second = counts.of_scores(otherwise)
    beats = sigmoid(place.score[comparisons.first] - place.score[comparisons.second])
    curvature = (for_first + for_second) * beats * (1.0 - beats)
    direction = conjugate_gradients(
        lambda vector: graph.times(curvature, vector) + ridge * vector, graph.total(curvature) + ridge, gradient.score
    )
    score = _climbed(comparisons, place.score, direction, float(gradient.score @ direction), (for_first, for_second), ridge)
    num_people = len(comparisons.annotators)
    followed = np.bincount(comparisons.annotator, counts.follows_first + counts.follows_second, num_people) + prior.followed - 1.0
    others = np.bincount(comparisons.annotator, counts.other_first + counts.other_second, num_people) + prior.otherwise - 1.0
    steepest = np.bincount(comparisons.annotator, counts.other_first + counts.other_second, num_people) / 4 + prior.habit_sd**-2
    return Place(score, followed / (followed + others), place.habit + gradient.habit / steepest)  # a logistic's curvature is at most 1/4


def _climbed(
    comparisons: Comparisons, score: FloatArray, direction: FloatArray, rise: float, speaks: tuple[FloatArray, FloatArray], ridge: float
) -> FloatArray:
    """Return the scores a Newton step further, halved until it leads up."""

    def height(scores: FloatArray) -> float:
        difference = scores[comparisons.first] - scores[comparisons.second]
        said = speaks[0] @ np.logaddexp(0.0, -difference) + speaks[1] @ np.logaddexp(0.0, difference)
        return float(-said - ridge * (scores @ scores) / 2)

    start, size = height(score), 1.0
    while height(score + size * direction) < start + 1e-4 * size * rise - 1e-13 * abs(start) and size > 1e-10:
        size /= 2
    return score + size * direction


def _described(
    comparisons: Comparisons,
    graph: ItemGraph,
    place: Place,
    prior: AnnotatorPrior,
    otherwise: Otherwise,
    has_errors: bool,
    history: list[float],
) -> AnnotatorScores:
    component = graph.components()
    errors, interval = np.full(len(component), np.nan), np.full((len(place.reliability), 2), np.nan)
    if has_errors:
        of_items, of_people = _variances(comparisons, graph, place, prior, otherwise)
        errors = centred_errors(of_items, component, prior.score_sd)
        odds = np.log(place.reliability) - np.log1p(-place.reliability)
        interval = sigmoid(odds[:, None] + NORMAL_QUANTILE * np.sqrt(of_people)[:, None] * np.array([-1.0, 1.0]))
    is_reversed = otherwise == "reversed"
    items = ItemScores(
        f"annotator-aware, else {otherwise}", comparisons.items, place.score, errors, component, None, history[-1], len(history) - 1
    )
    return AnnotatorScores(
        items,
        comparisons.annotators,
        place.reliability,
        interval,
        2 * place.reliability - 1 if is_reversed else place.reliability,
        place.habit,
        (interval[:, 1] < 0.5) & is_reversed,
        tuple(history),
    )


def _variances(
    comparisons: Comparisons, graph: ItemGraph, place: Place, prior: AnnotatorPrior, otherwise: Otherwise
) -> tuple[FloatArray, FloatArray]:
    """Return the posterior's variances of the scores, [I], and of the reliabilities' log odds, [K]."""
    curvature, mixed, of_trust = _information(comparisons, place, prior, otherwise)
    people = range(len(comparisons.annotators))
    cross = np.stack([graph.net(np.where(comparisons.annotator == person, mixed, 0.0)) for person in people], axis=1)
    return joint_variances(graph, curvature, prior.score_sd**-2, cross, np.diag(of_trust))


def _information(
    comparisons: Comparisons, place: Place, prior: AnnotatorPrior, otherwise: Otherwise
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the second derivatives of the log posterior, signs turned: by D twice, by D and g's log odds, [N]; by those twice, [K]."""
    g = place.reliability[comparisons.annotator]
    beats, other = _chances(comparisons, place, otherwise)
    takes, of_odds, slope = g * beats + (1.0 - g) * other, g * (1.0 - g), beats * (1.0 - beats)
    share = 2 * g - 1 if otherwise == "reversed" else g  # of the slope of `beats` that `takes` has
    first, second = comparisons.weight * comparisons.target, comparisons.weight * (1.0 - comparisons.target)
    pull = first / takes - second / (1.0 - takes)
    bend = first / takes**2 + second / (1.0 - takes) ** 2
    by_difference, by_odds = share * slope, (beats - other) * of_odds
    both = (2.0 if otherwise == "reversed" else 1.0) * slope * of_odds
    curvature = bend * by_difference**2 - pull * share * slope * (1.0 - 2 * beats)
    mixed = bend * by_difference * by_odds - pull * both
    twice = np.bincount(comparisons.annotator, bend * by_odds**2 - pull * by_odds * (1.0 - 2 * g), len(place.reliability))
    believed = (prior.followed + prior.otherwise - 2.0) * place.reliability * (1.0 - place.reliability)
    return curvature, mixed, twice + believed
