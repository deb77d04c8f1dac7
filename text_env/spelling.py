"""Say which bytes each token writes, so that what a response will read can be followed while it is being written.

A token may write a part of a character (byte-level pieces, byte fallback), or other bytes at the beginning of a text than inside one
(pieces that carry a leading space which decoding drops). Both are taken from the tokenizer's own decoding, and checked against it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from text_env.tokens import ByteVocabulary, FastVocabulary, Tokens

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
NUM_CHECKS, CHECKED_TOKENS = 256, 4  # texts that are decoded whole and in parts, and tokens in each
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Spelling:
    """Hold what tokens write; a token that writes nothing (an end token, any other special token) is in neither dictionary.

    Args:
        first: bytes of each token at the beginning of a text.
        later: bytes of each token after another one.
    """

    first: dict[int, bytes]
    later: dict[int, bytes]


def spelling_of(tokens: Tokens) -> Spelling:
    """Return the bytes that each token writes.

    Errors: ValueError for a tokenizer under which a token's text depends on more than whether it comes first.
    """
    ids = sorted(set(tokens.pieces) - set(tokens.eos_ids))
    if isinstance(tokens.vocabulary, ByteVocabulary):
        alone = {id: bytes([id]) for id in ids if id != ByteVocabulary.END}
        return Spelling(alone, alone)
    anchor = _anchor(tokens)
    before = tokens.decode([anchor])
    alone_texts = tokens.decode_rows([[id] for id in ids])
    after_texts = tokens.decode_rows([[anchor, id] for id in ids])
    is_part = [REPLACEMENT in alone or REPLACEMENT in after for alone, after in zip(alone_texts, after_texts, strict=True)]
    raw = _raw_bytes(tokens, [id for id, part in zip(ids, is_part, strict=True) if part])
    first: dict[int, bytes] = {}
    later: dict[int, bytes] = {}
    for id, alone_text, after_text, part in zip(ids, alone_texts, after_texts, is_part, strict=True):
        if part:
            if id in raw:
                first[id] = later[id] = raw[id]
            continue
        if alone_text:
            first[id] = alone_text.encode()
        if len(after_text) > len(before) and after_text.startswith(before):
            later[id] = after_text[len(before) :].encode()
    spelling = Spelling(first, later)
    _check(tokens, spelling)
    return spelling


def _anchor(tokens: Tokens) -> int:
    """Return a token that writes the same letters at the beginning of a text and after another one."""
    for letter in "aeinost":
        ids = tokens.encode(letter).tolist()
        if ids and letter in tokens.decode([ids[-1]]):
            return int(ids[-1])
    plain = [id for id in tokens.pieces if id not in tokens.eos_ids]
    texts = tokens.decode_rows([[id] for id in plain])
    for id, text in zip(plain, texts, strict=True):
        if text and REPLACEMENT not in text:
            return id
    raise ValueError(f"no token of {tokens.name!r} writes a text, so there is nothing that a constraint on the text could allow")


def _raw_bytes(tokens: Tokens, ids: list[int]) -> dict[int, bytes]:
    """Return the bytes of those pieces that spell bytes: `<0xC3>`, or GPT-2's letters for bytes where the decoder reads those."""
    letters = _byte_letters() if ids and _reads_byte_letters(tokens) else {}
    raw = {}
    for id in ids:
        piece = tokens.pieces[id]
        fallback = _FALLBACK.fullmatch(piece)
        if letters:
            is_spelled = all(letter in letters for letter in piece)
            raw[id] = bytes(letters[letter] for letter in piece) if is_spelled else piece.encode()
        elif fallback:
            raw[id] = bytes([int(fallback[1], 16)])
    return raw


def _reads_byte_letters(tokens: Tokens) -> bool:
    if not isinstance(tokens.vocabulary, FastVocabulary):
        return hasattr(getattr(tokens.vocabulary, "tokenizer", None), "byte_decoder")
    decoder: dict[str, Any] = json.loads(tokens.vocabulary.tokenizer.to_str())["decoder"] or {}
    return any(part.get("type") == "ByteLevel" for part in (decoder, *decoder.get("decoders", ())))


def _byte_letters() -> dict[str, int]:
    """Return which byte each letter of a byte-level vocabulary stands for (Radford et al. 2019).

    A printable byte of Latin-1 stands for itself; the others, in ascending order, are the characters from 256 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _check(tokens: Tokens, spelling: Spelling) -> None:
    """Compare texts decoded whole with what their tokens write."""
    rng = np.random.default_rng(0)
    starts, rest = sorted(spelling.first), sorted(spelling.later)
    if not starts or not rest:
        return
    rows = [
        [starts[first], *(rest[place] for place in places)]
        for first, places in zip(
            rng.integers(len(starts), size=NUM_CHECKS), rng.integers(len(rest), size=(NUM_CHECKS, CHECKED_TOKENS - 1)), strict=True
        )
    ]
    for row, text in zip(rows, tokens.decode_rows(rows), strict=True):
        written = spelling.first[row[0]] + b"".join(spelling.later[id] for id in row[1:])
        if text != written.decode(errors="replace") and REPLACEMENT not in text:
            raise ValueError(
                f"tokenizer {tokens.name!r} decodes {row} as {text!r}, its tokens one by one write {written.decode(errors='replace')!r}: "
                "a constraint on the text needs a tokenizer whose tokens keep their text whatever stands beside them"
            )
