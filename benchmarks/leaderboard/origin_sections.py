"""Write the sections of a report that say what runs cost, what failed, what was written, and where all of it comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np

from benchmarks.arena.ledger import Row
from benchmarks.leaderboard.board import Board
from benchmarks.leaderboard.comparisons import listed
from benchmarks.leaderboard.document import Folded, Section, Table, Words, shown

PARTS = ("tokens", "queries", "forwards", "seconds")
LONGEST = 240  # letters of a text that are shown


def cost_section(board: Board) -> Section:
    """Return what a run spent, in training and in evaluations."""
    rows = []
    for task in board.tasks:
        for name in board.on(task):
            found = board.cells[task, name]
            means = [np.mean([row[where][part] for row in found]) for where in ("spent", "evaluation_spent") for part in PARTS]
            peaks = [row["peak_megabytes"] for row in found if row["peak_megabytes"] is not None]
            stops = listed(sorted({str(row["stopped_by"]) for row in found}))
            all_seconds = f"{np.mean([row['seconds'] for row in found]):,.1f}"
            costs = [*(f"{mean:,.0f}" for mean in means), all_seconds, f"{max(peaks):,.0f}" if peaks else "–"]
            rows.append((task, name, f"{len(found)}", _limits(found[0]), stops, *costs))
    head = (
        "task",
        "contender",
        "runs",
        "budget",
        "ended by",
        *PARTS,
        *(f"{part} of evaluation" for part in PARTS),
        "seconds of all",
        "MB at most",
    )
    words = (
        "Means of a run. Tokens are those that the agent wrote or was given to imitate; queries are responses that feedback was asked "
        "about; forwards are tokens through any language model that the agent holds; seconds are of collecting and learning, and those of "
        "all are the wall-clock of the whole run. Evaluations are counted apart, and what a supervised start costs is in none of these: "
        "all that begin from it share it."
    )
    return Section("Budgets and wall-clock", (Words(words), Table(head, tuple(rows), num_names=2)))


def failure_section(board: Board) -> Section:
    """Return the runs that failed, each with its error."""
    if not board.failures:
        return Section("Failures", (Words(f"None of {len(board.rows)} runs failed."),))
    rows = tuple((row["task"], row["contender"], str(row["seed"]), _cut(row["error"])) for row in board.failures)
    words = (
        f"{len(rows)} of {len(board.rows)} runs failed. They are left out of all figures, which flatters whoever failed: read the number "
        "of seeds beside every figure."
    )
    return Section("Failures", (Words(words), Table(("task", "contender", "seed", "error"), rows, num_names=4)))


def response_section(board: Board) -> Section:
    """Return the first response of the lowest seed of each contender, so that nobody has chosen it."""
    blocks = []
    for task in board.tasks:
        rows = []
        for name in board.on(task):
            for said in board.cells[task, name][0]["responses"][:1]:
                score = "no opinion" if said["score"] is None else shown(said["score"])
                rows.append((name, score, _cut(said["prompt"]), _cut(said["response"]), _cut(" / ".join(said["references"])) or "–"))
        if rows:
            blocks.append(Folded(task, (Table(("contender", "score", "prompt", "response", "references"), tuple(rows), num_names=5),)))
    return Section("What was written", (Words("The first held-out response of each contender's first seed, chosen by nobody."), *blocks))


def limit_section() -> Section:
    """Return what no report of this kind can say."""
    words = (
        "Intervals speak of other seeds under these settings, not of other tasks, models, budgets or settings: a contender that is behind "
        "here may be ahead with settings of its own, or with more tokens.",
        "A score is what the feedback says. What it does not see is not in it: read what was written, and what was lost beside the score.",
        "Where the end of a task's scale is the best contender's mean, all shares on that task move with who takes part.",
        "KL and perplexity under the reference say how far the text is from what the reference writes, not whether it is worse.",
    )
    return Section("What this cannot say", (Words(items=words),))


def origin_section(board: Board) -> Section:
    """Return versions, machines, commits and settings."""
    made = [
        ("suite", _counted(row["suite"] for row in board.rows)),
        ("machine", _counted(row["machine"] or "unknown" for row in board.rows)),
        ("device", _counted(row["device"] for row in board.rows)),
        ("commit", _counted(row["commit"] for row in board.rows)),
        ("versions", _counted(", ".join(f"{name} {version}" for name, version in row["versions"].items()) for row in board.rows)),
        ("seeds", ", ".join(str(seed) for seed in sorted({int(row["seed"]) for row in board.rows}))),
        ("finished", f"{min(row['finished'] for row in board.rows)} to {max(row['finished'] for row in board.rows)}"),
    ]
    settings = tuple(
        Folded(name, (Table(("task", "settings of the agent"), tuple(_configs(board, name)), num_names=2),)) for name in board.contenders
    )
    mixed = len({row["commit"] for row in board.rows}) > 1
    own = [name for name in board.contenders if _has_own_settings(board, name)]
    words = (
        f"Settings of {listed(own)} differ between tasks of one model."
        if own
        else "Each contender has the same settings on all tasks of one model."
    ) + (" Runs are of several commits: a difference between them may be the code's." if mixed else "")
    return Section("How it was made", (Table(("what", "which, and in how many runs"), tuple(made), num_names=2), Words(words), *settings))


def _has_own_settings(board: Board, contender: str) -> bool:
    """Say whether a contender has settings for a task that it has not for another with the same model."""
    made = [rows[0]["settings"] for task in board.tasks if (rows := board.cells.get((task, contender)))]
    return any(a["config"] != b["config"] for a in made for b in made if a["task"]["model"] == b["task"]["model"])


def _configs(board: Board, contender: str) -> Iterable[tuple[str, str]]:
    for task in board.tasks:
        rows = board.cells.get((task, contender))
        if rows:
            settings = rows[0]["settings"]
            yield task, json.dumps({"agent": settings["contender"]["agent"], **settings["config"]}, ensure_ascii=False)


def _limits(row: Row) -> str:
    limits = {name: limit for name, limit in row["settings"]["budget"].items() if limit is not None}
    return ", ".join(f"{limit:,} {name}" for name, limit in limits.items())


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    return next(iter(counts)) if len(counts) == 1 else "; ".join(f"{value} ({count})" for value, count in counts.most_common())


def _cut(text: str) -> str:
    """Return a text in one line, and its beginning only where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
