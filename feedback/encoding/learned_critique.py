"""Learn from rated critiques what words are worth: n-grams and ridge regression (Hoerl & Kennard 1970), solved by conjugate gradients.

Left out: embeddings, which would need a model's weights, and a separate weight for every annotator.
"""

from __future__ import annotations

import json
import math
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from feedback.encoding.critique_rules import CritiqueRules
from feedback.encoding.encoded import Encoded
from feedback.encoding.ridge import SparseRows, ridge_weights
from feedback.words import words

FloatArray = npt.NDArray[np.float64]
KeyArray = npt.NDArray[np.int64]
MAX_CHARACTERS = 20_000
FOLDS = 5
FORMAT = "textgen learned critique 1"
WORDS, PIECES, RULES = range(3)  # kinds of features
MOST_NAMED = 5


class Features(NamedTuple):
    """Hold the n-grams of a text, and what the rules say of it.

    Args:
        names: [M]. keys: [M], the same in every process, from 0 to 2^34; the last two bits are the kind.
        numbers: [M], 1 + ln count of an n-gram, -1 to 1 for what the rules say.
    """

    names: list[str]
    keys: KeyArray
    numbers: FloatArray


@dataclass(frozen=True, eq=False)
class LearnedCritique:
    """Encode critiques by what their words were worth in rated critiques; made by `fit` or `load`.

    value = bias + sum over n-grams g of weight_g * x_g, held in [-1, 1]

    x_g is (1 + ln count) * idf, over runs of 1 and 2 words and of 3 to 5 characters, each kind scaled to length 1 / sqrt 2, so that an
    unknown n-gram takes weight from the known ones. With rules, what `CritiqueRules` says of each side of the text is there beside them.
    Confidence: 2 p - 1, where p = 1 / (1 + exp(-slope |value| share)) is the probability that the true rating is on the same side of 0;
    share is the part of |x|^2 that was seen in training, and slope fits best to ratings held out (5 folds, equal texts in one fold).
    It abstains where not one n-gram was seen in training. N-grams are known by their CRC-32: of a million, 120 pairs or so collide.

    Args:
        keys, weights, idf: [F], of the n-grams seen in training; keys sorted.
        bias: mean rating in training. num_texts: of how many. slope: see above; 0 where nothing could be held out.
        has_rules: whether what `CritiqueRules` says is among the features.
    """

    keys: KeyArray
    weights: FloatArray
    idf: FloatArray
    bias: float
    slope: float
    num_texts: int
    has_rules: bool = False

    name = "learned_critique"

    @classmethod
    def fit(
        cls, texts: Sequence[str], ratings: Sequence[float] | FloatArray, seed: int = 0, ridge: float = 1.0, has_rules: bool = False
    ) -> LearnedCritique:
        """Learn from critiques and their ratings; on one machine the same arguments give the same encoder, bit for bit.

        Args:
            texts: [N] critiques. ratings: [N], from -1 (bad) to 1 (good).
            seed: shuffles what is held out; it moves the confidence, not the values.
            ridge: penalty on the squared weights; higher values pull the values towards the mean rating.
            has_rules: use what `CritiqueRules` says too.

        Errors: ValueError for no texts, unequal lengths, ratings that are NaN or outside [-1, 1], a ridge that is not positive;
            TypeError for a text that is no string.
        Cost: about 7 s for 4,000 sentences on one core, most of it for the confidence.
        """
        targets = _checked(texts, ratings, ridge)
        features = [_features(text, has_rules) for text in texts]
        keys, counts = np.unique(np.concatenate([each.keys for each in features]), return_counts=True)
        idf = np.log((1 + len(texts)) / (1 + counts)) + 1
        rows = SparseRows.stack([_row(each, keys, idf, len(texts))[:2] for each in features], len(keys))
        bias = float(targets.mean())
        guesses = np.zeros(len(texts))
        for held_out in _folds(texts, seed):
            kept = ~held_out
            fold_bias = float(targets[kept].mean())
            weights = ridge_weights(rows, np.where(kept, targets - fold_bias, 0.0), ridge, kept)
            values = np.clip(rows.times(weights) + fold_bias, -1, 1)
            guesses[held_out] = (values * rows.shares(kept))[held_out]
        weights = ridge_weights(rows, targets - bias, ridge, np.ones(len(texts), dtype=np.bool_))
        return cls(keys, weights, idf, bias, _slope(guesses, targets), len(texts), has_rules)

    def __call__(self, text: str) -> Encoded:
        """Return what one critique says.

        Errors: TypeError for anything but a string.
        """
        features = _features(text, self.has_rules)
        columns, values, is_seen, share = _row(features, self.keys, self.idf, self.num_texts)
        if not len(columns):
            return Encoded(None, 0.0, "abstained: nothing in it was seen in training", self.name)
        credits = values * self.weights[columns]
        value = min(1.0, max(-1.0, self.bias + float(credits.sum())))
        confidence = math.tanh(self.slope * abs(value) * share / 2)  # tanh(x / 2) = 2 p - 1
        largest = np.argsort(-np.abs(credits), kind="stable")[:MOST_NAMED]
        seen = np.flatnonzero(is_seen)
        named = ", ".join(f"{_shown(features, seen[at])} {credits[at]:+.3f}" for at in largest)
        return Encoded(value, confidence, f"weighed most: {named}; mean rating {self.bias:+.3f}", self.name)

    def encode_all(self, texts: Sequence[str]) -> list[Encoded]:
        """Return what each critique says; each is read on its own."""
        return [self(text) for text in texts]

    def save(self, path: str | Path) -> None:
        """Write the encoder to a file of NumPy arrays (npz) that holds no code."""
        meta = {"format": FORMAT, "bias": self.bias, "slope": self.slope, "num_texts": self.num_texts, "has_rules": self.has_rules}
        written = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        with Path(path).open("wb") as file:
            np.savez_compressed(file, meta=written, keys=self.keys, weights=self.weights, idf=self.idf)

    @classmethod
    def load(cls, path: str | Path) -> LearnedCritique:
        """Read an encoder that `save` wrote.

        Errors: ValueError for a file of another kind or with arrays that do not fit each other.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                meta = json.loads(file["meta"].tobytes())
                keys, weights, idf = file["keys"].astype(np.int64), file["weights"].astype(np.float64), file["idf"].astype(np.float64)
            if meta["format"] != FORMAT:
                raise ValueError(f"its format is {meta['format']!r}")
            if not keys.shape == weights.shape == idf.shape or keys.ndim != 1:
                raise ValueError(f"its arrays have shapes {keys.shape}, {weights.shape} and {idf.shape}")
            bias, slope, num_texts = float(meta["bias"]), float(meta["slope"]), int(meta["num_texts"])
            if (np.diff(keys) <= 0).any() or not np.isfinite([bias, slope, weights.sum(), idf.sum()]).all() or num_texts < 1:
                raise ValueError("its keys are not sorted or its numbers are not finite")
            return cls(keys, weights, idf, bias, slope, num_texts, bool(meta["has_rules"]))
        except (KeyError, TypeError, ValueError, zlib.error, EOFError, BadZipFile) as error:
            raise ValueError(f"expected {str(path)!r} to be a file that LearnedCritique.save wrote ({FORMAT!r}), but {error}") from error


def _checked(texts: Sequence[str], ratings: Sequence[float] | FloatArray, ridge: float) -> FloatArray:
    targets = np.asarray(ratings, dtype=np.float64)
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence of critiques, got one string: put it in a list")
    if targets.ndim != 1 or len(texts) != len(targets):
        raise ValueError(f"texts and ratings must be of one length, got {len(texts)} texts and ratings of shape {targets.shape}")
    if not len(targets):
        raise ValueError("texts must hold at least 1 rated critique, got none: use CritiqueRules, which needs no training")
    wrong = np.flatnonzero(~(np.abs(targets) <= 1))
    if len(wrong):
        raise ValueError(
            f"ratings must be from -1 to 1, got {targets[wrong[0]]} at {wrong[0]}: scale them, and leave out critiques without a rating"
        )
    if not (ridge > 0 and math.isfinite(ridge)):
        raise ValueError(f"ridge must be positive and finite, got {ridge}")
    return targets


def _folds(texts: Sequence[str], seed: int) -> list[npt.NDArray[np.bool_]]:
    """Return which texts to hold out, [N] for each fold; equal texts are in one fold, and a single text is never held out."""
    distinct = sorted(set(texts))
    number = dict(zip(distinct, np.random.default_rng(seed).permutation(len(distinct)), strict=True))
    fold = np.array([number[text] % FOLDS for text in texts])
    return [fold == each for each in np.unique(fold)] if len(distinct) > 1 else []


def _slope(guesses: FloatArray, ratings: FloatArray) -> float:
    """Return the slope k >= 0 that makes p = 1 / (1 + exp(-k |guess|)) the likeliest probability that a guess has the rating's sign.

    One imagined error of the largest size keeps it finite where all guesses are right. Found by bisection of the derivative, which falls.
    """
    is_told = (ratings != 0) & (guesses != 0)
    if not is_told.any():
        return 0.0
    signed = np.append((guesses * np.sign(ratings))[is_told], -np.abs(guesses).max())
    low, high = 0.0, 1e6
    while (middle := (low + high) / 2) not in (low, high):
        is_rising = float((signed / (1 + np.exp(np.minimum(middle * signed, 700.0)))).sum()) > 0
        low, high = (middle, high) if is_rising else (low, middle)
    return low


@cache
def _rules() -> CritiqueRules:
    return CritiqueRules()


def _features(text: str, has_rules: bool) -> Features:
    if not isinstance(text, str):
        raise TypeError(f"a critique must be a string, got {type(text).__name__}: leave out the answers that have no text")
    whole = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()  # half of a character (a lone surrogate) becomes "?"
    read = unicodedata.normalize("NFKC", whole).casefold()[:MAX_CHARACTERS]
    tokens = words(read)
    runs = Counter([*tokens, *(f"{first} {second}" for first, second in pairwise(tokens))])
    padded = f" {' '.join(read.split())} " if read.strip() else ""
    pieces = Counter([padded[start : start + size] for size in (3, 4, 5) for start in range(len(padded) - size + 1)])
    said = _said_by_rules(text) if has_rules else {}
    names = ([*runs], [*pieces], [*said])
    keys = [4 * zlib.crc32(name.encode()) + kind for kind, of in enumerate(names) for name in of]
    numbers = [*np.log1p(np.array([*runs.values(), *pieces.values()]) - 1.0) + 1.0, *said.values()]
    return Features([*runs, *pieces, *said], np.array(keys, dtype=np.int64), np.array(numbers, dtype=np.float64))


def _shown(features: Features, at: int) -> str:
    """Return a feature as an explanation names it: words in quotes, pieces of them between dots."""
    forms = {WORDS: '"{}"', PIECES: "...{}...", RULES: "rules' {}"}
    return forms[int(features.keys[at] % 4)].format(features.names[at])


def _said_by_rules(text: str) -> dict[str, float]:
    """Return what the rules say of each side of a text and in all, from -1 to 1."""
    encoded = _rules()(text)
    said = {aspect.name: aspect.polarity * aspect.strength for aspect in encoded.aspects}
    return said if encoded.value is None else {**said, "value": encoded.value}


def _row(features: Features, keys: KeyArray, idf: FloatArray, num_texts: int) -> tuple[KeyArray, FloatArray, npt.NDArray[np.bool_], float]:
    """Return the columns and values of the features that were seen in training, which those are, and their share of the squared length."""
    at = np.searchsorted(keys, features.keys)
    is_seen = np.append(keys, -1)[at] == features.keys
    values = features.numbers * np.where(is_seen, np.append(idf, 0.0)[at], math.log(1 + num_texts) + 1)
    kinds = features.keys % 4
    total = seen = 0.0
    for kind in (WORDS, PIECES):
        of_kind = kinds == kind
        square = float((values[of_kind] ** 2).sum())
        if square:
            values[of_kind] /= math.sqrt(2 * square)
            total += 0.5
            seen += float((values[of_kind & is_seen] ** 2).sum())
    values = np.where(kinds == RULES, features.numbers, values)
    return at[is_seen], values[is_seen], is_seen, min(seen / total, 1.0) if total else 0.0
