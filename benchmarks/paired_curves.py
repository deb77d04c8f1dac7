"""Draw the learning curves of both sides of a comparison, every seed visible, and their differences seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.intervals import mean_interval
from benchmarks.paired_runs import Point, SideRun

COLOURS = {"A": "tab:blue", "B": "tab:orange"}
PANELS: tuple[tuple[str, Callable[[Point], float | None]], ...] = (
    ("score", lambda point: point.score),
    ("KL to the reference (nats a response)", lambda point: point.kl),
)


def draw_paired_curves(
    path: Path, titles: Mapping[str, str], pairs: Mapping[int, tuple[SideRun, SideRun]], num_updates: int, where: str = "held-out"
) -> Path:
    """Draw a PNG and return its path; the arguments are those of `paired_figure`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paired_figure(titles, pairs, num_updates, where).savefig(path, dpi=120)
    return path


def paired_figure(
    titles: Mapping[str, str], pairs: Mapping[int, tuple[SideRun, SideRun]], num_updates: int, where: str = "held-out"
) -> Figure:
    """Draw score and KL of both sides over updates, and the difference in score of each pair.

    Args:
        titles: of "A" and "B".
        pairs: seed: the runs of A and B. One seed has no interval.
        num_updates: how far a side that was not trained is drawn, as a level line.
        where: what the score was measured on.
    """
    figure = Figure(figsize=(14, 5), layout="constrained")
    FigureCanvasAgg(figure)
    *panels, differences = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    for axes, (label, value) in zip(panels, PANELS, strict=True):
        for place, name in enumerate(COLOURS):
            _draw_side(axes, name, [pair[place] for pair in pairs.values()], value, num_updates)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("updates done")
        axes.set_ylabel(f"{where} {label}")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    _draw_differences(differences, {seed: a.last.score - b.last.score for seed, (a, b) in pairs.items()})
    differences.set_ylabel(f"A - B in {where} score, at the end")
    about = "\n".join(f"{name}: {titles[name]}" for name in COLOURS)
    figure.suptitle(
        f"{about}\n{len(pairs)} seeds; thin = one seed, thick = mean, shade and bar = 95 % interval (t over seeds)", fontsize=10
    )
    return figure


def _draw_side(axes: Any, name: str, runs: list[SideRun], value: Callable[[Point], float | None], num_updates: int) -> None:
    curves = [[value(point) for point in run.curve] for run in runs]
    if any(number is None for curve in curves for number in curve):
        return  # this side has no reference
    updates = [point.update for point in runs[0].curve]
    if len(updates) == 1:
        updates, curves = [0, num_updates], [curve * 2 for curve in curves]
    for curve in curves:
        axes.plot(updates, curve, color=COLOURS[name], alpha=0.45, linewidth=0.8, marker=".", markersize=3)
    columns = [list(column) for column in zip(*curves, strict=True)]
    means = [sum(column) / len(column) for column in columns]
    axes.plot(updates, means, color=COLOURS[name], linewidth=2.5, label=f"{name} (mean of {len(runs)} seeds)")
    if len(runs) > 1:
        intervals = [mean_interval(column) for column in columns]
        axes.fill_between(updates, [i.low for i in intervals], [i.high for i in intervals], color=COLOURS[name], alpha=0.15, linewidth=0)


def _draw_differences(axes: Any, differences: Mapping[int, float]) -> None:
    places = list(range(len(differences)))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.plot(places, list(differences.values()), "o", color="tab:green", label="one seed")
    if len(differences) > 1:
        interval = mean_interval(list(differences.values()))
        bar = [[interval.mean - interval.low], [interval.high - interval.mean]]
        axes.errorbar([len(places)], [interval.mean], bar, fmt="D", color="black", capsize=5, label="mean and 95 % interval")
        places.append(len(places))
    axes.set_xticks(places, [*map(str, differences), "mean"][: len(places)])
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xlabel("seed")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize="small")
