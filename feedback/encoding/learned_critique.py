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
from pathlib import Path

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
WORD, CHARACTERS, RULE = "w", "c", "r"
MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class LearnedCritique:
    """Encode critiques by what their words were worth in rated critiques; made by `fit` or `load`.

    value = bias + sum over n-grams g of weight_g * x_g, held in [-1, 1]

    x_g is (1 + ln count) * idf, over runs of 1 and 2 words and of 3 to 5 characters, each kind scaled to length 1 / sqrt 2, so that an
    unknown n-gram takes weight from the known ones. With rules, what `CritiqueRules` says of each side of the text is there beside them.
    Confidence: the probability that the true rating is on the same side of 0 if errors are normal with the deviation that was found on
    ratings held out (5 folds; the same text is never on both sides), times the share of x that was seen in training.
    It abstains where not one n-gram was seen in training. N-grams are known by their CRC-32: of a million, 120 pairs or so collide.

    Args:
        keys, weights, idf: [F], of the n-grams seen in training; keys sorted.
        bias: mean rating in training. num_texts: of how many. residual: root of the mean squared error on what was held out.
        has_rules: whether what `CritiqueRules` says is among the features.
    """

    keys: KeyArray
    weights: FloatArray
    idf: FloatArray
    bias: float
    residual: float
    num_texts: int
    has_rules: bool = False

    name = "learned_critique"

    @classmethod
    def fit(
        cls, texts: Sequence[str], ratings: Sequence[float] | FloatArray, seed: int = 0, ridge: float = 1.0, has_rules: bool = False
    ) -> LearnedCritique:
        """Learn from critiques and their ratings; the same arguments give the same encoder, bit for bit.

        Args:
            texts: [N] critiques. ratings: [N], from -1 (bad) to 1 (good).
            seed: shuffles what is held out to measure the residual; it does not move the weights.
            ridge: penalty on the squared weights; higher values pull the values towards the mean rating.
            has_rules: use what `CritiqueRules` says too.

        Errors: ValueError for no texts, unequal lengths, ratings that are NaN or outside [-1, 1], a ridge that is not positive;
            TypeError for a text that is no string.
        Cost: about 5 s for 4,000 sentences on one core, most of it for the residual.
        """
        targets = _checked(texts, ratings, ridge)
        features = [_features(text, has_rules) for text in texts]
        keys, counts = np.unique(np.concatenate([np.fromiter(each, np.int64, len(each)) for each in features]), return_counts=True)
        idf = np.log((1 + len(texts)) / (1 + counts)) + 1
        rows = SparseRows.stack([_row(each, keys, idf, len(texts))[:2] for each in features], len(keys))
        bias = float(targets.mean())
        errors = np.full(len(texts), np.inf)
        for held_out in _folds(texts, seed):
            kept = ~held_out
            fold_bias = float(targets[kept].mean())
            weights = ridge_weights(rows, np.where(kept, targets - fold_bias, 0.0), ridge, kept)
            errors[held_out] = np.clip(rows.times(weights) + fold_bias, -1, 1)[held_out] - targets[held_out]
        residual = math.sqrt(float(np.mean(errors**2)))
        weights = ridge_weights(rows, targets - bias, ridge, np.ones(len(texts), dtype=np.bool_))
        return cls(keys, weights, idf, bias, residual, len(texts), has_rules)

    def __call__(self, text: str) -> Encoded:
        """Return what one critique says.

        Errors: TypeError for anything but a string.
        """
        features = _features(text, self.has_rules)
        columns, values, seen = _row(features, self.keys, self.idf, self.num_texts)
        if not len(columns):
            return Encoded(None, 0.0, "abstained: nothing in it was seen in training", self.name)
        shares = values * self.weights[columns]
        value = min(1.0, max(-1.0, self.bias + float(shares.sum())))
        confidence = seen * (math.erf(abs(value) / (self.residual * math.sqrt(2))) if self.residual > 0 else 1.0)
        names = {key: name for key, (name, _) in features.items()}
        largest = sorted(range(len(columns)), key=lambda at: (-abs(shares[at]), columns[at]))[:MOST_NAMED]
        named = ", ".join(f"{names[int(self.keys[columns[at]])]} {shares[at]:+.3f}" for at in largest)
        return Encoded(value, min(confidence, 1.0), f"weighed most: {named}; mean rating {self.bias:+.3f}", self.name)

    def encode_all(self, texts: Sequence[str]) -> list[Encoded]:
        """Return what each critique says; each is read on its own."""
        return [self(text) for text in texts]

    def save(self, path: str | Path) -> None:
        """Write the encoder to a file of NumPy arrays (npz) that holds no code."""
        meta = {"format": FORMAT, "bias": self.bias, "residual": self.residual, "num_texts": self.num_texts, "has_rules": self.has_rules}
        written = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        with Path(path).open("wb") as file:
            np.savez_compressed(file, meta=written, keys=self.keys, weights=self.weights, idf=self.idf)

    @classmethod
    def load(cls, path: str | Path) -> LearnedCritique:
        """Read an encoder that `save` wrote.

        Errors: ValueError for a file of another kind or with arrays that do not fit each other.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(file["meta"].tobytes())
                keys, weights, idf = file["keys"].astype(np.int64), file["weights"].astype(np.float64), file["idf"].astype(np.float64)
            if meta["format"] != FORMAT:
                raise ValueError(f"its format is {meta['format']!r}")
            if not keys.shape == weights.shape == idf.shape or keys.ndim != 1 or not np.isfinite([*weights, *idf]).all():
                raise ValueError(f"its arrays have shapes {keys.shape}, {weights.shape}, {idf.shape}, or are not finite")
            return cls(keys, weights, idf, float(meta["bias"]), float(meta["residual"]), int(meta["num_texts"]), bool(meta["has_rules"]))
        except (KeyError, TypeError, ValueError, zlib.error, EOFError) as error:
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


@cache
def _rules() -> CritiqueRules:
    return CritiqueRules()


def _features(text: str, has_rules: bool) -> dict[int, tuple[str, float]]:
    """Return the features of a text by their key: how each is named in an explanation, and its number before scaling."""
    if not isinstance(text, str):
        raise TypeError(f"a critique must be a string, got {type(text).__name__}: leave out the answers that have no text")
    read = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()[:MAX_CHARACTERS]
    tokens = words(read)
    counts = Counter(
        (WORD, gram) for size in (1, 2) for gram in map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False))
    )
    padded = f" {' '.join(read.split())} " if read.strip() else ""
    counts.update((CHARACTERS, padded[start : start + size]) for size in (3, 4, 5) for start in range(len(padded) - size + 1))
    features: dict[int, tuple[str, float]] = {}
    for (kind, gram), count in counts.items():
        name = f'"{gram}"' if kind == WORD else f"...{gram}..."
        features[_key(kind, gram)] = (name, 1 + math.log(count))
    if has_rules:
        encoded = _rules()(text)
        said = {aspect.name: aspect.polarity * aspect.strength for aspect in encoded.aspects}
        if encoded.value is not None:
            said["value"] = encoded.value
        features |= {_key(RULE, name): (f"rules' {name}", value) for name, value in said.items()}
    return features


def _key(kind: str, gram: str) -> int:
    """Return a number from 0 to 2^34 that is the same in every process; its last two bits are the kind."""
    return 4 * zlib.crc32(gram.encode("utf-8", "surrogatepass")) + (WORD, CHARACTERS, RULE).index(kind)


def _row(
    features: dict[int, tuple[str, float]], keys: KeyArray, idf: FloatArray, num_texts: int
) -> tuple[npt.NDArray[np.int64], FloatArray, float]:
    """Return the columns and values of the features that were seen in training, and what share of the squared length that is."""
    found = np.fromiter(features, np.int64, len(features))
    numbers = np.array([number for _, number in features.values()])
    at = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
    is_seen = keys[at] == found
    values = numbers * np.where(is_seen, idf[at], math.log(1 + num_texts) + 1)
    kinds = found % 4
    total = seen = 0.0
    for kind in (0, 1):
        of_kind = kinds == kind
        square = float((values[of_kind] ** 2).sum())
        values[of_kind] /= math.sqrt(2 * square) if square else 1.0
        total += square > 0
        seen += float((values[of_kind & is_seen] ** 2).sum())
    values = np.where(kinds == 2, numbers, values)
    return at[is_seen], values[is_seen], 2 * seen / total if total else 0.0
