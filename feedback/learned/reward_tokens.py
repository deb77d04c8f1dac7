"""Turn passages and episodes into the rows of ids that a reward model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from text_env.episode import Ending, Episode
from text_env.tokens import FastVocabulary, SlowVocabulary, Tokens, load_tokens

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowMaker:
    """Make a row: what the tokenizer puts before a text, the prompt, the response, and what it puts after.

    No end token is added, and those at the end of a response are taken off: a response that was cut reads as one that was finished. A row
    that is too long loses the beginning of its text. A text without tokens is read as one end token.

    Args:
        tokens: the model's tokenizer. longest: tokens of a row, at most.
        after: ids behind a text ([SEP] of BERT, [SEP][CLS] of XLNet).
        written_by: fingerprint of the tokenizer that episodes were written with; where it is this one's, their ids are read as they are,
            and else their text is encoded. "" = unknown.
    """

    tokens: Tokens
    longest: int
    after: tuple[int, ...] = ()
    written_by: str = ""

    @classmethod
    def of(cls, tokens: Tokens, longest: int, written_by: str = "") -> RowMaker:
        """Ask a tokenizer what it puts after a text."""
        return cls(tokens, longest, _after_text(tokens), written_by)

    def row(self, prompt: str, response: str, ids: Sequence[int] | IntArray | None = None) -> IntArray:
        """Return the row of one text.

        Args:
            ids: of the response, where they are known and are this tokenizer's.
        """
        written = self.tokens.encode(response) if ids is None else np.asarray(ids, dtype=np.int64)
        while len(written) and int(written[-1]) in self.tokens.eos_ids:
            written = written[:-1]
        before = np.asarray(self.tokens.start_ids, dtype=np.int64)
        text = np.concatenate([self._prompt(prompt), written])
        text = text[max(0, len(text) - (self.longest - len(before) - len(self.after))) :]
        row = np.concatenate([before, text, np.asarray(self.after, dtype=np.int64)])
        return row if len(row) else np.array([self.tokens.eos_ids[0]], dtype=np.int64)

    def rows(self, episodes: Sequence[Episode]) -> list[IntArray]:
        """Return a row for each episode; its ids are not encoded again where they are this tokenizer's and all of them were kept."""
        same = self.written_by == self.tokens.fingerprint
        return [
            self.row(each.prompt.text, each.response, each.ids if same and each.ending is not Ending.STOP else None) for each in episodes
        ]

    def _prompt(self, prompt: str) -> IntArray:
        return _encoded(self.tokens, prompt)


def reward_tokenizer(source: Any, vocab_size: int) -> Tokens:
    """Return the tokenizer of a reward model's trunk.

    One without an end token, as encoders have it, gets its separator's id in that place.

    Errors: ValueError for an unknown name, or a vocabulary that is larger than the trunk's.
    """
    eos_ids = None
    if hasattr(source, "apply_chat_template") and source.eos_token_id is None:
        ids = [each for each in (source.sep_token_id, source.pad_token_id) if each is not None]
        eos_ids = ids[:1] or [0]
    tokens = load_tokens(source, eos_ids=eos_ids)
    if tokens.num_tokens > vocab_size:
        raise ValueError(f"tokenizer {tokens.name!r} has {tokens.num_tokens} tokens, the trunk knows {vocab_size}: give the trunk's own")
    return tokens


@lru_cache(maxsize=4096)
def _encoded(tokens: Tokens, prompt: str) -> IntArray:
    return tokens.encode(prompt)


def _after_text(tokens: Tokens) -> tuple[int, ...]:
    vocabulary = tokens.vocabulary
    if not isinstance(vocabulary, FastVocabulary | SlowVocabulary):
        return ()
    found = vocabulary.tokenizer.encode("a")
    whole = [int(id) for id in (found.ids if isinstance(vocabulary, FastVocabulary) else found)]
    return tuple(whole[len(tokens.start_ids) + len(tokens.encode("a")) :])
