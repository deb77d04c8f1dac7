"""Write the sections of a report that are about all tasks together."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from benchmarks.leaderboard.board import Board
from benchmarks.leaderboard.board_charts import among_others, bounds_of, forest, in_words
from benchmarks.leaderboard.budgets import BUDGETS, curves_by_budget, efficiency
from benchmarks.leaderboard.comparisons import Differences, compare_over_tasks, leading, listed, ranks, verdicts
from benchmarks.leaderboard.document import Block, Charts, Folded, Section, Table, Words, estimate_shown, shown
from benchmarks.leaderboard.run_statistics import Estimate, estimate_iqm, performance_profile, probability_of_improvement

FEW = 5  # seeds, below which intervals of the bootstrap are much too narrow
COVERED = (
    "In simulated experiments on six tasks, 95 % intervals of an interquartile mean held the truth in 84 % of cases with 3 seeds, in 90 % "
    "with 5 and in 93 % with 10; those of a probability of improvement in 92, 93 and 95 %. Of five contenders that were alike, some pair "
    "was called different in 11, 7 and 2 % of experiments"
)
SHOWN_BUDGETS = (0.25, 0.5, 1.0)


def overall_sections(board: Board) -> list[Section]:
    """Return the sections; one that says why, where nothing can be put together."""
    if not board.counted or len(board.compared) < 2:
        why = "no task has a scale" if not board.counted else "fewer than two contenders have runs on all tasks that have a scale"
        return [Section("Over all tasks", (Words(f"Nothing is put together: {why}."), scale_table(board)))]
    differences = compare_over_tasks({name: board.shares(name) for name in board.compared})
    sections = [_means(board, differences), _improvements(board), _profiles(board)]
    found = _efficiency(board)
    return [*sections, *([found] if found else [])]


def overall_verdicts(board: Board) -> list[str]:
    """Return what can be said over all tasks, and what cannot, contender by contender."""
    if not board.counted or len(board.compared) < 2:
        return []
    differences = compare_over_tasks({name: board.shares(name) for name in board.compared})
    if not differences:
        return ["With a single seed nothing can be told over all tasks."]
    return [_first_words(board, differences), *verdicts(board.compared, differences, shown, "over all tasks")]


def scale_table(board: Board) -> Table:
    """Return what counts on each task, and what is 0 and 1 of its scale."""
    rows = []
    for task in board.tasks:
        scale = board.scale(task)
        ends = ("–", "–", f"none: {scale.problem}") if scale.problem else (shown(scale.low), shown(scale.high), scale.end)
        left_out = f"variant of {board.variants[task]}, left out" if task in board.variants else "no" if scale.problem else "yes"
        rows.append((task, in_words(board.headline(task)), ends[2], left_out, *ends[:2]))
    head = ("task", "what counts", "what 1 is", "counted", f"0 = {board.reference}", "1")
    return Table(head, tuple(rows), "The scale of each task", 4)


def _first_words(board: Board, differences: Differences) -> str:
    first = leading(board.compared, differences)
    if len(first) == 1:
        return f"{first[0]} is better than all others over all tasks."
    return f"Over all tasks nobody is first for sure: {listed(first)} may be."


def _means(board: Board, differences: Differences) -> Section:
    estimates = {name: estimate_iqm(board.shares(name), np.random.default_rng(0)) for name in board.compared}
    places = ranks(board.compared, differences)
    rows = tuple((name, estimate_shown(estimates[name]), rank_shown(places[name]) if differences else "–") for name in board.compared)
    label = "share of the way"
    chart = forest("Interquartile mean of each contender with its interval", label, estimates)
    missing = [name for name in board.contenders if name not in board.compared]
    words = (
        f"Interquartile mean over {_runs_in_words(board)} of {listed(board.counted)}: the mean of the middle half of all runs, each on its "
        "task's scale. In brackets the 95 % interval of the stratified bootstrap: it speaks of other seeds on these tasks, and takes the "
        f"ends of the scales as given. {COVERED}. Ranks come from differences between pairs, whose intervals hold together with 95 %."
    )
    few = min(len(runs) for name in board.compared for runs in board.shares(name))
    blocks: list[Block] = [Words(words)]
    if few < FEW:
        blocks.append(Words(f"The fewest runs of a contender on a task are {few}: take these intervals as a hint, not as evidence."))
    if missing:
        blocks.append(Words(f"Without runs on all of these tasks, and so left out: {listed(missing)}."))
    table = Table(("contender", "interquartile mean", "rank"), rows)
    return Section(
        "Over all tasks",
        (
            *blocks,
            table,
            Charts((("all contenders", chart),), f"Point = interquartile mean, line = its 95 % interval, from {_runs_in_words(board)}."),
            scale_table(board),
        ),
    )


def _improvements(board: Board) -> Section:
    """Return the table of all pairs; the interval of one is that of the other, turned round."""
    cells: dict[tuple[str, str], str] = {}
    for a, b in combinations(board.compared, 2):
        found = probability_of_improvement(board.shares(a), board.shares(b), np.random.default_rng(0))
        for pair, estimate in (((a, b), found), ((b, a), Estimate(1 - found.value, 1 - found.high, 1 - found.low))):
            is_sure = estimate.has_interval and not estimate.low <= 0.5 <= estimate.high
            cells[pair] = f"**{estimate_shown(estimate)}**" if is_sure else estimate_shown(estimate)
    rows = tuple((a, *(cells.get((a, b), "") for b in board.compared)) for a in board.compared)
    words = (
        "How often a run of the contender on the left is above one of the contender at the top, on the same task and with seeds at "
        "random; the mean over tasks, with its 95 % interval. Bold where the interval leaves one half out: each for itself, so that of "
        "twenty pairs that are alike about one is bold by chance. An interval without length says that all runs agree, not that all "
        f"further ones will. From {_runs_in_words(board)}."
    )
    return Section("Probability of improvement", (Words(words), Table(("contender", *board.compared), rows)))


def _profiles(board: Board) -> Section:
    every = np.concatenate([scores for name in board.compared for scores in board.shares(name)])
    low, high = max(-1.0, min(0.0, float(every.min()))), min(2.0, max(1.0, float(every.max())))
    thresholds = np.linspace(low, high, 61)
    curves = {name: performance_profile(board.shares(name), thresholds, np.random.default_rng(0)) for name in board.compared}
    charts = among_others(curves, thresholds, ("share of the way t", "share of runs above t"), (0.0, 1.0), "Performance profile")
    caption = (
        "Share of runs above each score, the mean over tasks: a curve that lies higher is better wherever it does. Shade = 95 % interval "
        f"at each score; grey = the other contenders. From {_runs_in_words(board)}."
    )
    return Section("Performance profiles", (Charts(tuple(charts), caption),))


def _efficiency(board: Board) -> Section | None:
    tasks, _ = curves_by_budget(board, board.compared[0])
    curves = {name: curve for name in board.compared if (curve := efficiency(board, name)) is not None}
    if not curves:
        return None
    labels = ("share of the tokens of training", "interquartile mean")
    charts = among_others(curves, BUDGETS, labels, bounds_of(curves), "Sample efficiency")
    at = [int(np.argmin(abs(BUDGETS - share))) for share in SHOWN_BUDGETS]
    rows = tuple(
        (name, *(estimate_shown(Estimate(curve.values[i], curve.lows[i], curve.highs[i])) for i in at)) for name, curve in curves.items()
    )
    ends = "; ".join(f"{task}: {shown(scale.high)}, {scale.end}" for task in tasks for scale in [board.score_scale(task)])
    caption = (
        "Interquartile mean of the held-out score that is learned from, by tokens spent, from 0 = the reference. Between evaluations a "
        "run counts as what it was before. Contenders that do not learn are level lines. Shade = 95 % interval; grey = the others. From "
        f"{_runs_in_words(board)}."
    )
    head = ("contender", *(f"{share:.0%} of the tokens" for share in SHOWN_BUDGETS))
    ceilings = Folded("What 1 is", (Words(f"{ends}."),))
    return Section("Sample efficiency", (Charts(tuple(charts), caption), Table(head, rows), ceilings))


def rank_shown(between: tuple[int, int]) -> str:
    """Return a rank, or between which it lies."""
    first, last = between
    return f"**{first}**" if first == last == 1 else str(first) if first == last else f"{first} to {last}"


def _runs_in_words(board: Board) -> str:
    counts = sorted({len(runs) for name in board.compared for runs in board.shares(name)})
    seeds = f"{counts[0]} seed{'s' * (counts[0] != 1)}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    return f"{len(board.counted)} task{'s' * (len(board.counted) != 1)} of {seeds}"
