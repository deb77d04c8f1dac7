"""Compare two agents, settings or checkpoints on paired prompts and seeds, and say in words which is better.

Seed s of A and seed s of B begin with the same weights, are given the same training prompts, and are measured on the same held-out
prompts with the same evaluation seed; intervals are those of the paired differences over seeds (see `benchmarks.intervals`). The verdict
is about the held-out score; what was paid for it in KL stands beside it. Take the number of seeds beforehand: adding seeds to a
comparison until it tells would find a winner among equals too often, so more seeds mean a fresh comparison.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.intervals import MOST_PAIRS, POWER, Interval, detectable, mean_interval, pairs_needed
from benchmarks.measure import Measurement, write_json
from benchmarks.paired_curves import draw_paired_curves
from benchmarks.paired_runs import Failure, Job, Setting, SideRun, check_pairs, run_all
from benchmarks.sides import Side, read_side

WIDTH = 130  # columns of the table, also where there is no terminal
UNITS = {"score": "score", "kl_nats_per_response": "nats", "tokens": "tokens", "questions": "questions", "seconds": "s"}
Pairs = Mapping[int, tuple[SideRun, SideRun]]
Figures = dict[str, Interval]


@dataclass(frozen=True)
class CompareOptions:
    """Compare two sides, each module:Agent, module:Agent,field=value,field=value, or the folder of a checkpoint."""

    a: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="A")]]  # such as agents.reinforce:Reinforce
    b: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="B")]]  # such as agents.reinforce:Reinforce,learning_rate=3e-4
    seeds: int = 5  # pairs; 2 is the least that has an interval
    seed: int = 0  # of the first pair; the others follow
    jobs: int = 2  # worker processes at a time, one thread each; no effect on the scores
    json: Path | None = None  # where to write the figures
    folder: Path | None = None  # of the picture and of all results; None = a new one below runs/
    setting: Setting = field(default_factory=Setting)

    def __post_init__(self) -> None:
        for name, least in (("seeds", 2), ("jobs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 0 if every seed of both sides was run, else 1."""
    options = tyro.cli(CompareOptions, prog="python -m benchmarks compare", args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))
    console = Console()
    console.width = max(console.width, WIDTH)
    return compare(options, console)


def compare(options: CompareOptions, console: Console) -> int:
    """Run both sides, show and write what came out; return 0, or 1 where a seed failed."""
    sides = {"A": read_side(options.a), "B": read_side(options.b)}
    seeds = range(options.seed, options.seed + options.seeds)
    folder = options.folder or Path("runs") / f"compare-{datetime.now():%Y%m%d-%H%M%S-%f}"
    results = run_all(jobs_of(sides, seeds, options.setting), options.jobs, lambda result: _tell(result, console))
    return report(options, results, folder, console)


def report(options: CompareOptions, results: Sequence[SideRun | Failure], folder: Path, console: Console) -> int:
    """Show and write what became of every seed; return 0, or 1 where one failed."""
    titles, setting = {"A": options.a, "B": options.b}, options.setting
    failures = [result for result in results if isinstance(result, Failure)]
    pairs = pairs_of([result for result in results if isinstance(result, SideRun)])
    check_pairs(pairs)
    folder.mkdir(parents=True, exist_ok=True)
    _write_results(folder, titles, options, results)
    if pairs:
        picture = draw_paired_curves(folder / "curves.png", titles, pairs, setting.num_updates, setting.where)
        console.print(f"curves: {picture}", highlight=False, soft_wrap=True)
    if len(pairs) >= 2:
        figures = figures_of(pairs)
        console.print(table_of(figures, setting.where))
        console.print(verdict(figures, setting.where), highlight=False, soft_wrap=True)
        if options.json is not None:
            write_json(measurements_of(figures), options.json)
    if failures:
        _report_failures(failures, folder, len(results), len(pairs))
    return 1 if failures else 0


def jobs_of(sides: Mapping[str, Side], seeds: Sequence[int], setting: Setting) -> list[Job]:
    """Return both sides of each seed next to each other, every second pair in turned order, so that neither side always begins."""
    return [
        Job(name, sides[name], seed, setting)
        for place, seed in enumerate(seeds)
        for name in (list(sides) if place % 2 == 0 else list(sides)[::-1])
    ]


def pairs_of(runs: Sequence[SideRun]) -> dict[int, tuple[SideRun, SideRun]]:
    """Return the runs of A and B by seed; a seed whose other side has no result has no pair."""
    found = {(run.name, run.seed): run for run in runs}
    seeds = sorted({run.seed for run in runs})
    return {seed: (found["A", seed], found["B", seed]) for seed in seeds if ("A", seed) in found and ("B", seed) in found}


def figures_of(pairs: Pairs) -> Figures:
    """Return mean and interval over seeds of what each side reached and paid, and of the paired differences."""
    columns: dict[str, list[tuple[float, float]]] = {"score": [(a.last.score, b.last.score) for a, b in pairs.values()]}
    kls = [(a.last.kl, b.last.kl) for a, b in pairs.values()]
    with_reference = [(a, b) for a, b in kls if a is not None and b is not None]
    if len(with_reference) == len(pairs):
        columns["kl_nats_per_response"] = with_reference
    for name in ("tokens", "questions", "seconds"):
        columns[name] = [(getattr(a, name), getattr(b, name)) for a, b in pairs.values()]
    figures: Figures = {}
    for name, values in columns.items():
        figures[f"A/{name}"] = mean_interval([a for a, _ in values])
        figures[f"B/{name}"] = mean_interval([b for _, b in values])
        figures[f"A-B/{name}"] = mean_interval([a - b for a, b in values])
    return figures


def verdict(figures: Figures, where: str = "held-out") -> str:
    """Say which side is better in score, or how many more seeds would tell, and what the KL did."""
    score = figures["A-B/score"]
    apart = f"A - B is {_signed(score.mean)} in {where} score, 95 % interval {_signed(score.low)} to {_signed(score.high)}, {score.n} seeds"
    words = f"{'A' if score.sign > 0 else 'B'} is better: {apart}." if score.sign else f"Cannot tell: {apart}. {_how_many_more(score)}"
    return f"{words} {_about_kl(figures.get('A-B/kl_nats_per_response'))}"


def measurements_of(figures: Figures) -> dict[str, Measurement]:
    """Return the figures as they are written to JSON."""
    return {
        name: Measurement(interval.mean, UNITS[name.partition("/")[2]], interval.low, interval.high, interval.n)
        for name, interval in figures.items()
    }


def table_of(figures: Figures, where: str = "held-out") -> Table:
    """Return the figures as a table: A, B, and their difference with its interval."""
    table = Table("mean over seeds", "A", "B", "A - B", "95 % interval of A - B", box=None, pad_edge=False)
    for name, unit in UNITS.items():
        if f"A/{name}" in figures:
            a, b, apart = (figures[f"{side}/{name}"] for side in ("A", "B", "A-B"))
            label = {
                "score": f"{where} score",
                "kl_nats_per_response": f"{where} KL ({unit} a response)",
                "seconds": "seconds of training",
            }
            form = "{:,.3f}" if name in ("score", "kl_nats_per_response") else "{:,.1f}" if name == "seconds" else "{:,.0f}"
            cells = [form.format(value) for value in (a.mean, b.mean, apart.mean)]
            between = f"{form.format(apart.low)} to {form.format(apart.high)}"
            table.add_row(label.get(name, f"{name} of training"), *cells, between)
    return table


def _how_many_more(score: Interval) -> str:
    """Say how many more seeds would tell, if what was seen is the truth."""
    if score.deviation == 0:
        return "The two were the same with every seed: more seeds would show the same."
    least = detectable(score.deviation, score.n)
    reach = f"With {score.n} seeds only a difference of {least:.3g} or more is told in {POWER:.0%} of comparisons."
    needed = pairs_needed(score.mean, score.deviation)
    if needed is None:
        return f"{reach} More than {MOST_PAIRS:,} seeds would be needed: in practice there is no difference."
    return (
        f"{reach} About {needed - score.n} more seeds ({needed} in all) would tell in {POWER:.0%} of comparisons, if the true difference "
        f"and its spread over seeds (standard deviation {score.deviation:.3g}) are those seen here; from so few seeds both are rough."
    )


def _about_kl(kl: Interval | None) -> str:
    if kl is None:
        return "KL is not compared: not every side has a reference."
    between = f"(A - B: {_signed(kl.mean)} nats a response, {_signed(kl.low)} to {_signed(kl.high)})"
    if kl.sign:
        return f"{'A' if kl.sign > 0 else 'B'} is further from its reference {between}."
    return f"Which is further from its reference cannot be told {between}."


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _tell(result: SideRun | Failure, console: Console) -> None:
    if isinstance(result, Failure):
        text = f"{result.name} seed {result.seed}: FAILED, {result.reason}"
    else:
        kl = "" if result.last.kl is None else f", KL {result.last.kl:.2f} nats"
        text = f"{result.name} seed {result.seed}: score {_signed(result.last.score)}{kl}, {result.tokens:,} tokens, {result.seconds:.1f} s"
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _report_failures(failures: Sequence[Failure], folder: Path, num_jobs: int, num_pairs: int) -> None:
    path = folder / "failures.txt"
    path.write_text("\n".join(f"{failure.name} seed {failure.seed}\n{failure.trace}" for failure in failures), encoding="utf-8")
    short = "" if num_pairs >= 2 else " There is no verdict: it needs 2 pairs."
    lines = [f"error: {len(failures)} of {num_jobs} runs failed, {num_pairs} pairs are left (the whole story: {path}).{short}"]
    lines += [f"  {failure.name} seed {failure.seed}: {failure.reason}" for failure in failures]
    print("\n".join(lines), file=sys.stderr)


def _write_results(folder: Path, titles: Mapping[str, str], options: CompareOptions, results: Sequence[SideRun | Failure]) -> None:
    """Write what was asked for and what every seed gave, so that everything shown can be computed again."""
    (folder / "command.json").write_text(json.dumps(asdict(options), indent=2, default=str) + "\n", encoding="utf-8")
    lines = [json.dumps({"side": titles[result.name], **asdict(result)}) for result in results]
    (folder / "seeds.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
