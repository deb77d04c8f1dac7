"""Run one of several commands by its name, and say in one line what the caller can put right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

Command = Callable[[Sequence[str]], int]


def dispatch(program: str, commands: Mapping[str, Command], argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, with the rest; return 0 only if it did its work.

    Args:
        program: how it is called, such as "python -m agents".
        commands: by name; the docstring of each says what it does.
        argv: None = those of this process.
    """
    from rich.console import Console

    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {program} COMMAND [OPTIONS]\n")
        width = max(map(len, commands)) + 2
        for name, command in commands.items():
            print(f"  {name:{width}}{command.__doc__}")
        print("\nEach has --help.")
        return 0 if arguments else 2
    if arguments[0] not in commands:
        console.print(f"error: there is no command {arguments[0]!r}; there are {', '.join(commands)}", highlight=False, markup=False)
        return 2
    try:
        return commands[arguments[0]](arguments[1:])
    except ValueError as error:  # what the caller can put right is said in one line, without the way through the code
        console.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
