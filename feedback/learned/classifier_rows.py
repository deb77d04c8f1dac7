"""Turn a prompt and a response into the row of ids that a classifier reads, by the classifier's own templates.

What a classifier's tokenizer takes for a control token (a separator, the end of a turn) is data where a prompt or a response spells it: a
space after its first character breaks it up, so that a response cannot close its own turn. Left out: several turns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from text_env.episode import Episode, IntArray

Of = Literal["response", "text", "pair", "chat"]


class TextRow(NamedTuple):
    """Hold one text as a classifier reads it.

    Args:
        ids: [T], at least one. types: [T], which segment an id belongs to; None where the tokenizer does not say.
        num_cut: how many tokens the text lost.
    """

    ids: IntArray
    types: IntArray | None
    num_cut: int


@dataclass(frozen=True, eq=False)
class ClassifierRows:
    """Make rows of at most `longest` tokens; a text that is too long loses its beginning, a pair or a chat that of its prompt first.

    Args:
        tokenizer: the classifier's, of the transformers library.
        of: "response", "text" (prompt and response run on), "pair" (two segments) or "chat" (a user's and an assistant's turn).

    Errors: ValueError where the tokenizer has no chat template, or the template alone is too long.
    """

    tokenizer: Any
    of: Of
    longest: int

    def rows(self, episodes: Sequence[Episode]) -> list[TextRow]:
        """Return a row for each episode."""
        texts = [self._texts(episode.prompt.text, episode.response) for episode in episodes]
        rows = self._encoded(texts)
        return [row if len(row.ids) <= self.longest else self._shortened(*text, row) for text, row in zip(texts, rows, strict=True)]

    @property
    def last_id(self) -> int:
        """Return the last id of a row."""
        return int(self._encoded([("a", "a")])[0].ids[-1])

    def _texts(self, prompt: str, response: str) -> tuple[str, str]:
        """Return the two texts that the template takes; only the second where it takes one."""
        if self.of in ("response", "text"):
            return "", self._harmless(response if self.of == "response" else prompt + response)
        return self._harmless(prompt), self._harmless(response)

    def _harmless(self, text: str) -> str:
        return text if self._control is None else self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    @cached_property
    def _control(self) -> re.Pattern[str] | None:
        named = {str(piece) for piece in self.tokenizer.all_special_tokens}
        added = {token.content for token in getattr(self.tokenizer, "added_tokens_decoder", {}).values() if token.special}
        pieces = sorted({piece for piece in named | added if len(piece) > 1}, key=lambda piece: (-len(piece), piece))
        return re.compile("|".join(map(re.escape, pieces))) if pieces else None

    def _encoded(self, texts: Sequence[tuple[str, str]]) -> list[TextRow]:
        prompts, responses = [prompt for prompt, _ in texts], [response for _, response in texts]
        settings: dict[str, Any] = {"padding": False, "truncation": False, "return_attention_mask": False, "verbose": False}
        if self.of == "chat":
            found = self.tokenizer([self._chat(*text) for text in texts], add_special_tokens=False, **settings)
        elif self.of == "pair":
            found = self.tokenizer(prompts, responses, **settings)
        else:
            found = self.tokenizer(responses, **settings)
        types = found.get("token_type_ids") or [None] * len(texts)
        return [self._row(ids, kinds) for ids, kinds in zip(found["input_ids"], types, strict=True)]

    def _row(self, ids: Sequence[int], kinds: Sequence[int] | None) -> TextRow:
        if not len(ids):  # no text, and a tokenizer that adds nothing
            return TextRow(np.array([self._nothing]), None if kinds is None else np.zeros(1, dtype=np.int64), 0)
        return TextRow(np.asarray(ids, dtype=np.int64), None if kinds is None else np.asarray(kinds, dtype=np.int64), 0)

    @property
    def _nothing(self) -> int:
        """Return the id that stands for no text."""
        named = (self.tokenizer.eos_token_id, self.tokenizer.bos_token_id, self.tokenizer.unk_token_id)
        return next((int(id) for id in named if id is not None), 0)

    def _chat(self, prompt: str, response: str) -> str:
        if not self.tokenizer.chat_template:
            raise ValueError(
                f'tokenizer {self.tokenizer.name_or_path!r} has no chat template: give of="pair" or of="text", or a tokenizer that has one'
            )
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False))

    def _shortened(self, prompt: str, response: str, whole: TextRow) -> TextRow:
        row = whole
        while (surplus := len(row.ids) - self.longest) > 0:
            if prompt:
                prompt = self._without_beginning(prompt, surplus)
            elif response:
                response = self._without_beginning(response, surplus)
            else:
                raise ValueError(f"the template alone has {len(row.ids)} tokens, a text may have {self.longest}: give a higher max_tokens")
            row = self._encoded([(prompt, response)])[0]
        return row._replace(num_cut=len(whole.ids) - len(row.ids))

    def _without_beginning(self, text: str, num_tokens: int) -> str:
        """Return a text without its first tokens, and at least one character shorter."""
        if not getattr(self.tokenizer, "is_fast", False):  # it cannot say where a token begins
            length = len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            return text[max(1, len(text) * num_tokens // max(1, length)) :]
        spans = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        return text[max(1, spans[num_tokens][0]) :] if num_tokens < len(spans) else ""
