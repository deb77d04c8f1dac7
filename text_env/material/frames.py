"""Put the words around a prompt that tell a model what to do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from text_env.tokens import Tokens

Maker = Callable[[np.random.Generator], dict[str, Any]]


@dataclass(frozen=True)
class Frame:
    """Hold what stands around a text.

    Args:
        before, after: the prompt is before + text + after.
        joint: what every reference begins with: a space where the response goes on with a line, nothing where a turn of its own begins.
    """

    before: str = ""
    after: str = ""
    joint: str = ""

    def around(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with the frame around its prompt, and the joint in front of its references."""
        references = [self.joint + reference for reference in row.get("references", ())]
        return {**row, "prompt": f"{self.before}{row['prompt']}{self.after}", "references": references}

    def around_made(self, maker: Maker) -> Maker:
        """Return a function that makes framed rows of those that another function makes."""
        return partial(_framed, self, maker)

    def cut(self, row: dict[str, Any], tokens: Tokens, max_tokens: int) -> dict[str, Any]:
        """Return a row whose prompt has lost its end, where that is needed for at most `max_tokens` tokens with the frame.

        The beginning is kept, because that is where most texts say what they are about.

        Errors: ValueError where the frame leaves no room.
        """
        text = row["prompt"]
        while (excess := len(tokens.encode_prompt(f"{self.before}{text}{self.after}")) - max_tokens) > 0:
            ids = tokens.encode(text)
            if excess >= len(ids):
                raise ValueError(f"max_prompt_tokens leaves {max_tokens} tokens for {self.before + self.after!r} and a text: raise it")
            # an id may hold a part of a character, which decodes to a sign that was never there
            kept = tokens.decode(ids[:-excess]).rstrip("\N{REPLACEMENT CHARACTER}")
            text = text[: min(len(kept), len(text) - 1)]
        return {**row, "prompt": text}


def _framed(frame: Frame, maker: Maker, rng: np.random.Generator) -> dict[str, Any]:
    return frame.around(maker(rng))
