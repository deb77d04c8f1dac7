"""Optimise learned scores fitted to noisy comparisons, and see what becomes of the true one: `python -m benchmarks.overoptimisation`.

The true score labels comparisons and judges afterwards; neither the fit, nor the training, nor the choice of a stopping point sees it.
Four ways to be careful (one model, or the mean, the minimum, or the mean less the variance of an ensemble) stand against three levels of
noise and several weights of the KL penalty (Gao et al. 2022, arXiv:2210.10760; Coste et al. 2023, arXiv:2310.02743).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import tyro
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.measure import write_json
from benchmarks.overoptimisation.experiment_cells import Cell, OveroptimisationOptions, cells_of, run_all
from benchmarks.overoptimisation.points import Point, curves
from benchmarks.overoptimisation.report import draw_curves, figures, show_weights, tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then report; the status is 1 where something failed."""
    options = tyro.cli(OveroptimisationOptions, args=arguments, prog="python -m benchmarks.overoptimisation", description=__doc__)
    console = Console()
    began = time.monotonic()
    record = _Record(options)
    points = list(record.points)
    missing = [cell for cell in cells_of(options) if cell not in record.done]
    failures = 0
    if any(cell.part != "exact" for cell in missing):
        from benchmarks.overoptimisation.text_pool import prepare_pool

        prepare_pool(options.folder / "pool.npz", options.new_tokens)
    for number, (cell, found) in enumerate(run_all(missing, options), 1):
        if isinstance(found, str):
            failures += 1
            console.print(f"failed: {cell}: {found}", highlight=False, soft_wrap=True)
            continue
        record.add(cell, found)
        points += found
        print(f"{number} of {len(missing)}: {cell}, {(time.monotonic() - began) / 60:.1f} min", file=sys.stderr)
    found_curves = curves(points)
    for table in tables(found_curves):
        console.print(table)
    console.print(show_weights(found_curves))
    picture = draw_curves(found_curves, options.folder / "overoptimisation.png")
    console.print(f"{picture}; {describe_machine()}; {(time.monotonic() - began) / 60:.1f} minutes", highlight=False, soft_wrap=True)
    if options.json is not None:
        write_json(figures(found_curves), options.json)
    return 1 if failures else 0


class _Record:
    """Keep the points of finished cells as JSON lines, below one line of settings that must be the same to go on."""

    def __init__(self, options: OveroptimisationOptions) -> None:
        settings = {
            name: getattr(options, name) for name in ("num_comparisons", "num_heads", "variance_weight", "num_updates", "new_tokens")
        }
        self.file = options.folder / "points.jsonl"
        self.points: list[Point] = []
        self.done: set[Cell] = set()
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(settings) + "\n", encoding="utf-8")
            return
        first, *lines = self.file.read_text(encoding="utf-8").splitlines()
        if json.loads(first) != settings:
            raise ValueError(f"{self.file} was made with {first}, not with {json.dumps(settings)}: give another --folder")
        for entry in _whole_entries(lines):
            self.done.add(Cell(**entry["cell"]))
            self.points += [Point(**point) for point in entry["points"]]

    def add(self, cell: Cell, points: Iterable[Point]) -> None:
        """Write one finished cell."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"cell": asdict(cell), "points": [asdict(point) for point in points]}))


def _whole_entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Give the entries that were written to their end; the last one of a run that was killed may not be."""
    for line in lines:
        with suppress(json.JSONDecodeError):  # its cell is run again
            yield json.loads(line)


if __name__ == "__main__":
    sys.exit(main())
