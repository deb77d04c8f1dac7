"""Summarise learning curves of `benchmarks.asking`: areas, answers needed, differences to asking at random, tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.table import Table

from benchmarks.measure import Measurement, mean

FloatArray = npt.NDArray[np.float64]
COLOURS = {
    "random": "black",
    "information gain": "tab:blue",
    "ensemble variance": "tab:cyan",
    "closeness": "tab:red",
    "diversity": "tab:green",
    "gain and diversity": "tab:purple",
}
SHOWN = {  # in the tables, and how it is headed there
    "area": "area",
    "area less random's": "area - random",
    "accuracy less random's": "end - random",
    "answers needed": "needed",
    "wrong answers": "wrong",
    "gap": "gap",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """Hold what one way of asking gave over S seeds at B budgets.

    Args:
        accuracy, new: [S, B], on pairs kept for evaluation, and on pairs of items that nobody was asked about.
        wrong, ties: [S], shares of all answers that were against the truth, and of those whose items are equal or were called so.
        gap: [S], mean distance in worth of what was asked about, in deviations of the items' worth.
    """

    world: str
    annotator: str
    way: str
    budgets: tuple[int, ...]
    accuracy: FloatArray
    new: FloatArray
    wrong: FloatArray
    ties: FloatArray
    gap: FloatArray


def area(budgets: Sequence[int], accuracy: FloatArray) -> FloatArray:
    """Return the mean of curves [S, B] over the logarithm of the budget, by trapezia: [S]."""
    place = np.log2(np.asarray(budgets, dtype=np.float64))
    return np.asarray((np.diff(place) * (accuracy[:, 1:] + accuracy[:, :-1]) / 2).sum(axis=1) / (place[-1] - place[0]))


def answers_needed(budgets: Sequence[int], accuracy: FloatArray, goal: float) -> FloatArray:
    """Return after how many answers curves [S, B] first reach an accuracy, between budgets along the logarithm: [S].

    The largest budget where a curve never does; the smallest where it begins there.
    """
    place, needed = np.log2(np.asarray(budgets, dtype=np.float64)), []
    for curve in accuracy:
        reached = np.flatnonzero(curve >= goal)
        if not reached.size or reached[0] == 0:
            needed.append(place[0] if reached.size else place[-1])
            continue
        before, after = reached[0] - 1, reached[0]
        share = (goal - curve[before]) / (curve[after] - curve[before])
        needed.append(place[before] + share * (place[after] - place[before]))
    return np.asarray(2.0 ** np.array(needed))


def summary(curve: Curve, chance: Curve) -> dict[str, Measurement]:
    """Return the figures of one curve; seed i of it and of asking at random belong together."""
    goal = float(chance.accuracy[:, -2].mean())
    own, others = area(curve.budgets, curve.accuracy), area(chance.budgets, chance.accuracy)
    needed = answers_needed(curve.budgets, curve.accuracy, goal)
    found = {
        "area": mean(own, "share"),
        "area less random's": mean(own - others, "share"),
        "area on new items less random's": mean(np.asarray(area(curve.budgets, curve.new) - area(chance.budgets, chance.new)), "share"),
        "accuracy less random's": mean(curve.accuracy[:, -1] - chance.accuracy[:, -1], "share"),
        "answers needed": mean(needed, "answers"),
        "answers needed less random's": mean(needed - answers_needed(chance.budgets, chance.accuracy, goal), "answers"),
        "share that got there": mean(np.asarray(np.any(curve.accuracy >= goal, axis=1), dtype=np.float64), "share"),
        "wrong answers": mean(curve.wrong, "share"),
        "wrong answers less random's": mean(curve.wrong - chance.wrong, "share"),
        "ties": mean(curve.ties, "share"),
        "gap": mean(curve.gap, "deviations"),
    }
    for place, budget in enumerate(curve.budgets):
        found[f"accuracy at {budget}"] = mean(curve.accuracy[:, place], "share")
        found[f"accuracy at {budget} less random's"] = mean(curve.accuracy[:, place] - chance.accuracy[:, place], "share")
        found[f"accuracy on new items at {budget}"] = mean(curve.new[:, place], "share")
    return found


def figures(found: Sequence[Curve]) -> dict[str, Measurement]:
    """Return all figures, named world/annotator/way/figure."""
    named = {}
    for curve in found:
        for name, figure in summary(curve, _chance(found, curve)).items():
            named[f"{curve.world}/{curve.annotator}/{curve.way}/{name}"] = figure
    return named


def tables(found: Sequence[Curve]) -> Iterator[Table]:
    """Return a table for each world."""
    for world in dict.fromkeys(curve.world for curve in found):
        own = [curve for curve in found if curve.world == world]
        budgets = own[0].budgets
        table = Table(
            title=f"{world}: accuracy on pairs kept for evaluation, {budgets[0]} to {budgets[-1]} answers",
            caption=f"mean over {len(own[0].accuracy)} seeds ± half of a 95 % interval (t). area: mean over the logarithm of the budget. "
            f"end: accuracy after {budgets[-1]} answers. needed: answers to where asking at random is after {budgets[-2]} on average, "
            f"{budgets[-1]} where it is never reached. wrong: share of answers against the truth. gap: mean distance in worth of what was "
            "asked about, in deviations",
        )
        for column in ("annotator", "asks by", *SHOWN.values()):
            table.add_column(column)
        for curve in own:
            numbers = summary(curve, _chance(found, curve))
            is_chance = curve.way == "random"
            cells = ["" if is_chance and "random" in name else _cell(numbers[name]) for name in SHOWN]
            table.add_row(curve.annotator, curve.way, *cells, end_section=curve is own[-1])
        yield table


def draw_curves(found: Sequence[Curve], path: Path) -> Path:
    """Draw accuracy over answers, a row a world, a column an annotator, as a PNG; return its path."""
    worlds, annotators = (list(dict.fromkeys(getattr(curve, name) for curve in found)) for name in ("world", "annotator"))
    figure = Figure(figsize=(4.6 * len(annotators), 3.6 * len(worlds) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(worlds), len(annotators), squeeze=False, sharex=True, sharey="row")
    for row, world in zip(grid, worlds, strict=True):
        for axes, annotator in zip(row, annotators, strict=True):
            own = [curve for curve in found if (curve.world, curve.annotator) == (world, annotator)]
            for curve in own:
                numbers = [mean(curve.accuracy[:, place], "share") for place in range(len(curve.budgets))]
                axes.plot(curve.budgets, [each.value for each in numbers], color=COLOURS[curve.way], label=curve.way)
                low, high = [each.low for each in numbers], [each.high for each in numbers]
                axes.fill_between(curve.budgets, low, high, color=COLOURS[curve.way], alpha=0.1, linewidth=0)
            axes.set_xscale("log", base=2)
            axes.set_xticks(own[0].budgets, labels=[str(budget) for budget in own[0].budgets])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(f"{world}, {annotator}, {len(own[0].accuracy)} seeds", fontsize=10)
            axes.set_xlabel("answers")
            axes.grid(alpha=0.3)
        row[0].set_ylabel("accuracy on kept pairs")
    grid[0][-1].legend(fontsize=7)
    figure.suptitle("mean accuracy against the truth; shade: 95 % interval (t over seeds)", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _chance(found: Sequence[Curve], curve: Curve) -> Curve:
    """Return the curve of asking at random beside which one stands."""
    return next(each for each in found if (each.world, each.annotator, each.way) == (curve.world, curve.annotator, "random"))


def _cell(figure: Measurement) -> str:
    half = (figure.high - figure.low) / 2
    return f"{figure.value:.0f} ± {half:.0f}" if figure.unit == "answers" else f"{figure.value:.3f} ± {half:.3f}"
