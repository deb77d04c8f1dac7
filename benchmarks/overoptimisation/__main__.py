"""Optimise learned scores fitted to noisy comparisons, and see what becomes of the true one: `python -m benchmarks.overoptimisation`.

The true score labels comparisons and judges afterwards; neither the fit, nor the training, nor the choice of a stopping point sees it.
Four ways to be careful (one model, or the mean, the minimum, or the mean less the variance of an ensemble) stand against three levels of
noise and several weights of the KL penalty (Gao et al. 2022, arXiv:2210.10760; Coste et al. 2023, arXiv:2310.02743).
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.measure import write_json
from benchmarks.overoptimisation.points import Point, curves
from benchmarks.overoptimisation.report import draw_curves, figures, show_weights, tables

Part = Literal["exact", "pool", "rl"]
FIRST_SEED = 100  # of the enumerable task; those below were used to choose a task on which anything shows
RL_WAYS = ("single", "mean - variance")


@dataclass(frozen=True)
class OveroptimisationOptions:
    """Measure over-optimisation on an enumerable task, on a shared pool of responses, and in training; print tables; draw curves."""

    parts: tuple[Part, ...] = ("exact", "pool", "rl")  # all responses listed; the best of n from one pool; RLOO on a language model
    num_seeds: int = 5  # of comparisons, fits and trainings
    exact_seeds: int = 20  # of languages and tastes of the enumerable task
    noises: tuple[float, ...] = (0.0, 0.1, 0.25)  # share of comparisons that are turned round
    rl_noises: tuple[float, ...] = (0.0, 0.25)  # of the trainings
    kl_weights: tuple[float, ...] = (0.0, 0.1)  # of the trainings: deviations of the learned score per nat a response
    num_comparisons: int = 300  # that each learned score is fitted to
    num_heads: int = 5  # members of an ensemble
    variance_weight: float = 1.0  # deviations of the score per squared deviation of disagreement
    num_updates: int = 60  # of each training, 64 responses each
    new_tokens: int = 12  # tokens of a response, at most
    jobs: int = 2  # processes, of one thread each
    folder: Path = Path("runs/overoptimisation")  # keeps what is done; the same command goes on from there
    json: Path | None = None  # where to write the figures

    def __post_init__(self) -> None:
        for name in ("num_seeds", "exact_seeds"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, so that there are intervals, got {getattr(self, name)}")


@dataclass(frozen=True)
class Cell:
    """Name what one process does at a time."""

    part: Part
    seed: int
    noise: float = 0.0
    way: str = ""
    kl_weight: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then report; the status is 1 where something failed."""
    options = tyro.cli(OveroptimisationOptions, args=arguments, prog="python -m benchmarks.overoptimisation", description=__doc__)
    console = Console()
    began = time.monotonic()
    record = _Record(options)
    points = list(record.points)
    missing = [cell for cell in _cells(options) if cell not in record.done]
    failures = 0
    if any(cell.part != "exact" for cell in missing):
        from benchmarks.overoptimisation.text_pool import prepare_pool

        prepare_pool(options.folder / "pool.npz", options.new_tokens)
    for number, (cell, found) in enumerate(_run_all(missing, options), 1):
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


def run_cell(cell: Cell, options: OveroptimisationOptions) -> list[Point]:
    """Do one part for one seed."""
    if cell.part == "exact":
        from benchmarks.overoptimisation.exact_world import run_exact

        return run_exact(cell.seed, options.noises, options.num_comparisons, options.num_heads, options.variance_weight)
    from benchmarks.overoptimisation.text_pool import load_pool, run_pool

    pool = load_pool(options.folder / "pool.npz")
    if cell.part == "pool":
        return run_pool(pool, cell.seed, options.noises, options.num_comparisons, options.num_heads, options.variance_weight)
    from benchmarks.overoptimisation.trained_runs import Training, run_training

    training = Training(cell.noise, cell.way, cell.kl_weight, cell.seed, options.num_updates, options.new_tokens)
    return run_training(pool, training, options.num_comparisons, options.num_heads, options.variance_weight)


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
        for line in filter(_is_whole, lines):
            entry = json.loads(line)
            self.done.add(Cell(**entry["cell"]))
            self.points += [Point(**point) for point in entry["points"]]

    def add(self, cell: Cell, points: Iterable[Point]) -> None:
        """Write one finished cell."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"cell": asdict(cell), "points": [asdict(point) for point in points]}))


def _is_whole(line: str) -> bool:
    """Say whether a line was written to its end; the last one of a run that was killed may not be."""
    return line.endswith("}") and line.startswith("{")


def _cells(options: OveroptimisationOptions) -> Iterator[Cell]:
    if "exact" in options.parts:
        yield from (Cell("exact", FIRST_SEED + number) for number in range(options.exact_seeds))
    if "pool" in options.parts:
        yield from (Cell("pool", seed) for seed in range(options.num_seeds))
    if "rl" in options.parts:
        for seed in range(options.num_seeds):
            for noise in options.rl_noises:
                yield from (Cell("rl", seed, noise, way, weight) for way in RL_WAYS for weight in options.kl_weights)


def _run_all(cells: Sequence[Cell], options: OveroptimisationOptions) -> Iterator[tuple[Cell, list[Point] | str]]:
    if options.jobs == 1:
        yield from ((cell, _outcome(cell, options)) for cell in cells)
        return
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        yield from zip(cells, pool.map(partial(_outcome, options=options), cells), strict=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _outcome(cell: Cell, options: OveroptimisationOptions) -> Any:
    import text_env  # noqa: F401  (registers the environments in this process)

    try:
        return run_cell(cell, options)
    except Exception as error:  # is reported, and makes the command fail
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
