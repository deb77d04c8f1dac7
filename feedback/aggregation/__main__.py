"""Say how reliable ten real people are, and what is gained by putting together what several say (`python -m feedback.aggregation`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feedback.aggregation.agreement import Interval
from feedback.aggregation.annotator_detection import AnnotatorFinding
from feedback.aggregation.rater_report import MOST_ITEMS, Gain, Reliability, gains, reliability
from feedback.aggregation.vader_raters import vader_ratings
from feedback.encoding.critique_report import Figure, write_figures


def report(items: int = 1500, splits: int = 4, seed: int = 0, error_rate: float = 0.05, json: Path | None = None) -> None:
    """Measure on VADER's ten raters who is reliable, and how well several ways of aggregation order words as other raters do.

    Args:
        items: how many of the 7,520 words aggregation is tried on.
        splits: how often the raters are split into five who are aggregated and five who are held out.
        seed: which words and which splits.
        error_rate: chance that any rater is wrongly found to be inverted, and so on.
        json: file to write the figures to.
    """
    ratings = vader_ratings()[1].T
    known, gained = reliability(ratings, error_rate), gains(ratings, items, splits, seed)
    console = Console()
    console.print(
        Text(f"Ten raters of {known.num_units:,} words, each against the mean of the others", "bold"), _raters(known), Text(), sep="\n"
    )
    console.print(_together(known), Text(), sep="\n")
    title = f"Order of pairs of {len_of(gained):,} words, against the mean of five raters held out, in {splits} splits"
    console.print(Text(title, "bold"), _gained(gained), sep="\n")
    if json is not None:
        write_figures(figures(known, gained), json)


def main(argv: Sequence[str] | None = None) -> int:
    """Report; return 0, or 1 with one line on standard error if the input was wrong."""
    try:
        tyro.cli(report, prog="python -m feedback.aggregation", args=argv)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def figures(known: Reliability, gained: dict[str, Gain]) -> dict[str, Figure]:
    """Return all figures by their full names."""
    found = {"alpha": _figure(known.alpha, "alpha", known.num_units)}
    for name, interval in (("agreement", known.pairs.agreement), ("lapse", known.pairs.lapse), ("ceiling", known.pairs.ceiling)):
        found[f"pairs/{name}"] = _figure(interval, "share", known.num_units)
    for rater in known.raters:
        name = f"rater/{rater.finding.annotator}"
        found[f"{name}/with_others"] = _figure(rater.finding.with_others, "correlation", rater.finding.num_shared)
        found[f"{name}/accuracy"] = _figure(rater.accuracy, "share", min(MOST_ITEMS, known.num_units))
    for method, gain in gained.items():
        found[f"{method}/accuracy"] = _figure(gain.accuracy, "share", gain.num_items)
        found[f"{method}/gain"] = _figure(gain.gain, "share", gain.num_items)
    return found


def len_of(gained: dict[str, Gain]) -> int:
    """Return from how many items the gains come."""
    return next(iter(gained.values())).num_items


def _figure(interval: Interval, unit: str, number: int) -> Figure:
    value, low, high = interval
    assert value is not None and low is not None and high is not None  # there are thousands of words
    return Figure(value, unit, low, high, number)


def _written(interval: Interval) -> str:
    return (
        "-"
        if interval.value is None
        else f"{interval.value:.3f}" + ("" if interval.low is None else f" [{interval.low:.3f}, {interval.high:.3f}]")
    )


def _stands_out(finding: AnnotatorFinding) -> str:
    flags = (finding.is_inverted, finding.is_constant, finding.is_drifting, finding.is_careless)
    words = ("inverted", "constant", f"drifting: mean {finding.shift or 0.0:+.2f}, correlation {finding.turn or 0.0:+.2f}", "careless")
    return ", ".join(word for word, is_found in zip(words, flags, strict=True) if is_found)


def _raters(known: Reliability) -> Table:
    table = Table("rater", "correlation", "order of pairs", "found", box=None, pad_edge=False)
    for rater in known.raters:
        table.add_row(rater.finding.annotator, _written(rater.finding.with_others), _written(rater.accuracy), _stands_out(rater.finding))
    return table


def _together(known: Reliability) -> Table:
    table = Table("all together", "", box=None, pad_edge=False)
    table.add_row("Krippendorff's alpha", _written(known.alpha))
    table.add_row("agreement of two on pairs", _written(known.pairs.agreement))
    table.add_row("how often one errs", _written(known.pairs.lapse))
    table.add_row("best accuracy against one", _written(known.pairs.ceiling))
    return table


def _gained(gained: dict[str, Gain]) -> Table:
    table = Table("aggregated", "accuracy", "gain over one rater", box=None, pad_edge=False)
    for method, gain in gained.items():
        table.add_row(method, _written(gain.accuracy), "" if method == "one rater" else _written(gain.gain))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
