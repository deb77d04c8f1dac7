"""Find what units are and who answers without looking: MACE.

Hovy et al. 2013, "Learning Whom to Trust with MACE". The priors' highest posterior is taken by expectation-maximisation, from several
starts; left out are its variational form and its use of units whose class is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feedback.aggregation.label_posterior import FloatArray, LabelPosterior, settled, vote_counts
from feedback.aggregation.opinions import Labels

FIRST_STEPS = 50  # from each start; only from the first and from the highest of them does the search go on


@dataclass(frozen=True, eq=False)
class Mace:
    """Hold what units are, and who looks.

    Args:
        posterior: of the units; its reliability is the probability of giving a unit its class, by looking or by chance.
        competence: [K], theta, the probability of looking.
        habit: [K, C], xi, what is said without looking.
    """

    posterior: LabelPosterior
    competence: FloatArray
    habit: FloatArray


def fit_mace(labels: Labels, smoothing: float = 0.5, restarts: int = 10, seed: int = 0, tolerance: float = 1e-6) -> Mace:
    """Fit by expectation-maximisation of the posterior, from several starts, of which the highest counts.

    P(k says l of a unit of class c) = theta_k [l = c] + (1 - theta_k) xi_k(l),   classes equally probable

    Args:
        smoothing: in answers: believed of each annotator's looking and not looking, and of each class that is said without.
        restarts: how many; the first looks with a probability of 0.8 everywhere, the others with one that is drawn from 0.5 to 1, and their
            habits are drawn.
        seed: of the draws; each annotator's come from the place of their name among all names, so that their order does not matter.
        tolerance: it ends when no probability changes by more.

    Errors: ValueError for numbers that cannot be, or without classes; RuntimeError where 10,000 steps are not enough.
    """
    size = vote_counts(labels).shape[1]
    if not (smoothing > 0 and tolerance > 0 and restarts >= 1):
        raise ValueError(f"smoothing and tolerance must be positive and restarts at least 1, got {smoothing}, {tolerance} and {restarts}")
    generator, people = np.random.default_rng(seed), len(labels.annotators)
    place = np.argsort(np.argsort(np.array(labels.annotators, dtype=str), kind="stable"), kind="stable")
    tried = []
    for number in range(restarts):
        competence, habit = np.full(people, 0.8), np.full((people, size), 1.0 / size)
        if number:
            competence, habit = generator.uniform(0.5, 1.0, people)[place], generator.dirichlet(np.ones(size), people)[place]
            habit = np.maximum(habit, 1e-3) / np.maximum(habit, 1e-3).sum(axis=1, keepdims=True)
        tried.append(_climbed(labels, competence, habit, smoothing, tolerance, FIRST_STEPS))
    highest = max(tried, key=lambda found: found.posterior.history[-1])
    ends = [
        _climbed(labels, start.competence, start.habit, smoothing, tolerance)
        for start in {id(one): one for one in (tried[0], highest)}.values()
    ]
    return max(ends, key=lambda found: found.posterior.history[-1])


def _climbed(
    labels: Labels, competence: FloatArray, habit: FloatArray, smoothing: float, tolerance: float, most_steps: int | None = None
) -> Mace:
    """Go up until no probability changes by more than the tolerance, or `most_steps` were taken."""
    belief = np.full((len(labels.units), len(labels.classes)), np.inf)
    history: list[float] = []
    while True:
        before, (belief, value, looked) = belief, _expected(labels, competence, habit)
        believed = np.log(competence) + np.log1p(-competence)
        history.append(value + smoothing * float(believed.sum() + np.log(habit).sum()))
        if len(history) == most_steps or settled(history, before, belief, tolerance):
            break
        competence, habit = _maximised(labels, looked, smoothing, habit.shape[1])
    chance = competence[:, None] + (1.0 - competence[:, None]) * habit  # [K, C]: of saying a class where it is right
    share = belief.mean(axis=0) if len(belief) else np.full(habit.shape[1], 1.0 / habit.shape[1])
    return Mace(LabelPosterior("mace", labels.classes, belief, chance @ share, tuple(history)), competence, habit)


def _expected(labels: Labels, competence: FloatArray, habit: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Return the probability of each class for each unit, [U, C], the log likelihood, and how probably each answer came of looking, [N]."""
    theta, chance = competence[labels.annotator], habit[labels.annotator, labels.label]
    blind = (1.0 - theta) * chance  # [N]: the answer's probability where it is wrong
    right = theta + blind
    number, size = len(labels.units), len(labels.classes)
    cell = labels.unit * size + labels.label
    logs = np.bincount(cell, np.log(right) - np.log(blind), number * size).reshape(number, size)
    logs = logs + np.bincount(labels.unit, np.log(blind), number)[:, None] - np.log(size)
    highest = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - highest)
    total = weights.sum(axis=1, keepdims=True)
    belief = weights / total
    return belief, float((highest + np.log(total)).sum()), belief[labels.unit, labels.label] * theta / right


def _maximised(labels: Labels, looked: FloatArray, smoothing: float, size: int) -> tuple[FloatArray, FloatArray]:
    people = len(labels.annotators)
    saw = np.bincount(labels.annotator, looked, people) + smoothing
    spoke = np.bincount(labels.annotator * size + labels.label, 1.0 - looked, people * size).reshape(people, size) + smoothing
    missed = spoke.sum(axis=1) - smoothing * (size - 1)
    return saw / (saw + missed), spoke / spoke.sum(axis=1, keepdims=True)
