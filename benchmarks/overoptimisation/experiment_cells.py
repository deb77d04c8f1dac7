"""Cut the experiment on over-optimisation into cells, and run them in processes.

A file of its own: what a package's `__main__` defines cannot be found by the processes that it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.overoptimisation.points import Point
from benchmarks.worker_processes import one_thread_workers

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


def cells_of(options: OveroptimisationOptions) -> Iterator[Cell]:
    """Return what is to be run."""
    if "exact" in options.parts:
        yield from (Cell("exact", FIRST_SEED + number) for number in range(options.exact_seeds))
    if "pool" in options.parts:
        yield from (Cell("pool", seed) for seed in range(options.num_seeds))
    if "rl" in options.parts:
        for seed in range(options.num_seeds):
            for noise in options.rl_noises:
                yield from (Cell("rl", seed, noise, way, weight) for way in RL_WAYS for weight in options.kl_weights)


def run_all(cells: Sequence[Cell], options: OveroptimisationOptions) -> Iterator[tuple[Cell, list[Point] | str]]:
    """Run cells in processes of one thread each, and give each with its points, or with what it raised as text."""
    if options.jobs == 1:
        yield from ((cell, _outcome(cell, options)) for cell in cells)
        return
    with one_thread_workers(options.jobs) as pool:
        yield from zip(cells, pool.map(partial(_outcome, options=options), cells), strict=True)


def _outcome(cell: Cell, options: OveroptimisationOptions) -> Any:
    import text_env  # noqa: F401  (registers the environments in this process)

    try:
        return run_cell(cell, options)
    except Exception as error:  # is reported, and makes the command fail
        return f"{type(error).__name__}: {error}"
