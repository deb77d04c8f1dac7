"""Read and write corpora of short texts as JSON lines, and split them into a training and a held-out part."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .cleaning import clean_text, is_invented, rare_words

HELD_OUT_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Text:
    """Hold one text of a corpus; `mood` is what a review was asked to have, `finished` whether the writer ended it itself."""

    kind: str
    mood: str
    finished: bool
    text: str


def read_corpus(path: Path) -> list[Text]:
    """Read JSON lines, gzipped if the name ends in .gz.

    Raises:
        ValueError: a line lacks a field; the message names the file and the line.
    """
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(Text(**json.loads(line)))
        except (TypeError, json.JSONDecodeError) as error:
            expected = "an object with kind, mood, finished and text"
            raise ValueError(f"{path}, line {number}: expected {expected}, got {line[:60]!r}") from error
    return texts


def write_corpus(path: Path, texts: Iterable[Text]) -> None:
    """Write JSON lines, gzipped without a time stamp if the name ends in .gz, so that equal texts give equal files."""
    data = "".join(json.dumps(asdict(text), ensure_ascii=False) + "\n" for text in texts).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def clean_corpus(texts: Iterable[Text]) -> tuple[list[Text], dict[str, Counter[str]], list[tuple[str, Text]]]:
    """Clean every text, and drop invented words and what is a duplicate afterwards.

    Returns: the clean texts in their order; the counts of each kind by reason; the dropped texts with their reasons.
    """
    kept: list[tuple[Text, str]] = []
    dropped: list[tuple[str, Text]] = []
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        verdict = clean_text(text.text, text.kind)
        if verdict.text is None:
            dropped.append((verdict.reason, text))
        else:
            kept.append((Text(text.kind, text.mood, text.finished, verdict.text), verdict.reason))
    rare = rare_words(text.text for text, _ in kept)
    seen: set[str] = set()
    clean = []
    for text, reason in kept:
        key = " ".join(text.text.lower().split())
        if is_invented(text.text, rare):
            dropped.append(("invented words", text))
        elif key in seen:
            dropped.append(("duplicate", text))
        else:
            seen.add(key)
            clean.append(text)
            counts.setdefault(text.kind, Counter())[reason] += 1
    for reason, text in dropped:
        counts.setdefault(text.kind, Counter())[reason] += 1
    return clean, counts, dropped


def is_held_out(text: str) -> bool:
    """Tell whether a clean text belongs to the held-out part.

    It does if the first eight bytes of its SHA-256, as a share of 2**64, lie below HELD_OUT_SHARE.
    """
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


def split(texts: Iterable[Text]) -> tuple[list[str], list[str]]:
    """Return the training texts and the held-out texts."""
    parts: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        parts[is_held_out(text.text)].append(text.text)
    return parts
