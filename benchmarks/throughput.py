"""Measure how fast text is written, scored and stepped: `python -m benchmarks.throughput`.

Every ratio is ours over theirs, both measured in turn in the same run. The figures are those of this machine, which is named with them.
With SmolLM2 on two cores all of it takes about a quarter of an hour; `--only` chooses.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import describe_machine, has_bfloat16
from benchmarks.measure import FloatArray, Measurement, in_turn, median, ratio_of_medians, timed, write_json
from benchmarks.peak_memory import Job, can_measure, peak_bytes_in_new_process
from benchmarks.rollouts import Generator, IntArray, Writer, equal_lengths, mixed_lengths
from benchmarks.stepping import Stepping

STEP_ROUNDS = 5  # timings of steps per repetition: they take milliseconds
MEMORY_ROUNDS = 3  # most processes per side: the figure hardly varies
MEGABYTE = 1e6
WIDTH = 130  # columns of the table, also where there is no terminal

ABOUT: dict[str, tuple[str, str]] = {
    "rollout_vs_generate_bfloat16": ("higher", "responses a second by `collect` / by `generate`, equal lengths"),
    "rollout_vs_generate_float32": ("higher", "the same in float32"),
    "rollout_vs_generate_mixed_lengths_bfloat16": ("higher", "the same for four times as many responses, of mixed lengths"),
    "rollout_tokens_per_second_bfloat16": ("higher", "by `collect`, equal lengths"),
    "rollout_tokens_per_second_float32": ("higher", "the same in float32"),
    "rollout_tokens_per_second_mixed_lengths_bfloat16": ("higher", "the same, mixed lengths"),
    "rollout_memory_vs_generate": ("lower", "peak memory above the weights by `collect` / by `generate`"),
    "rollout_memory": ("lower", "peak memory above the weights by `collect`"),
    "generate_memory": ("", "peak memory above the weights by `generate`"),
    "vector_steps_vs_cartpole": ("higher", "vector steps a second, endings and decoding included / CartPole's"),
    "vector_steps_between_endings_vs_cartpole": ("higher", "the same between endings"),
    "vector_steps_spread_endings_vs_cartpole": ("higher", "the same with endings spread over all steps"),
    "vector_steps_per_second": ("higher", "of all rows together, endings and decoding included"),
    "vector_steps_per_second_cartpole": ("", "Gymnasium's native CartPole"),
    "single_steps_per_second": ("higher", "of `gym.make`, decoding included"),
    "step_cost_last_vs_first_of_10000_steps": ("1", "cost of a vector step in the last / in the first 1,000 of 10,000"),
    "import_text_env_seconds": ("lower", "`import text_env` in a fresh interpreter"),
}


@dataclass(frozen=True)
class Settings:
    """Measure speed and memory; print a table; write JSON."""

    model: str = "smollm2"  # "smollm2", "tinylm", a folder or a hub id
    rows: int = 64  # responses that are written at once
    new_tokens: int = 32  # tokens of a response, at most
    repetitions: int = 5  # how often each side writes; steps are timed five times as often
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)  # of torch
    seed: int = 0  # decides prompts, tokens and actions
    json: Path | None = None  # where to write the figures
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()  # figures to measure; none = all

    def __post_init__(self) -> None:
        for name in ("rows", "new_tokens", "repetitions", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        unknown = sorted(set(self.only) - set(ABOUT))
        if unknown:
            raise ValueError(f"there are no figures {', '.join(unknown)}; there are {', '.join(ABOUT)}")


Experiment = Callable[[Settings], dict[str, Measurement]]


def measure_rollout_bfloat16(settings: Settings) -> dict[str, Measurement]:
    """Compare `collect` with `generate` in bfloat16, for one response per row, all of equal length."""
    return _compare(settings, "bfloat16", equal_lengths(settings.rows, settings.new_tokens), "bfloat16")


def measure_rollout_float32(settings: Settings) -> dict[str, Measurement]:
    """Compare `collect` with `generate` in float32, for one response per row, all of equal length."""
    return _compare(settings, "float32", equal_lengths(settings.rows, settings.new_tokens), "float32")


def measure_rollout_mixed(settings: Settings) -> dict[str, Measurement]:
    """Compare `collect` with `generate` in bfloat16, for four responses per row, of mixed lengths."""
    return _compare(settings, "bfloat16", mixed_lengths(settings.rows, settings.new_tokens, settings.seed), "mixed_lengths_bfloat16")


def measure_memory(settings: Settings) -> dict[str, Measurement]:
    """Compare the peak memory above the weights, each side in processes of its own, in bfloat16 where the processor has it."""

    def peak(name: str) -> Callable[[], float]:
        job = Job(
            side="rollout" if name == "ours" else "generate",
            model=settings.model,
            dtype="bfloat16" if has_bfloat16() else "float32",
            rows=settings.rows,
            new_tokens=settings.new_tokens,
            threads=settings.threads,
            seed=settings.seed,
        )
        return lambda: peak_bytes_in_new_process(job)

    sizes = in_turn({name: peak(name) for name in ("ours", "theirs")}, min(settings.repetitions, MEMORY_ROUNDS), warm_ups=0)
    return {
        "rollout_memory_vs_generate": ratio_of_medians(sizes["ours"], sizes["theirs"]),
        "rollout_memory": median(sizes["ours"] / MEGABYTE, "MB"),
        "generate_memory": median(sizes["theirs"] / MEGABYTE, "MB"),
    }


def measure_vector_steps(settings: Settings) -> dict[str, Measurement]:
    """Compare vector steps with CartPole's."""
    return _stepping(settings, STEP_ROUNDS).measure_vector_steps()


def measure_single_steps(settings: Settings) -> dict[str, Measurement]:
    """Time the single environment."""
    return _stepping(settings, STEP_ROUNDS).measure_single_steps()


def measure_flatness(settings: Settings) -> dict[str, Measurement]:
    """Compare late steps with early ones."""
    return _stepping(settings, 1).measure_flatness()


def measure_import(settings: Settings) -> dict[str, Measurement]:
    """Time the import."""
    return _stepping(settings, 1).measure_import()


# What each experiment finds out. Those without a model come first: a policy's threads would disturb them.
EXPERIMENTS: dict[Experiment, tuple[str, ...]] = {
    measure_vector_steps: tuple(name for name in ABOUT if name.startswith("vector_steps")),
    measure_single_steps: ("single_steps_per_second",),
    measure_flatness: ("step_cost_last_vs_first_of_10000_steps",),
    measure_import: ("import_text_env_seconds",),
    measure_memory: ("rollout_memory_vs_generate", "rollout_memory", "generate_memory"),
    measure_rollout_float32: ("rollout_vs_generate_float32", "rollout_tokens_per_second_float32"),
    measure_rollout_bfloat16: ("rollout_vs_generate_bfloat16", "rollout_tokens_per_second_bfloat16"),
    measure_rollout_mixed: ("rollout_vs_generate_mixed_lengths_bfloat16", "rollout_tokens_per_second_mixed_lengths_bfloat16"),
}


def writing_figures(name: str, num_tokens: int, seconds: Mapping[str, FloatArray]) -> dict[str, Measurement]:
    """Return how many times as fast ours wrote, and its speed, from the seconds that "ours" and "theirs" took in each round."""
    return {
        f"rollout_vs_generate_{name}": ratio_of_medians(seconds["theirs"], seconds["ours"]),
        f"rollout_tokens_per_second_{name}": median(num_tokens / seconds["ours"], "tokens/s"),
    }


def why_skipped(experiment: Experiment) -> str:
    """Return why this machine cannot run an experiment, or nothing."""
    if experiment in (measure_rollout_bfloat16, measure_rollout_mixed) and not has_bfloat16():
        return "the processor has no bfloat16 instructions"
    if experiment is measure_memory and not can_measure():
        return "only Linux keeps a high-water mark of memory that can be reset"
    return ""


def run(settings: Settings, console: Console) -> dict[str, Measurement]:
    """Run the experiments that find out what is asked for; a note says what was skipped.

    Errors: ValueError where a figure that was asked for by name cannot be measured here.
    """
    torch.set_num_threads(settings.threads)
    console.print(describe_machine(), soft_wrap=True)
    figures: dict[str, Measurement] = {}
    for experiment, names in EXPERIMENTS.items():
        wanted = [name for name in names if not settings.only or name in settings.only]
        reason = why_skipped(experiment)
        if wanted and reason and settings.only:
            raise ValueError(f"{', '.join(wanted)} cannot be measured: {reason}")
        if wanted and reason:
            console.print(f"skipped {', '.join(wanted)}: {reason}", soft_wrap=True)
        elif wanted:
            console.print(f"[dim]{(experiment.__doc__ or '').partition(chr(10))[0]}[/dim]", soft_wrap=True)
            found = experiment(settings)
            figures |= {name: found[name] for name in wanted}
    return figures


def table_of(figures: Mapping[str, Measurement]) -> Table:
    """Return the figures as a table, in the order of their description."""
    table = Table("figure", box=None, pad_edge=False)
    for name in ("value", "95 % interval", "n", "better"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, (better, about) in ABOUT.items():
        if name in figures:
            figure = figures[name]
            unit = "x" if figure.unit == "ratio" else f" {figure.unit}"
            interval = f"{_short(figure.low)} to {_short(figure.high)}"
            shown = Text.assemble(name, "\n", (f"  {about}", "dim"), no_wrap=True)
            table.add_row(shown, f"{_short(figure.value)}{unit}", interval, str(figure.n), better)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 0 if everything that was asked for was measured, 1 with one line on standard error if the input was wrong."""
    console = Console()
    console.width = max(console.width, WIDTH)
    try:
        settings = tyro.cli(Settings, prog="python -m benchmarks.throughput", args=argv)
        figures = run(settings, console)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(table_of(figures))
    if settings.json is not None:
        write_json(figures, settings.json)
    return 0


def _compare(settings: Settings, dtype: str, lengths: IntArray, name: str) -> dict[str, Measurement]:
    """Let both sides write responses of these lengths in turn."""
    writer = Writer(settings.model, dtype, settings.rows, settings.new_tokens, lengths, settings.seed)
    generator = Generator(settings.model, dtype, settings.rows, lengths, settings.seed)
    seconds = in_turn({"ours": timed(writer.write), "theirs": timed(generator.write)}, settings.repetitions)
    return writing_figures(name, int(lengths.sum()), seconds)


def _stepping(settings: Settings, rounds: int) -> Stepping:
    return Stepping(settings.model, settings.rows, settings.new_tokens, rounds * settings.repetitions, settings.seed)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
