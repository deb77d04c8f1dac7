"""Pay for progress while a text is being written, without changing what is best.

Ng, Harada and Russell 1999, "Policy invariance under reward transformations": a reward to which the change of a potential is added has the
same best policy, whatever the potential, if the potential of every end is the same. Left out: a discount, which the shaped score has none
of, and a potential that is learned (`agents.redistribute` takes the values of a critic).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.cached import Cached
from feedback.source import as_feedback
from text_env.scoring import Judge
from text_env.tokens import load_tokens

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback


class Shaped:
    """Pay each token by how much it raises a potential, and the last one what is missing to the score. A `text_env.PrefixFeedback`.

    pay_t = P(s_t+1) - P(s_t),   P(s) = weight * (potential of s - potential of the empty response), and P = 0 after the end;
    pay of the last token = score - P(s)

    So every response is paid its score in all, which is also what is logged; the best policy, the best one at a price for divergence, and
    the expected gradient of the score from returns-to-go stay what they were. What moves is the variance, and what a critic has to
    predict: its values become V(s) - P(s), so a potential near to V leaves it little to learn.

    Args:
        source: judges the finished response. Where it abstains that is an error, since what was paid cannot be taken back: give it an
            `otherwise(score)`.
        potential: a source that judges unfinished responses too (`Episode.ending` is None), the empty one included; it must be
            deterministic. Each prefix is asked about once, as long as it is among the last 10,000.
        weight: factor of the potential; 0 = all pay at the end.
        tokenizer: that of the environment, with which the text before the newest token is read.

    An episode that is cut off from outside has been paid P(s) and no score. A partner's words belong to the token before them.
    """

    def __init__(self, source: Feedback | str, potential: Feedback | str, weight: float = 1.0, tokenizer: Any = "tinylm") -> None:
        if not math.isfinite(weight):
            raise ValueError(f"weight must be a finite number, got {weight}")
        self.source = as_feedback(source)
        if Judge(self.source).is_comparative:
            raise ValueError(f"{Judge(self.source).name} compares the members of a batch, so it cannot score a response when it ends")
        self.potential = Cached(as_feedback(potential))
        self.weight = float(weight)
        self.tokens = load_tokens(tokenizer)
        self.low, self.high, self.unit = self.source.low, self.source.high, self.source.unit

    def pay(self, prefixes: Sequence[Episode]) -> list[float]:
        """Return what the newest token of each row earned."""
        before = self._before(prefixes)
        ended = [prefix for prefix in prefixes if prefix.ending is not None]
        writing = [prefix for prefix in prefixes if prefix.ending is None]
        starts = [replace(prefix, ids=prefix.ids[:0], is_action=prefix.is_action[:0], response="", ending=None) for prefix in ended]
        potentials = iter(self._potentials([*before, *writing, *starts]))
        p_before = [next(potentials) for _ in before]
        p_writing = iter([next(potentials) for _ in writing])
        p_start = iter(list(potentials))
        scores = iter(self._scores(ended))
        return [
            (next(p_writing) - was) if prefix.ending is None else next(scores) - (was - next(p_start))
            for prefix, was in zip(prefixes, p_before, strict=True)
        ]

    def __repr__(self) -> str:
        """Show the settings."""
        return f"Shaped({self.source!r}, {self.potential.source!r}, weight={self.weight:g}, tokenizer={self.tokens.name!r})"

    def _before(self, prefixes: Sequence[Episode]) -> list[Episode]:
        """Return what each row held before its newest own token."""
        lengths = [int(np.flatnonzero(prefix.is_action)[-1]) for prefix in prefixes]
        cut = [prefix.ids[:length] for prefix, length in zip(prefixes, lengths, strict=True)]
        texts = self.tokens.decode_rows([*cut, *(prefix.ids for prefix in prefixes)])
        for prefix, text in zip(prefixes, texts[len(cut) :], strict=True):
            if prefix.ending is None and prefix.response != text:
                raise ValueError(
                    f"the environment reads {prefix.response[:40]!r} where tokenizer {self.tokens.name!r} reads {text[:40]!r}: "
                    "give Shaped the tokenizer of the environment, Shaped(..., tokenizer=...)"
                )
        return [
            replace(prefix, ids=ids, is_action=prefix.is_action[: len(ids)], response=text, ending=None)
            for prefix, ids, text in zip(prefixes, cut, texts[: len(cut)], strict=True)
        ]

    def _potentials(self, prefixes: Sequence[Episode]) -> list[float]:
        return [self.weight * _opinion(said.score, self.potential.source, prefix) for said, prefix in self._said(self.potential, prefixes)]

    def _scores(self, ended: Sequence[Episode]) -> list[float]:
        return [_opinion(said.score, self.source, episode) for said, episode in self._said(self.source, ended)]

    def _said(self, source: Feedback, episodes: Sequence[Episode]) -> list[tuple[Any, Episode]]:
        return list(zip(Judge(source).ask(episodes), episodes, strict=True))


def _opinion(score: float | None, source: Any, episode: Episode) -> float:
    if score is None:
        raise ValueError(
            f"{Judge(source).name} abstained on {episode.response[:60]!r}, but what is paid token by token cannot be taken back: "
            "say what its silence is worth, by its otherwise(score)"
        )
    return score
