"""Compare agents from the command line: two by `python -m benchmarks compare`, many by `run`, `table` and `report`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from text_env.commands.dispatch import dispatch


def _compare(arguments: Sequence[str]) -> int:
    """Compare two agents, settings or checkpoints on paired prompts and seeds, with a verdict."""
    from benchmarks.compare import main

    return main(arguments)


def _run(arguments: Sequence[str]) -> int:
    """Run a suite: agents by tasks by seeds at equal budgets, resumable, a row of results each."""
    from benchmarks.arena.run_command import main

    return main(arguments)


def _table(arguments: Sequence[str]) -> int:
    """Show what a suite's runs gave, as tables in Markdown with intervals over seeds."""
    from benchmarks.arena.table_command import main

    return main(arguments)


def _report(arguments: Sequence[str]) -> int:
    """Write a page and Markdown of what suites' runs gave: figures with intervals, and what they tell."""
    from benchmarks.leaderboard.report_command import main

    return main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"compare": _compare, "run": _run, "table": _table, "report": _report}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 only if it did its work."""
    return dispatch("python -m benchmarks", COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
