"""Decide by a hash to which split a thing belongs, so that it is the same in every language, process and version."""

from __future__ import annotations

import hashlib

from text_env.prompts import SPLITS, Split

HELD_OUT_SHARE = 0.2


def split_of(thing: str) -> Split:
    """Return "held_out" for a fifth of all things and "train" for the others.

    Args:
        thing: what must not be seen on both sides: a number, a date, a source text; not the prompt that is made of it.
    """
    share = int.from_bytes(hashlib.sha256(thing.encode()).digest()[:8]) / 2**64
    return "held_out" if share < HELD_OUT_SHARE else "train"


def check_split(split: str) -> None:
    """Raise a ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f'split must be "train" or "held_out", got {split!r}')


def check_language(language: str, known: tuple[str, ...], source: str = "") -> None:
    """Raise a ValueError that names the languages there are."""
    if language not in known:
        pair = f"{source} to {language!r}" if source else repr(language)
        raise ValueError(f"language must be one of {', '.join(map(repr, known))}, got {pair}")
