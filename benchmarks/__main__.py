"""Compare agents from the command line: `python -m benchmarks compare`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console


def _compare(arguments: Sequence[str]) -> int:
    """Compare two agents, settings or checkpoints on paired prompts and seeds, with a verdict."""
    from benchmarks.compare import main

    return main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"compare": _compare}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 only if it did its work."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m benchmarks COMMAND [OPTIONS]\n")
        for name, command in COMMANDS.items():
            print(f"  {name:8} {command.__doc__}")
        print("\nEach has --help.")
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        console.print(f"error: there is no command {arguments[0]!r}; there are {', '.join(COMMANDS)}", highlight=False, markup=False)
        return 2
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except ValueError as error:  # what the caller can put right is said in one line, without the way through the code
        console.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
