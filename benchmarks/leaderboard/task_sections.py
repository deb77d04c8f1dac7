"""Write the sections of a report that go task by task."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.leaderboard.board import SHARES, Board
from benchmarks.leaderboard.board_charts import KL, forest, frontier, in_words, learning_curves
from benchmarks.leaderboard.budgets import LEVELS, Reached, reached
from benchmarks.leaderboard.comparisons import compare_on_task, leading, listed, paired_difference, ranks, verdicts
from benchmarks.leaderboard.document import Block, Charts, Folded, Section, Table, Words, mean_of, mean_shown, shown
from benchmarks.leaderboard.overall_sections import rank_shown
from benchmarks.leaderboard.run_statistics import FloatArray
from benchmarks.measure import ratio_of_means

LOSSES = (KL, "reference_perplexity", "distinct_2", "tokens_per_response", "share_ended")
HELD = "KL and perplexity of {names} are against their supervised start, those of the others against the model before it."
PERPLEXITY = (
    "Reference perplexity is that of the responses under the reference: low where they are what it would have written, high where they "
    "are not; distinct 2 is the share of different pairs of tokens; share ended is that of responses which chose to end."
)


def task_verdicts(board: Board, task: str) -> list[str]:
    """Return what can be said about contenders on a task, and what cannot."""
    names = [name for name in board.on(task) if len(board.values(task, name))]
    differences = compare_on_task({name: board.by_seed(task, name) for name in names})
    if not differences:
        return [f"On {task} nothing can be told: a difference needs two seeds that both contenders have."]
    first = leading(names, differences)
    words = f"{first[0]} is better than all others" if len(first) == 1 else f"nobody is first for sure: {listed(first)} may be"
    return [f"On {task} {words}.", *verdicts(names, differences, shown, f"on {task}")]


def score_section(board: Board) -> Section:
    """Return what counts on each task, with intervals and ranks."""
    head, columns, charts = ["contender"], [], []
    for task in board.tasks:
        values = {name: board.values(task, name) for name in board.on(task)}
        values = {name: found for name, found in values.items() if len(found)}
        differences = compare_on_task({name: board.by_seed(task, name) for name in values})
        places = ranks(list(values), differences)
        stands_out = [name for name in values if places[name] == (1, 1) and differences]
        cells = [mean_shown(values.get(name, np.array([]))) for name in board.contenders]
        columns.append([f"**{cell}**" if name in stands_out else cell for name, cell in zip(board.contenders, cells, strict=True)])
        head.append(f"{task} ({in_words(board.headline(task))})")
        estimates = {name: mean_of(found) for name, found in values.items()}
        label = f"{in_words(board.headline(task))} ({_seeds(values.values())})"
        charts.append((task, forest(f"{label} of each contender on {task}", label, estimates, values)))
    caption = "Large point = mean, line = 95 % interval of the mean (Student's t over seeds), small points = seeds."
    words = (
        "Means over seeds on held-out prompts, with their 95 % intervals. Bold where a contender is better than every other for sure: "
        "pairs are compared seed by seed, on the same prompts, by intervals that hold together with 95 % on a task."
    )
    tables = (Words(words), Table(tuple(head), tuple(zip(board.contenders, *columns, strict=True))))
    return Section("Scores by task", (*tables, Charts(tuple(charts), caption), *_told(board)))


def frontier_section(board: Board) -> Section:
    """Return what counts against how far contenders went from the reference."""
    charts, notes = [], []
    for task in board.tasks:
        drawn = frontier(board, task)
        if drawn is None:
            notes.append(f"On {task} fewer than two contenders have a KL.")
            continue
        svg, best, without = drawn
        charts.append((task, svg))
        missing = f" Without a KL: {listed(without)}." if without else ""
        held = board.held_elsewhere(task)
        other = f" {HELD.format(names=listed(held))}" if held else ""
        notes.append(f"On {task} the front is {listed(best)}.{missing}{other}")
    names = ", ".join(f"{number} {name}" for number, name in enumerate(board.contenders, 1))
    caption = (
        "What counts on the task against KL to the reference on held-out prompts, means over seeds with 95 % intervals both ways. Filled "
        f"= on the front: by their means, no other reaches as much with less KL; where lines overlap, seeds do not tell. {names}. KL of "
        "best-of-n is a bound from above."
    )
    found: list[Block] = [Charts(tuple(charts), caption)] if charts else []
    return Section("Score against KL", (*found, Words(items=tuple(notes))))


def loss_section(board: Board) -> Section:
    """Return what was lost beside every score."""
    tables: list[Block] = []
    for task in board.tasks:
        rows = []
        for name in board.on(task):
            cells = [mean_shown(board.values(task, name)), *(_against_reference(board, task, name, measured) for measured in LOSSES)]
            rows.append((name, *cells))
        head = ("contender", in_words(board.headline(task)), *(in_words(measured) for measured in LOSSES))
        held = board.held_elsewhere(task)
        tables += [Table(head, tuple(rows), task), *([Words(HELD.format(names=listed(held)))] if held else [])]
    words = (
        f"{PERPLEXITY} ↑ and ↓ mark what is above or below {board.reference} for sure, each for itself (95 %, seed by seed). Means over "
        "seeds with 95 % intervals."
    )
    return Section("What was lost beside every score", (Words(words), *tables))


def optimum_section(board: Board) -> Section | None:
    """Return how near contenders came to optima that are known; None where none is."""
    rows = []
    for task in board.tasks:
        for name in board.on(task):
            cells = [mean_shown(board.values(task, name, share)) for share in SHARES]
            if cells != ["–"] * len(SHARES):
                rows.append((task, name, *cells))
    if not rows:
        return None
    words = (
        "By sums over all responses, without drawing any: 0 is the reference, 1 the optimum. The penalised optimum is that of score minus "
        "the contender's own KL weight times KL, the objective that it follows; contenders without such a weight have none."
    )
    return Section(
        "Share of the optimum",
        (Words(words), Table(("task", "contender", "of the score", "of the penalised score"), tuple(rows), num_names=2)),
    )


def reaching_section(board: Board) -> Section | None:
    """Return what it took to reach shares of the way; None where nobody learns or no task has a scale."""
    head = ("score", "contender", "runs that got there", "tokens (median)", "tokens (first to last)", "feedback queries", "seconds")
    tables = []
    for task in board.tasks:
        scale, rows = board.score_scale(task), []
        for level in LEVELS if not scale.problem else ():
            goal = f"{shown(scale.low + level * (scale.high - scale.low))} ({level:.0%} of the way)"
            for name in board.on(task):
                if board.is_trained(name):
                    rows.append((goal, name, *_reached_shown(reached(board.cells[task, name], scale, level))))
        if rows:
            tables.append(Table(head, tuple(rows), task, 2))
    if not tables:
        return None
    words = (
        f"Until a held-out evaluation first gave a score, on the way from {board.reference} (0 %) to the ceiling of the score (100 %). "
        "Medians over all runs: those that did not get there within their budget count as later than any, and a median is called censored "
        "where they are half of the runs or more. 0 = a supervised start was there already. Evaluations are some updates apart and carry "
        "noise: a first crossing is late by waiting, and early by luck."
    )
    return Section("Tokens and queries to reach a score", (Words(words), *tables))


def robustness_section(board: Board) -> Section:
    """Return how much of what clean feedback gave is kept under changed feedback."""
    if not board.variants:
        words = (
            "No task here is another one with noisy, delayed or drifting feedback, so nothing is said about robustness. Such a task "
            "differs from its clean one in feedback only, and is named after it, as in reviews and reviews-noisy."
        )
        return Section("Robustness", (Words(words),))
    rows = []
    for task, clean in board.variants.items():
        for name in board.on(task):
            if name != board.reference:
                values = [mean_shown(board.values(which, name)) for which in (clean, task)]
                rows.append((task, name, *values, _kept(board, task, clean, name)))
    measured = "; ".join(
        f"{task} by {in_words(board.headline(task))}, {clean} by {in_words(board.headline(clean))}"
        for task, clean in board.variants.items()
    )
    words = (
        f"Share kept = gain over {board.reference} under the changed feedback over the gain under the clean one, seeds drawn again in "
        f"pairs (95 %); nothing where the clean gain is not above 0 for sure. What counts: {measured}. Where that is the score itself, it "
        "is the changed feedback's."
    )
    return Section(
        "Robustness", (Words(words), Table(("variant", "contender", "clean", "changed", "share kept"), tuple(rows), num_names=2))
    )


def curve_section(board: Board) -> Section:
    """Return the learning curves, every seed visible."""
    caption = "Held-out score by tokens of training: thin = one seed, thick = their mean, grey = the means of the others."
    found = [(task, learning_curves(board, task)) for task in board.tasks]
    blocks = [
        Folded(f"{task}: {len(charts)} contenders", (Charts(tuple(charts), caption),), is_open=True) for task, charts in found if charts
    ]
    return Section("Learning curves", tuple(blocks) or (Words("No contender learns."),))


def _told(board: Board) -> list[Folded]:
    """Return ranks and sentences of every task, where something can be told."""
    told = {task: task_verdicts(board, task) for task in board.tasks}
    said = [Folded(f"What can be told on {task}", (Words(items=tuple(words)),)) for task, words in told.items() if len(words) > 1]
    return [Folded("Ranks by task", (_rank_table(board),)), *said] if said else []


def _rank_table(board: Board) -> Table:
    columns = []
    for task in board.tasks:
        names = [name for name in board.on(task) if len(board.values(task, name))]
        differences = compare_on_task({name: board.by_seed(task, name) for name in names})
        places = ranks(names, differences)
        columns.append([rank_shown(places[name]) if name in places and differences else "–" for name in board.contenders])
    return Table(("contender", *board.tasks), tuple(zip(board.contenders, *columns, strict=True)))


def _against_reference(board: Board, task: str, name: str, measured: str) -> str:
    words = mean_shown(board.values(task, name, measured))
    difference = paired_difference(board.by_seed(task, name, measured), board.by_seed(task, board.reference, measured))
    sign = 0 if difference is None or name == board.reference else difference.sign
    return f"{words}{(' ↓', '', ' ↑')[sign + 1]}"


def _reached_shown(found: Reached) -> tuple[str, ...]:
    medians = ["censored" if value is None else f"{value:,.0f}" for value in (found.tokens, found.queries, found.seconds)]
    span = "–" if found.earliest is None else f"{found.earliest:,} to {found.latest:,}"
    return f"{found.reached} of {found.runs}", medians[0], span, *medians[1:]


def _kept(board: Board, task: str, clean: str, name: str) -> str:
    values = [board.by_seed(which, name) for which in (task, clean)]
    zeros = [board.by_seed(which, board.reference) for which in (task, clean)]
    seeds = sorted(set.intersection(*(set(each) for each in (*values, *zeros))))
    gain = paired_difference(values[1], zeros[1])
    if len(seeds) < 2 or gain is None or gain.low <= 0:
        return "–"
    ratio = ratio_of_means(*([value[seed] - zero[seed] for seed in seeds] for value, zero in zip(values, zeros, strict=True)))
    return f"{shown(ratio.value)} ({shown(ratio.low)} to {shown(ratio.high)})"


def _seeds(values: Iterable[FloatArray]) -> str:
    counts = sorted({len(found) for found in values})
    if not counts:
        return "no runs"
    return f"{counts[0]} seed{'s' * (counts[0] != 1)}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
