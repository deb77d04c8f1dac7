"""Show over-optimisation: a table of where the true score was highest and how far it fell, and the curves of both scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.gao_curves import GaoCurve
from benchmarks.measure import Measurement, mean
from benchmarks.overoptimisation.exact_world import KL_WEIGHTS
from benchmarks.overoptimisation.points import UNIT, Curve, Key, bands, by_weight, judge
from benchmarks.overoptimisation.proxies import WAYS

Curves = Mapping[Key, Curve]
COLOURS = dict(zip(WAYS, ("tab:red", "tab:orange", "tab:green", "tab:blue"), strict=True))
WEIGHTS = (0.0, 0.1, 0.3)  # deviations of the learned score per nat, by which n is chosen
OPTIMUM_WEIGHTS = (0.05, 0.18, 0.7)  # of the policies that are optimal for one
BEST_OF_N = ("exact best of n", "pool best of n")


def tables(found: Curves) -> Iterator[Table]:
    """Return a table for each part."""
    for part in dict.fromkeys(key[0] for key in found):
        own = {key: curve for key, curve in found.items() if key[0] == part}
        seeds = {curve.num_seeds for curve in own.values()}
        table = Table(
            title=f"{part}: true score in {UNIT} of the reference policy's responses",
            caption=f"mean over {' or '.join(map(str, sorted(seeds)))} seeds ± half of a 95 % interval; fall: from the peak to the end; "
            "* the true score falls while the learned one rises, both by more than chance gives",
        )
        for column in ("noise", "way", "KL weight", "peak", "at nats", "end", "at nats", "learned, end", "fall", "fitted peak"):
            table.add_column(column, justify="left" if column == "way" else "right")
        for (_, noise, way, weight), curve in sorted(own.items(), key=lambda item: (item[0][1], item[0][3], list(WAYS).index(item[0][2]))):
            verdict = judge(curve)
            numbers = (verdict.peak, verdict.kl_at_peak, verdict.end, verdict.kl_at_end, verdict.proxy_at_end, verdict.fall)
            cells = [_short(number) for number in numbers]
            cells[-1] += " *" if verdict.turns_down else "  "
            table.add_row(f"{noise:g}", way, f"{weight:g}", *cells, _fitted_peak(verdict.fitted, float(curve.kl.max())))
        yield table


def show_weights(found: Curves) -> Table:
    """Return what a KL weight holds back: the best of n with n chosen by it, and the policy that is optimal for it."""
    table = Table(
        title=f"what a KL weight holds back: true score in {UNIT}, and nats",
        caption="weights are deviations of the learned score per nat; best of n: n is chosen by the learned score less weight times KL",
    )
    for column in ("part", "noise", "way", "at the first weight", "at the second", "at the third"):
        table.add_column(column)
    for (part, noise, way, _), curve in found.items():
        chosen = _at_weights(part, curve)
        if chosen:
            cells = (f"{weight:g}: {_short(gold)} at {kl.value:.2f}" for weight, (gold, kl) in chosen.items())
            table.add_row(part, f"{noise:g}", way, *cells)
    return table


def _at_weights(part: str, curve: Curve) -> dict[float, tuple[Measurement, Measurement]]:
    """Return true score and distance for some KL weights; nothing for what is trained, whose weights have curves of their own."""
    if part in BEST_OF_N:
        return by_weight(curve, WEIGHTS)
    if part != "exact optimum":
        return {}
    steps = [(weight, KL_WEIGHTS.index(weight)) for weight in OPTIMUM_WEIGHTS]
    return {weight: (mean(curve.gold[:, step], UNIT), mean(curve.kl[:, step], "nats")) for weight, step in steps}


def figures(found: Curves) -> dict[str, Measurement]:
    """Return all figures, named part/noise/way/KL weight/figure."""
    named = {}
    for (part, noise, way, weight), curve in found.items():
        verdict = judge(curve)
        place = f"{part}/{noise:g}/{way}/{weight:g}"
        for name in ("peak", "kl_at_peak", "end", "kl_at_end", "proxy_at_end", "fall", "rise"):
            named[f"{place}/{name}"] = getattr(verdict, name)
        for chosen, (gold, kl) in _at_weights(part, curve).items():
            named |= {f"{place}/at weight {chosen:g}/gold": gold, f"{place}/at weight {chosen:g}/kl": kl}
    return named


def draw_curves(found: Curves, path: Path) -> Path:
    """Draw true and learned score over the distance, one row a part, one column a noise, as a PNG; return its path."""
    parts = list(dict.fromkeys(key[0] for key in found))
    noises = sorted({key[1] for key in found})
    figure = Figure(figsize=(4.6 * len(noises), 3.6 * len(parts) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(parts), len(noises), squeeze=False, sharex="row", sharey="row")
    for row, part in zip(grid, parts, strict=True):
        for axes, noise in zip(row, noises, strict=True):
            own = {key: curve for key, curve in found.items() if key[:2] == (part, noise)}
            _draw_panel(axes, own)
            axes.set_title(f"{part}, {noise:.0%} wrong answers" + ("" if own else ": not run"), fontsize=10)
            axes.set_xlabel("square root of KL in nats")
            axes.grid(alpha=0.3)
        row[0].set_ylabel(f"score, {UNIT}")
        row[-1].legend(fontsize=7)
    seeds = " or ".join(str(number) for number in sorted({curve.num_seeds for curve in found.values()}))
    figure.suptitle(f"solid: true score, dashed: learned score, shade: 95 % interval of the true one (t over {seeds} seeds)", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _fitted_peak(fitted: GaoCurve | None, farthest: float) -> str:
    """Say where a fitted curve is highest, unless that is farther than anything that was measured."""
    if fitted is None or fitted.peak is None or fitted.peak_kl is None:
        return "none"
    return f"{fitted.peak:.2f} at {fitted.peak_kl:.1f} nats" if fitted.peak_kl <= farthest else "farther"


def _draw_panel(axes: Any, own: Curves) -> None:
    axes.axhline(0, color="black", linewidth=0.6)
    for (_, _, way, weight), curve in own.items():
        distance = np.sqrt(np.maximum(curve.kl.mean(axis=0), 0.0))
        middle, low, high = bands(curve, "gold")
        is_light = weight > 0  # thin lines for a penalty, so that both can be told apart
        label = way + (f", KL weight {weight:g}" if len({key[3] for key in own}) > 1 else "")
        axes.plot(distance, middle, color=COLOURS[way], linewidth=1.0 if is_light else 2.0, label=label)
        axes.fill_between(distance, low, high, color=COLOURS[way], alpha=0.12, linewidth=0)
        axes.plot(distance, curve.proxy.mean(axis=0), "--", color=COLOURS[way], linewidth=0.7 if is_light else 1.2)


def _short(number: Measurement) -> str:
    return f"{number.value:.2f} ± {(number.high - number.low) / 2:.2f}"
