"""Report how well critiques are encoded: `python -m feedback.encoding`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feedback.encoding.critique_report import Encoder, Figure, Outcomes, bootstrap_mean, figures, outcomes, vader_encoder, write_figures
from feedback.encoding.critique_rules import CritiqueRules
from feedback.encoding.critique_table import CATEGORIES, CRITIQUES
from feedback.encoding.learned_critique import LearnedCritique
from feedback.encoding.review_sentences import Rated, load_review_sentences, split_rated

BASELINE = "vader"
TITLES = {
    "table": "{test:,} critiques of the table, its test third (learned: from the other {train:,})",
    "reviews": "{test:,} sentences of film reviews, held out (learned: from {train:,} others)",
}


def report(train: int = 4000, test: int = 2000, seed: int = 0, json: Path | None = None) -> None:
    """Compare VADER's lexicon, the rules and learned encoders on critiques whose ratings are known.

    coverage: share with an opinion. accuracy: share of those with the right sign, or near 0 where the rating is 0. credit: mean of 1 for
    right, 0.5 for no opinion beside praise or blame, 0 for wrong. gain: credit minus that of VADER on the same critiques.

    Args:
        train: how many sentences of reviews the learned encoders learn from.
        test: how many others they are tried on.
        seed: which ones.
        json: file to write the figures to.
    """
    console = Console()
    found: dict[str, Figure] = {}
    learnt, asked = ([(each.text, each.rating) for each in CRITIQUES if each.is_test == is_test] for is_test in (False, True))
    results = _compare(learnt, asked, seed)
    found |= _show(console, "table", TITLES["table"].format(test=len(asked), train=len(learnt)), results)
    console.print(_by_category(results), Text(), sep="\n")
    try:
        sentences = load_review_sentences()
    except ModuleNotFoundError as error:
        console.print(Text(f"reviews left out: {error}", "yellow"))
    else:
        learnt, asked = split_rated(sentences, train, test, seed)
        found |= _show(console, "reviews", TITLES["reviews"].format(test=test, train=train), _compare(learnt, asked, seed))
    if json is not None:
        write_figures(found, json)


def main(argv: Sequence[str] | None = None) -> int:
    """Report; return 0, or 1 with one line on standard error if the input was wrong."""
    try:
        tyro.cli(report, prog="python -m feedback.encoding", args=argv)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(learnt: Sequence[Rated], asked: Sequence[Rated], seed: int) -> dict[str, Outcomes]:
    """Return what each encoder makes of the critiques that are asked about."""
    known, ratings = [text for text, _ in learnt], [rating for _, rating in learnt]
    encoders: dict[str, Encoder] = {
        BASELINE: vader_encoder,
        "rules": CritiqueRules(),
        "learned": LearnedCritique.fit(known, ratings, seed),
        "learned+rules": LearnedCritique.fit(known, ratings, seed, has_rules=True),
    }
    return {name: outcomes(encoder, [text for text, _ in asked], [rating for _, rating in asked]) for name, encoder in encoders.items()}


def _show(console: Console, part: str, title: str, results: Mapping[str, Outcomes]) -> dict[str, Figure]:
    """Print a table and return its figures by their full names."""
    columns = ("coverage", "accuracy_covered", "credit", "gain")
    table = Table(box=None, pad_edge=False, collapse_padding=True)  # fits 80 characters
    for column in ("encoder", *columns):
        table.add_column(column.partition("_")[0], justify="left" if column == "encoder" else "right", no_wrap=True)
    found: dict[str, Figure] = {}
    for name, result in results.items():
        shown = figures(result)
        if name != BASELINE:
            shown["gain"] = bootstrap_mean(result.credits - results[BASELINE].credits)
        table.add_row(name, f"{shown['coverage'].value:.2f}", *(_written(shown.get(column)) for column in columns[1:]))
        found |= {f"{part}/{name}/{column}": shown[column] for column in columns if column in shown}
    console.print(Text(title, "bold"), table, Text(), sep="\n")
    return found


def _written(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def _by_category(results: Mapping[str, Outcomes]) -> Table:
    """Return a table of how many critiques of each category of the table's test third are right."""
    table = Table("right in", *results, box=None, pad_edge=False)
    tested = [each.category for each in CRITIQUES if each.is_test]
    for category in CATEGORIES:
        numbers = [number for number, each in enumerate(tested) if each == category]
        table.add_row(category, *(f"{int(result.is_right[numbers].sum())} of {len(numbers)}" for result in results.values()))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
