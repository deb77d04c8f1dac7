"""Measure what choosing the questions is worth: accuracy per answer, at random and by choice: `python -m benchmarks.asking`.

Simulated annotators compare pairs, batch by batch; a linear head is fitted to their answers and examined, without noise, on pairs that
were kept from asking. Which pairs are asked next is decided by lot, by what an ensemble disagrees on (Houlsby et al. 2011, BALD; Lee et
al. 2021, B-Pref), by how near to a tie it holds them, or by how far apart they lie (Gonzalez 1985). Left out: fine-tuning of the trunk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console

from benchmarks.asking_curves import Curve, draw_curves, figures, tables
from benchmarks.asking_worlds import World, linear_world, text_world
from benchmarks.machine import describe_machine
from benchmarks.measure import write_json
from feedback.aggregation.opinions import TIE, Comparisons
from feedback.learned.heads import fit_heads
from feedback.selection.candidate_pairs import kept_for_evaluation
from feedback.selection.informativeness import closeness, ensemble_variance, information_gain
from feedback.selection.question_choice import choose_pairs
from feedback.simulated import preset

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Place = Literal["linear", "text"]
Way = Literal["information gain", "ensemble variance", "closeness", "diversity", "gain and diversity"]
WORTH = {
    "information gain": information_gain,
    "ensemble variance": ensemble_variance,
    "closeness": closeness,
    "gain and diversity": information_gain,
}
SPREAD = ("diversity", "gain and diversity")
PENALTY = 0.3  # on the squares of a head's weights
ROUGH = 1e-4  # tolerance of the heads that choose: far below what they disagree by


@dataclass(frozen=True)
class AskingOptions:
    """Ask at random and by choice under equal budgets; print tables; draw curves; write JSON."""

    worlds: tuple[Place, ...] = ("linear", "text")  # items of known linear worth; responses of the tiny language model
    annotators: tuple[str, ...] = ("oracle", "vader-human")  # presets of simulated annotators
    ways: tuple[Way, ...] = ("information gain", "ensemble variance", "closeness", "diversity", "gain and diversity")  # beside chance
    budgets: tuple[int, ...] = (20, 40, 80, 160, 320, 640)  # answers after which is examined
    batch: int = 20  # questions that are chosen at a time, at least; the first ones by lot, the same for every way
    growth: float = 0.25  # of a batch: a share of what has been asked, so that fits are few; 0 = all batches alike
    linear_seeds: int = 20  # of items, tastes, questions and answers
    text_seeds: int = 5  # of questions and answers
    num_heads: int = 5  # members of the ensemble that chooses
    evaluation_share: float = 0.2  # of all pairs, kept from asking
    new_tokens: int = 12  # of a response, at most
    folder: Path = Path("runs/asking")  # keeps the responses and the picture
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        for name in ("linear_seeds", "text_seeds"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, so that there are intervals, got {getattr(self, name)}")
        if self.batch < 1 or not self.budgets or list(self.budgets) != sorted({*self.budgets} - {0}) or self.budgets[0] < self.batch:
            raise ValueError(f"budgets must rise, from at least a batch of {self.batch} questions, got {self.budgets}")
        if not 0 <= self.growth < 1:
            raise ValueError(f"growth must be at least 0 and below 1, got {self.growth}")
        if len(self.budgets) < 2:
            raise ValueError(f"a curve needs at least two budgets, got {self.budgets}")
        if not 0 < self.evaluation_share < 1:
            raise ValueError(f"evaluation_share must be above 0 and below 1, got {self.evaluation_share}")
        if self.num_heads < 2:
            raise ValueError(f"num_heads must be at least 2, since one head never disagrees, got {self.num_heads}")


@dataclass(frozen=True, eq=False)
class Asked:
    """Hold what was asked in one run, and how well it was learned from.

    Args:
        chosen: [largest budget], numbers of pairs in the order in which they were asked. kept: numbers of those kept for evaluation.
        target: [all pairs], what is answered if asked; NaN = nothing.
        accuracy, new: [budgets], on pairs kept for evaluation and on pairs of items that nobody was asked about.
    """

    chosen: IntArray
    kept: IntArray
    target: FloatArray
    accuracy: FloatArray
    new: FloatArray


def answers_of(world: World, annotator: str, seed: int) -> FloatArray:
    """Return what an annotator says of each pair, asked or not: [N]. Noise is keyed, so that an answer is the same whoever asks."""
    who, pairs = preset(annotator, seed), world.known.pairs
    utilities = who.points * np.tanh(world.known.gold / 2)  # the whole scale, and the order and the ties as they were
    sides = np.where(np.random.default_rng((seed, 12)).random(len(pairs)) < 0.5, 1, -1)
    return who.compare(utilities[pairs], pairs, shown_first=sides).value


def ask(world: World, way: str, annotator: str, seed: int, options: AskingOptions) -> Asked:
    """Ask up to the largest budget, and examine at each.

    Errors: ValueError where there are not so many pairs to ask about.
    """
    known, target = world.known, answers_of(world, annotator, seed)
    kept = np.flatnonzero(kept_for_evaluation(known.pairs, options.evaluation_share, seed))
    if len(known.pairs) - len(kept) < options.budgets[-1]:
        raise ValueError(f"only {len(known.pairs) - len(kept)} pairs can be asked about, not {options.budgets[-1]}: give lower budgets")
    chosen: IntArray = np.zeros(0, dtype=np.int64)
    measured = []
    for budget in options.budgets:
        while len(chosen) < budget:
            number = min(max(options.batch, int(options.growth * len(chosen))), budget - len(chosen))
            chosen = np.append(chosen, _next(world, way, chosen, target, number, seed, options))
        head = fit_heads(known.features, _comparisons(world, chosen, target), 1, seed, PENALTY)
        of_kept = known.accuracy(head.scores(known.features)[0], kept)
        measured.append((of_kept, world.new.accuracy(head.scores(world.new.features)[0])))
    return Asked(chosen, kept, target, *np.array(measured).T)


def run_curve(place: Place, annotator: str, way: str, worlds: Sequence[World], options: AskingOptions) -> Curve:
    """Run one way of asking for all seeds."""
    accuracy, new, wrong, ties, gap = [], [], [], [], []
    for seed, world in enumerate(worlds):
        asked = ask(world, way, annotator, seed, options)
        truth, said = world.known.gap[asked.chosen], asked.target[asked.chosen] - TIE
        accuracy.append(asked.accuracy)
        new.append(asked.new)
        wrong.append(float((truth * said < 0).mean()))
        ties.append(float(((truth == 0) | (said == 0)).mean()))
        gap.append(float(np.abs(truth).mean()))
    return Curve(place, annotator, way, options.budgets, *map(np.array, (accuracy, new, wrong, ties, gap)))


def run(options: AskingOptions) -> Iterator[Curve]:
    """Run everything, and give each curve when it is done."""
    for place in options.worlds:
        if place == "linear":
            worlds = [linear_world(seed) for seed in range(options.linear_seeds)]
        else:
            worlds = [text_world(options.folder, options.new_tokens)] * options.text_seeds
        for annotator in options.annotators:
            for way in ("random", *options.ways):
                yield run_curve(place, annotator, way, worlds, options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(AskingOptions, args=arguments, prog="python -m benchmarks.asking", description=__doc__)
    console, began = Console(), time.monotonic()
    found = []
    for curve in run(options):
        found.append(curve)
        print(f"{curve.world}, {curve.annotator}, {curve.way}: {(time.monotonic() - began) / 60:.1f} min", file=sys.stderr)
    for table in tables(found):
        console.print(table)
    picture = draw_curves(found, options.folder / "asking.png")
    console.print(f"{picture}; {describe_machine()}; {(time.monotonic() - began) / 60:.1f} minutes", highlight=False, soft_wrap=True)
    if options.json is not None:
        write_json(figures(found), options.json)
    return 0


def _next(world: World, way: str, chosen: IntArray, target: FloatArray, number: int, seed: int, options: AskingOptions) -> IntArray:
    """Return the numbers of the pairs that are asked next; without answers to learn from, by lot."""
    known, is_first = world.known, not len(chosen)
    rest = np.setdiff1d(np.arange(len(known.pairs)), chosen)
    worth = None
    if way in WORTH and not is_first:
        comparisons = _comparisons(world, chosen, target)
        heads = fit_heads(known.features, comparisons, options.num_heads, seed, PENALTY, prior_noise=1.0, tolerance=ROUGH)
        worth = WORTH[way](heads.scores(known.features), known.pairs[rest])
    features = known.features if way in SPREAD and not is_first else None
    choice = choose_pairs(known.pairs[rest], number, worth, features, options.evaluation_share, seed=seed)
    return rest[choice.chosen]


def _comparisons(world: World, chosen: IntArray, target: FloatArray) -> Comparisons:
    """Return the answers to the chosen pairs; one that was not given counts nothing."""
    first, second = world.known.pairs[chosen].T
    said = target[chosen]
    items = tuple(map(str, range(len(world.known.gold))))
    return Comparisons.of(first, second, np.nan_to_num(said, nan=TIE), items, weight=(~np.isnan(said)).astype(np.float64))


if __name__ == "__main__":
    sys.exit(main())
