"""Train, show, check and explain agents from the command line: `python -m agents train`, `write`, `demo`, `check` and `diagnose`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console


def _train(arguments: Sequence[str]) -> int:
    """Train an agent, or go on with a run."""
    from agents.commands.run_train import main

    return main(arguments)


def _write(arguments: Sequence[str]) -> int:
    """Write responses with a model or a checkpoint, and score them."""
    from agents.commands.run_write import main

    return main(arguments)


def _demo(arguments: Sequence[str]) -> int:
    """Train a 135M-parameter model on sentiment, and show what changed and what it cost."""
    from agents.commands.run_demo import main

    return main(arguments)


def _check(arguments: Sequence[str]) -> int:
    """Check that an agent of your own keeps to the protocol."""
    from agents.commands.run_check import main

    return main(arguments)


def _diagnose(arguments: Sequence[str]) -> int:
    """Say why a run does not learn."""
    from agents.commands.run_diagnose import main

    return main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "write": _write,
    "demo": _demo,
    "check": _check,
    "diagnose": _diagnose,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 only if it did its work."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m agents COMMAND [OPTIONS]\n")
        for name, command in COMMANDS.items():
            print(f"  {name:10}{command.__doc__}")
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
