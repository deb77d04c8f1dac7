"""Put a report together: what can be said first, then what it rests on."""

from __future__ import annotations

from benchmarks.leaderboard.board import Board
from benchmarks.leaderboard.comparisons import listed
from benchmarks.leaderboard.document import Folded, Section, Words
from benchmarks.leaderboard.origin_sections import cost_section, failure_section, limit_section, origin_section, response_section
from benchmarks.leaderboard.overall_sections import overall_sections, overall_verdicts
from benchmarks.leaderboard.task_sections import (
    curve_section,
    frontier_section,
    loss_section,
    optimum_section,
    reaching_section,
    robustness_section,
    score_section,
    task_verdicts,
)


def report_title(board: Board) -> str:
    """Return what the report is about."""
    return f"Agents compared: {listed(sorted({row['suite'] for row in board.rows}))}"


def report_sections(board: Board) -> list[Section]:
    """Return every section of a report."""
    found = [
        told_section(board),
        score_section(board),
        *overall_sections(board),
        frontier_section(board),
        loss_section(board),
        optimum_section(board),
        reaching_section(board),
        robustness_section(board),
        cost_section(board),
        curve_section(board),
        failure_section(board),
        response_section(board),
        limit_section(),
        origin_section(board),
    ]
    return [section for section in found if section is not None]


def told_section(board: Board) -> Section:
    """Return what can be said, and what cannot, in sentences."""
    counts = ((len(board.contenders), "contender"), (len(board.tasks), "task"), (len({row["seed"] for row in board.rows}), "seed"))
    sizes = ", ".join(f"{count} {name if count == 1 else name + 's'}" for count, name in counts)
    words = (
        f"{len(board.rows)} runs: {sizes}; {len(board.failures)} failed. One contender is called better than another only where the "
        "interval of their difference lies above 0, made so wide that all intervals of a list hold together with 95 %. “Cannot be told” "
        "says that these seeds do not show a difference, not that there is none."
    )
    over_all = overall_verdicts(board)
    firsts = [*over_all[:1], *(task_verdicts(board, task)[0] for task in board.tasks)]
    each = [Folded("Over all tasks, contender by contender", (Words(items=tuple(over_all[1:])),))] if over_all[1:] else []
    return Section("What can be told", (Words(words), Words(items=tuple(firsts)), *each))
