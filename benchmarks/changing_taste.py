"""Learn from comparisons while what people want changes: `python -m benchmarks.changing_taste`.

The truth is known at every moment, so that it can be said how soon a learner follows a change and what it has forgotten by then. Three
learners see the same answers: one that takes all of them alike, one that weighs old ones less (as in non-stationary DPO, Son et al. 2024,
arXiv:2407.18676), and one that forgets what came before a change that it notices.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.measure import Measurement, mean, write_json
from feedback.aggregation.bradley_terry import sigmoid
from feedback.aggregation.opinions import Comparisons
from feedback.drifting import course_weights
from feedback.learned.change_detection import ChangeDetector
from feedback.learned.heads import fit_heads

FloatArray = npt.NDArray[np.float64]
TasteCourse = Literal["none", "step", "linear", "seasonal"]
PERIODS = {"none": 1.0, "step": 1 / 2, "linear": 1.0, "seasonal": 1 / 2}  # of all answers: the step comes in the middle, seasons twice
LEARNERS = ("all alike", "recent ones more", "since the last change")
NEAR = 0.02  # accuracy by which a learner may lie below what it had, and have recovered


@dataclass(frozen=True)
class ChangingTasteOptions:
    """Follow changing tastes by three learners; print a table; write JSON."""

    courses: tuple[TasteCourse, ...] = ("none", "step", "linear", "seasonal")  # how the taste moves from one to another
    num_seeds: int = 10  # of tastes, responses and answers
    num_answers: int = 3000  # comparisons, one after the other
    refit_every: int = 50  # answers
    num_features: int = 8  # of a response; a taste is a direction among them
    noise: float = 0.1  # share of answers that are turned round, besides what near utilities make uncertain
    half_life: float = 400.0  # answers after which one counts half, for the learner that weighs by age
    json: Path | None = None  # where to write the figures


@dataclass(frozen=True, eq=False)
class Stream:
    """Hold the answers of one study.

    Args:
        features: [2 N, F]; answer i compares responses 2 i and 2 i + 1. target: [N], 1 where the first was preferred.
        tastes: [2, F]. share: [N, 2], how much of each taste was wanted at each answer.
        asked: [M, F], differences of responses by which learners are examined.
    """

    features: FloatArray
    target: FloatArray
    tastes: FloatArray
    share: FloatArray
    asked: FloatArray

    def comparisons(self, number: int, weight: FloatArray) -> Comparisons:
        """Return the first answers with a weight each: [number]."""
        items = tuple(map(str, range(2 * number)))
        first = np.arange(number) * 2
        return Comparisons.of(first, first + 1, self.target[:number], items, weight=weight)

    def accuracy(self, weights: FloatArray, share: FloatArray) -> float:
        """Return how often weights [F] order responses as some share of the tastes [2] does."""
        return float((np.sign(self.asked @ weights) == np.sign(self.asked @ (share @ self.tastes))).mean())


def make_stream(course: TasteCourse, seed: int, options: ChangingTasteOptions) -> Stream:
    """Draw two tastes at right angles, responses, and answers by what is wanted when each is asked."""
    generator, number = np.random.default_rng((seed, 7)), options.num_answers
    tastes = np.linalg.qr(generator.normal(size=(options.num_features, 2)))[0].T * 2.0
    features = generator.normal(size=(2 * number, options.num_features))
    period = max(1, round(PERIODS[course] * number))
    share = course_weights(course, np.arange(number), 2, period) if course != "none" else np.tile([1.0, 0.0], (number, 1))
    wanted = ((features[0::2] - features[1::2]) * (share @ tastes)).sum(axis=1)
    prefers = generator.random(number) < sigmoid(wanted)
    is_wrong = generator.random(number) < options.noise
    asked = generator.normal(size=(2000, options.num_features))
    return Stream(features, (prefers ^ is_wrong).astype(np.float64), tastes, share, asked)


def follow(stream: Stream, learner: str, options: ChangingTasteOptions) -> tuple[FloatArray, FloatArray]:
    """Let a learner see the answers batch by batch; return its weights after each: [batches, F], and how often it was wrong: [N]."""
    detector, begin = ChangeDetector(), 0
    heads: FloatArray = np.zeros(stream.features.shape[1])
    learned, wrong = [], []
    for end in range(options.refit_every, options.num_answers + 1, options.refit_every):
        fresh = slice(end - options.refit_every, end)
        logits = (stream.features[0::2][fresh] - stream.features[1::2][fresh]) @ heads
        errors = np.abs(stream.target[fresh] - sigmoid(logits))
        wrong.append(errors)
        age = np.arange(end)[::-1]
        if learner == "since the last change":
            begin += detector.add(errors)
            weight = (np.arange(end) >= begin).astype(np.float64)
        else:
            weight = 0.5 ** (age / options.half_life) if learner == "recent ones more" else np.ones(end)
        fitted = fit_heads(stream.features[: 2 * end], stream.comparisons(end, weight), 1, seed=0, penalty=1.0)
        heads = fitted.weights[0]
        learned.append(heads)
    return np.array(learned), np.concatenate(wrong)


def run_course(course: TasteCourse, learner: str, seed: int, options: ChangingTasteOptions) -> dict[str, float]:
    """Return the figures of one learner on one stream."""
    stream = make_stream(course, seed, options)
    learned, _ = follow(stream, learner, options)
    now = stream.share[options.refit_every - 1 :: options.refit_every]
    accuracy = np.array([stream.accuracy(weights, share) for weights, share in zip(learned, now, strict=True)])
    figures = {"accuracy": float(accuracy.mean()), "accuracy at the end": float(accuracy[-1])}
    if course == "step":
        change = len(learned) // 2
        before = accuracy[change - 1]
        near = np.flatnonzero(accuracy[change:] >= before - NEAR)
        answers = (near[0] + 1) * options.refit_every if near.size else (len(learned) - change) * options.refit_every
        old = stream.share[0]
        figures |= {
            "answers until recovered": float(answers),
            "share recovered": float(near.size > 0),
            "forgotten": stream.accuracy(learned[change - 1], old) - stream.accuracy(learned[-1], old),
        }
    return figures


def run(options: ChangingTasteOptions) -> dict[str, Measurement]:
    """Run everything, and return the figures, named course/learner/figure."""
    measured: dict[str, list[float]] = {}
    for course in options.courses:
        for learner in LEARNERS:
            for seed in range(options.num_seeds):
                for name, value in run_course(course, learner, seed, options).items():
                    measured.setdefault(f"{course}/{learner}/{name}", []).append(value)
    return {name: mean(values, "answers" if "answers" in name else "share") for name, values in measured.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(ChangingTasteOptions, args=arguments, prog="python -m benchmarks.changing_taste", description=__doc__)
    console, found = Console(), run(options)
    names = ("accuracy", "accuracy at the end", "answers until recovered", "forgotten")
    table = Table(
        title=f"accuracy under what is wanted at the time, {options.num_answers} answers",
        caption=f"mean over {options.num_seeds} seeds ± half of a 95 % interval; recovered: within {NEAR:g} of the accuracy before the "
        f"change, or all answers that were left; forgotten: accuracy under the old taste that is lost\n{describe_machine()}",
    )
    for column in ("taste", "learner", *names):
        table.add_column(column)
    for course in options.courses:
        for learner in LEARNERS:
            cells = [_cell(found.get(f"{course}/{learner}/{name}")) for name in names]
            table.add_row(course, learner, *cells)
    console.print(table)
    if options.json is not None:
        write_json(found, options.json)
    return 0


def _cell(figure: Measurement | None) -> str:
    if figure is None:
        return ""
    half = (figure.high - figure.low) / 2
    return f"{figure.value:.0f} ± {half:.0f}" if figure.unit == "answers" else f"{figure.value:.3f} ± {half:.3f}"


if __name__ == "__main__":
    sys.exit(main())
