"""Read what ten independent people said of 7,520 words and emoticons: the raw ratings in VADER's lexicon, from -4 to 4.

Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text". Ten raters judged each token,
but nothing says that a column is one person throughout: read the columns as independent raters, not as people.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

LOWEST, HIGHEST = -4, 4  # the scale of a rating
NUM_RATERS = 10


@cache
def vader_ratings() -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Return the tokens, and their ratings: [tokens, 10]. The array cannot be written to.

    Errors: ValueError for a lexicon that has another form.
    """
    text = resources.files("vaderSentiment").joinpath("vader_lexicon.txt").read_text(encoding="utf-8")
    tokens, rows = list[str](), list[list[int]]()
    for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
        parts = line.split("\t")
        if len(parts) < 4:
            raise ValueError(f"line {number} of VADER's lexicon must have four columns, got {len(parts)}: install vaderSentiment>=3.3.2")
        tokens.append(parts[0])
        rows.append(json.loads(parts[3]))
    ratings = np.array(rows, dtype=np.int64)
    if ratings.shape != (len(tokens), NUM_RATERS) or ratings.min() < LOWEST or ratings.max() > HIGHEST:
        raise ValueError(f"VADER's lexicon must have ten ratings from {LOWEST} to {HIGHEST} for each token, got {ratings.shape}")
    ratings.flags.writeable = False
    return tuple(tokens), ratings
