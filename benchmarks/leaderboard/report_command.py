"""Report what runs of suites gave: `python -m benchmarks report FOLDER`.

It writes one HTML page that needs no network, the same words and tables as Markdown beside it, and, where asked to, the table of a README.
It reads finished rows only, and may look at a folder whose runs are still being made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from benchmarks.leaderboard.board import Board, read_board
from benchmarks.leaderboard.comparisons import listed
from benchmarks.leaderboard.document import Table
from benchmarks.leaderboard.marked_section import replace_marked
from benchmarks.leaderboard.report_markdown import markdown, table_text
from benchmarks.leaderboard.report_page import page
from benchmarks.leaderboard.report_sections import report_sections, report_title
from benchmarks.leaderboard.run_statistics import estimate_iqm
from benchmarks.leaderboard.task_sections import score_section
from benchmarks.measure import Measurement, mean, write_json


@dataclass(frozen=True)
class ReportOptions:
    """Write a page, and Markdown, of what suites' runs gave: figures with intervals, and what they tell and do not tell."""

    folders: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER...")]]  # of results
    output: Path | None = None  # of the page; Markdown is written beside it; None = report.html in the first folder
    readme: Path | None = None  # file in which the table between two marks is replaced; no page is then written unless output is given
    json: Path | None = None  # where to write means by task and interquartile means
    reference: str | None = None  # contender that is 0 of every scale; None = the first that is not trained
    ceilings: dict[str, float] = field(default_factory=dict)  # TASK SCORE ...: what is 1 of its scale, such as a reference text's score


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = tyro.cli(ReportOptions, prog="python -m benchmarks report", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))
    if not options.folders:
        raise ValueError("a report needs at least one FOLDER of results, as python -m benchmarks run SUITE --folder FOLDER makes them")
    board = read_board(options.folders, options.reference, options.ceilings)
    console = Console()
    if options.readme is not None:
        changed = replace_marked(options.readme, readme_table(board))
        console.print(
            f"{options.readme}: {'the table is replaced' if changed else 'the table is what it was'}", highlight=False, soft_wrap=True
        )
    if options.json is not None:
        write_json(measurements(board), options.json)
    if options.readme is None or options.output is not None:
        for path in write_report(board, options.output or options.folders[0] / "report.html"):
            console.print(str(path), highlight=False, soft_wrap=True)
    return 0


def write_report(board: Board, path: Path) -> tuple[Path, Path]:
    """Write the page and, beside it, the Markdown; return where they are."""
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"output must be the name of an HTML page, such as report.html, got {path}")
    title, sections = report_title(board), report_sections(board)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, sections), encoding="utf-8")
    beside = path.with_suffix(".md")
    beside.write_text(markdown(title, sections), encoding="utf-8")
    return path, beside


def measurements(board: Board) -> dict[str, Measurement]:
    """Return mean_TASK_CONTENDER of what counts, and iqm_CONTENDER over the tasks that are counted, where there is one."""
    found: dict[str, Measurement] = {}
    for task in board.tasks:
        for name in board.on(task):
            values = board.values(task, name)
            if len(values):
                found[f"mean_{task}_{name}"] = mean(values, board.headline(task))
    for name in board.compared if len(board.compared) > 1 else ():
        runs = board.shares(name)
        iqm = estimate_iqm(runs, np.random.default_rng(0))
        low, high = (iqm.low, iqm.high) if iqm.has_interval else (iqm.value, iqm.value)
        found[f"iqm_{name}"] = Measurement(iqm.value, "share of the way", low, high, sum(len(scores) for scores in runs))
    return found


def readme_table(board: Board) -> str:
    """Return the scores of all tasks as a table, with what it was made of."""
    table = next(block for block in score_section(board).blocks if isinstance(block, Table))
    commits = listed(sorted({row["commit"][:12] for row in board.rows}))
    failed = f" {len(board.failures)} runs failed and are left out." if board.failures else ""
    note = (
        "Means over seeds on held-out prompts, 95 % intervals in brackets (Student's t); bold where a contender is better than every "
        f"other on the task, by intervals of paired differences that hold together with 95 %.{failed} Made from commit {commits} by "
        "`python -m benchmarks report`."
    )
    return f"{table_text(table)}\n\n{note}"
