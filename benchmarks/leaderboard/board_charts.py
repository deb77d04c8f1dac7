"""Draw what a board shows. One contender stands out in each chart of curves, among all others in grey: ten colours would tell less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.leaderboard.board import Board
from benchmarks.leaderboard.document import mean_of, shown
from benchmarks.leaderboard.run_statistics import Estimate, EstimatedCurve, FloatArray
from benchmarks.leaderboard.svg_chart import Axis, Chart, round_marks

KL = "kl_nats_per_response"
KL_DECIMALS = 3  # below which a difference is that of sums in another order
LEAST_KL = 0.1  # nats that an axis spans


def in_words(name: str) -> str:
    """Return a measurement's name as axes show it."""
    units = {KL: "KL (nats per response)", "share_of_optimum": "share of optimum"}
    return units.get(name, name.replace("_", " "))


def forest(title: str, label: str, estimates: Mapping[str, Estimate], single: Mapping[str, FloatArray] | None = None) -> str:
    """Draw one line for each contender: its figure, its interval, and, where they are given, its runs as small points."""
    names = list(estimates)
    every = np.concatenate(
        [[e.value, e.low, e.high] for e in estimates.values()] + [np.asarray(values) for values in (single or {}).values()]
    )
    across = Axis(label, float(np.nanmin(every)), float(np.nanmax(every)))
    up = Axis("", -len(names), 0, [(-place - 0.5, name) for place, name in enumerate(names)])
    chart = Chart(title, across, up, height=60 + 24 * len(names))
    for place, (name, estimate) in enumerate(estimates.items()):
        for value in (single or {}).get(name, ()):
            chart.dot(float(value), -place - 0.75, "seed", f"{name}: {shown(float(value))}, one seed", 2.5)
        if estimate.has_interval:
            chart.bar((estimate.low, -place - 0.5), (estimate.high, -place - 0.5))
        chart.dot(estimate.value, -place - 0.5, "point", f"{name}: {shown(estimate.value)}")
    return chart.svg()


def among_others(
    curves: Mapping[str, EstimatedCurve], at: FloatArray, labels: tuple[str, str], bounds: tuple[float, float], title: str
) -> list[tuple[str, str]]:
    """Draw a chart for each curve, with its intervals, and all others behind it."""
    found = []
    for name, curve in curves.items():
        chart = Chart(f"{title} of {name}", Axis(labels[0], float(at[0]), float(at[-1])), Axis(labels[1], *bounds))
        for other in curves.values():
            chart.line(at, other.values, "other")
        chart.band(at, curve.lows, curve.highs)
        chart.line(at, curve.values, "curve")
        found.append((name, chart.svg()))
    return found


def bounds_of(curves: Mapping[str, EstimatedCurve]) -> tuple[float, float]:
    """Return the least and the greatest of all that curves show."""
    every = np.concatenate([part for curve in curves.values() for part in (curve.values, curve.lows, curve.highs)])
    return float(np.nanmin(every)), float(np.nanmax(every))


def learning_curves(board: Board, task: str) -> list[tuple[str, str]]:
    """Draw for each contender that learns the score of every seed by tokens, and their mean; the means of others are behind it."""
    names = [name for name in board.on(task) if board.is_trained(name)]
    every = [point for name in board.on(task) for row in board.cells[task, name] for point in row["curve"]]
    bounds = min(point["score"] for point in every), max(point["score"] for point in every)
    across = Axis("tokens of training", 0.0, float(max(point["tokens"] for point in every)), _thousands(every))
    means = {name: _mean_curve([row["curve"] for row in board.cells[task, name]]) for name in names}
    found = []
    for name in names:
        rows = board.cells[task, name]
        chart = Chart(f"Held-out score of {name} on {task} by tokens, every seed", across, Axis("held-out score", *bounds))
        for other in means.values():
            chart.line(*other, "other")
        for row in rows:
            chart.line([point["tokens"] for point in row["curve"]], [point["score"] for point in row["curve"]], "one")
        chart.line(*means[name], "curve")
        found.append((f"{name} ({_seeds(len(rows))})", chart.svg()))
    return found


def frontier(board: Board, task: str) -> tuple[str, list[str], list[str]] | None:
    """Draw what counts on a task against KL, both with intervals; None where fewer than two contenders have a KL.

    Returns: the chart, the names of those that no other is above at the same KL or less, and names without a KL.
    """
    name = board.headline(task)
    points = {
        contender: (board.values(task, contender, KL), board.values(task, contender))
        for contender in board.on(task)
        if len(board.values(task, contender, KL)) and len(board.values(task, contender))
    }
    if len(points) < 2:
        return None
    middle = {contender: (mean_of(kl), mean_of(score)) for contender, (kl, score) in points.items()}
    best = pareto({contender: (round(kl.value, KL_DECIMALS), score.value) for contender, (kl, score) in middle.items()})
    kls, scores = ([e for pair in middle.values() for e in (pair[at].value, pair[at].low, pair[at].high)] for at in (0, 1))
    across = Axis(in_words(KL), float(np.nanmin(kls)), max(float(np.nanmax(kls)), float(np.nanmin(kls)) + LEAST_KL))
    chart = Chart(
        f"{in_words(name)} against KL on {task}",
        across,
        Axis(in_words(name), float(np.nanmin(scores)), float(np.nanmax(scores))),
        height=300,
    )
    front = sorted((middle[contender][0].value, middle[contender][1].value) for contender in best)
    chart.line([kl for kl, _ in front], [score for _, score in front], "front")
    for number, contender in enumerate(board.contenders, 1):
        if contender in middle:
            _draw_point(chart, number, contender, middle[contender], contender in best)
    return chart.svg(), best, [contender for contender in board.on(task) if contender not in points]


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return who has no other with less KL and as high a score, or as little KL and a higher score.

    >>> pareto({"a": (0.0, 0.1), "b": (1.0, 0.5), "c": (2.0, 0.5), "d": (3.0, 0.9)})
    ['a', 'b', 'd']
    """

    def is_beaten(name: str) -> bool:
        kl, score = points[name]
        return any(k <= kl and s >= score and (k, s) != (kl, score) for k, s in points.values())

    return [name for name in points if not is_beaten(name)]


def _draw_point(chart: Chart, number: int, name: str, at: tuple[Estimate, Estimate], is_best: bool) -> None:
    kl, score = at
    if score.has_interval:
        chart.bar((kl.value, score.low), (kl.value, score.high), "thin")
    if kl.has_interval:
        chart.bar((kl.low, score.value), (kl.high, score.value), "thin")
    words = f"{name}: {shown(score.value)} at {shown(kl.value)} nats"
    chart.dot(kl.value, score.value, "best" if is_best else "beaten", words, 8)
    chart.label(kl.value, score.value, str(number), "number best" if is_best else "number", (0, 3.5))


def _mean_curve(curves: Sequence[Sequence[Mapping[str, float]]]) -> tuple[list[float], list[float]]:
    """Return the mean of tokens and of scores at the points that all curves have."""

    def means(name: str) -> list[float]:
        return [float(np.mean([curve[place][name] for curve in curves])) for place in range(min(map(len, curves)))]

    return means("tokens"), means("score")


def _thousands(points: Sequence[Mapping[str, float]]) -> list[tuple[float, str]]:
    """Return marks in thousands, where numbers are so large that they would touch."""
    marks = round_marks(0.0, float(max(point["tokens"] for point in points)) or 1.0, 4)
    return [(value, f"{value / 1000:g}k" if value and marks[-1][0] >= 5000 else words) for value, words in marks]


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"
