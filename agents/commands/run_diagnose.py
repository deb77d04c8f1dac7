"""Say why a run does not learn, in words with figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from agents.commands.options import parse
from agents.learning.diagnosis import RULES, Diary, Severity, diagnose, read_diary

COLOURS = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@dataclass(frozen=True)
class DiagnoseOptions:
    """Say why a run does not learn."""

    run: Annotated[Path, tyro.conf.Positional]  # folder of the run
    json: bool = False  # one JSON object a line, per finding, instead of a page to read


def main(arguments: Sequence[str]) -> int:
    """Run the command; what it finds does not change its status."""
    options: DiagnoseOptions = parse(DiagnoseOptions, arguments, "diagnose")
    diary = read_diary(options.run)
    findings = diagnose(diary)
    if options.json:
        for finding in findings:
            print(json.dumps(asdict(finding) | {"severity": finding.severity.name.lower()}))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(summary(diary), "bold"))
    for finding in findings:
        severity = Text(f"\n{finding.severity.name.lower()}: ", COLOURS[finding.severity])
        console.print(severity + Text(f"{finding.name.replace('_', ' ')}: {finding.seen}", "default"))
        console.print(Text(f"  usually: {finding.cause}\n  change:  {finding.change}"))
    if not findings:
        console.print(f"healthy: none of {len(RULES)} rules found anything wrong")
    return 0


def summary(diary: Diary) -> str:
    """Return in one line how the score went."""
    number, ends = len(diary.metrics), diary.ends("score")
    if ends is None:
        return f"{number} updates, too few scores to see a trend"
    return f"{number} updates: score {ends[0]:+.4g} in the first third, {ends[1]:+.4g} in the last"
