"""See what is installed, or write responses yourself: `python -m text_env info` and `play`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import tyro

from text_env.commands.info import info
from text_env.commands.play import play
from text_env.scoring import FeedbackError

COMMANDS: dict[str, Callable[..., int]] = {"info": info, "play": play}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 if it did its work, else another number with one line on standard error."""
    try:
        status: int = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="python -m text_env", description=__doc__, args=argv)
    except (FeedbackError, ImportError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
