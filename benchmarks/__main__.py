"""Compare agents from the command line: `python -m benchmarks compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from text_env.commands.dispatch import dispatch


def _compare(arguments: Sequence[str]) -> int:
    """Compare two agents, settings or checkpoints on paired prompts and seeds, with a verdict."""
    from benchmarks.compare import main

    return main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"compare": _compare}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 only if it did its work."""
    return dispatch("python -m benchmarks", COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
