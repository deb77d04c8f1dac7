"""Fit the annotator `vader-human` to the ten raters of VADER's lexicon, and write what it draws from and the figures it is to reproduce.

Run `python -m scripts.fit_vader_annotator`; it rewrites feedback/simulated/vader_constants.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from feedback.aggregation.vader_raters import HIGHEST, LOWEST, vader_ratings
from feedback.simulated.panel_figures import PanelFigures, panel_figures

HOME = Path(__file__).parents[1] / "feedback" / "simulated" / "vader_constants.py"
DECIMALS = 4


def counted() -> tuple[list[float], list[list[int]]]:
    """Return the means that occur, rising, and how often each rating was given to words of each mean."""
    _, ratings = vader_ratings()
    sums = ratings.sum(axis=1)
    steps = np.arange(LOWEST, HIGHEST + 1)
    found = np.unique(sums)
    counts = [[int((ratings[sums == total] == step).sum()) for step in steps] for total in found]
    return [float(total) / ratings.shape[1] for total in found], counts


def written(means: list[float], counts: list[list[int]], figures: PanelFigures) -> str:
    """Return the text of the file."""
    rows = "\n".join(f"    ({', '.join(map(str, row))})," for row in counts)
    places = "\n".join(f"    {mean:g}," for mean in means)
    num_words = len(vader_ratings()[0])
    numbers = "\n".join(
        f"    {name}={tuple(round(each, DECIMALS) for each in value) if isinstance(value, tuple) else round(value, DECIMALS)},"
        for name, value in vars(figures).items()
    )
    return f'''"""Hold what the annotator `vader-human` was fitted to. Written by `python -m scripts.fit_vader_annotator`; not to be edited.

Source: VADER's lexicon (Hutto & Gilbert 2014), ten ratings from {LOWEST} to {HIGHEST} of each of {num_words:,} words and emoticons.
"""

from feedback.simulated.panel_figures import PanelFigures

# What the ten raters' agreement was measured to be.
FIGURES = PanelFigures(
{numbers}
)
# The means of ten ratings that occur.
MEANS = (
{places}
)
# For each mean, how often each rating from {LOWEST} to {HIGHEST} was given.
COUNTS = (
{rows}
)
'''


def main() -> None:
    """Measure, write the file, and print the figures."""
    figures = panel_figures(vader_ratings()[1])
    HOME.write_text(written(*counted(), figures), encoding="utf-8")
    for name, value in vars(figures).items():
        print(f"{name:10} {value}")


if __name__ == "__main__":
    main()
