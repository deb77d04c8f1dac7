"""Measure how well spoken commands are understood: `python -m feedback.speech --json FILE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from json import dumps
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from feedback.speech.command_recogniser import WEIGHTS, CommandRecogniser
from feedback.speech.understanding import LEAST_CONFIDENCE


def measure(json: Path | None = None, most_wrong: float = 0.02, every: int = 1) -> None:
    """Synthesise commands, understand them, and show how many were understood rightly, wrongly, or not at all.

    Args:
        json: where the figures are written.
        most_wrong: share of what is understood that may be wrong on the voices that set the threshold.
        every: takes one recording in so many, for a quick look.
    """
    from feedback.speech.spoken_measurement import FITTING, REPORTED, choose_threshold, figures, fit_weights, run_trials

    recogniser, console = CommandRecogniser(), Console()
    fitting = run_trials(FITTING, recogniser, every, console.print)
    weights = fit_weights(fitting)
    threshold = choose_threshold(fitting, weights, most_wrong)
    reported = run_trials(REPORTED, recogniser, every, console.print)
    found = figures(reported, weights, threshold)
    console.print(f"fitted on {len(fitting)} recordings: weights {', '.join(f'{each:.3f}' for each in weights)}, threshold {threshold:.2f}")
    console.print(f"in use: weights {', '.join(f'{each:.3f}' for each in WEIGHTS)}, threshold {LEAST_CONFIDENCE:.2f}")
    table = Table("figure", "value", "95 %", "n")
    for name, figure in found.items():
        table.add_row(name, f"{figure['value']:.3f}", f"{figure['low']:.3f} to {figure['high']:.3f}", str(figure["n"]))
    console.print(table)
    if json is not None:
        json.write_text(dumps(found, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement; return 0, or 1 with one line on standard error if something is missing."""
    try:
        tyro.cli(measure, prog="python -m feedback.speech", args=argv)
    except (ImportError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
