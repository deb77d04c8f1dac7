"""Check an agent against the protocol, and list the checks that it passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.agent_check import CHECKS, check_agent
from agents.commands.options import parse


@dataclass(frozen=True)
class CheckOptions:
    """Check an agent."""

    agent: Annotated[str, tyro.conf.Positional]  # import path of a class, or of a function that makes an agent
    skip: tuple[str, ...] = ()  # names of checks to leave out
    tolerance: float = 1e-3  # nats by which two log-probabilities of the same token may differ


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options: CheckOptions = parse(CheckOptions, arguments, "check")
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in check_agent(options.agent, skip=options.skip, tolerance=options.tolerance):
        table.add_row(Text("passed", "green"), name, Text((CHECKS[name].__doc__ or "").removeprefix("Check that "), "dim"))
    Console().print(table)
    return 0
