"""Say which words earned a score, and put what each earned on the tokens that wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from feedback.source import Source, as_feedback
from feedback.words import WORD
from text_env.scoring import Judge
from text_env.tokens import load_tokens

if TYPE_CHECKING:
    from text_env.episode import Episode, Feedback, FloatArray, Judgement

Span = tuple[int, int]


class WordCredit(Source):
    """Score as another source does, and say by how much each word changed the score.

    credit of word k = score of the response up to word k - score of the response up to word k - 1

    A word stands for itself, the blanks before it and the signs behind it. Its credit is divided among the tokens that wrote it, by
    characters; the score of the empty response, and what no token can be found for, is on the last token that the agent chose. The token
    scores sum to the score, so `agents.collect` pays each token its own part, and the environment pays the sum at the end.

    Args:
        source: judges the response and its beginnings (with `Episode.ending` None), so it must make sense on unfinished text: a lexicon, a
            count, a rule; hardly a reward model that has only seen whole texts.
        tokenizer: that of the environment, with which the tokens are read.
        max_spans: a response of more words is cut into this many runs of words, each credited as one.

    It abstains where the source abstains on the whole response; a beginning on which it abstains changes nothing.
    Cost: the source is asked about as many texts as there are words, at most max_spans + 1 for each episode, all in one batch.
    An empty response has the score that the source gives it, on its last token.
    Gamed by: whatever games the source.
    """

    def __init__(self, source: Feedback | str = "feedback.sentiment:Sentiment", tokenizer: Any = "tinylm", max_spans: int = 64) -> None:
        if max_spans < 1:
            raise ValueError(f"max_spans must be at least 1, got {max_spans}")
        self.source = as_feedback(source)
        if Judge(self.source).is_comparative:
            raise ValueError(f"{Judge(self.source).name} compares the members of a batch, so it cannot judge their beginnings among them")
        self.tokenizer = tokenizer
        self.max_spans = max_spans
        self._tokens = load_tokens(tokenizer)
        self.low, self.high, self.unit = self.source.low, self.source.high, self.source.unit

    @classmethod
    def example(cls) -> WordCredit:
        """Return sentiment by words, for responses that are written in bytes."""
        return cls(tokenizer="bytes", max_spans=8)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the source's judgement of each episode, with a score for each token."""
        spans = [_spans(episode.response, self.max_spans) for episode in episodes]
        places = [self._places(episode) for episode in episodes]
        beginnings = [
            _cut(episode, end, ends)
            for episode, ends, of in zip(episodes, places, spans, strict=True)
            for end in [0, *(e for _, e in of[:-1])]
        ]
        said = Judge(self.source).ask([*episodes, *beginnings])
        earlier = iter(said[len(episodes) :])
        judged = []
        for episode, whole, ends, of in zip(episodes, said[: len(episodes)], places, spans, strict=True):
            scores = [next(earlier).score for _ in [0, *of[:-1]]]
            judged.append(whole if whole.score is None else replace(whole, token_scores=_by_token(episode, whole.score, scores, of, ends)))
        return judged

    def _places(self, episode: Episode) -> list[int]:
        """Return how many characters of the response stand there after each token."""
        written = self._tokens.decode(episode.ids)
        if not written.startswith(episode.response):
            raise ValueError(
                f"the response is {episode.response[:40]!r} where tokenizer {self._tokens.name!r} reads {written[:40]!r}: "
                "give WordCredit the tokenizer of the environment, WordCredit(..., tokenizer=...)"
            )
        return np.minimum(self._tokens.characters_after(episode.ids), len(episode.response)).tolist()


def _spans(text: str, max_spans: int) -> list[Span]:
    """Return the words of a text as [start, end), each with the blanks before it and the signs behind it; one span where there is none."""
    starts = [0, *[len(text[: found.start()].rstrip()) for found in WORD.finditer(text)][1:]]
    if len(starts) > max_spans:
        starts = [starts[number * len(starts) // max_spans] for number in range(max_spans)]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _cut(episode: Episode, end: int, ends: Sequence[int]) -> Episode:
    """Return the beginning of an episode up to a character."""
    count = sum(place <= end for place in ends) if end else 0
    return replace(episode, ids=episode.ids[:count], is_action=episode.is_action[:count], response=episode.response[:end], ending=None)


def _by_token(
    episode: Episode, score: float, earlier: Sequence[float | None], spans: Sequence[Span], ends: Sequence[int]
) -> FloatArray | None:
    """Return what each token earned: [T].

    Args:
        earlier: scores of the empty response and of the response up to each word but the last.
        ends: characters after each token.
    """
    if len(episode.ids) == 0:
        return None
    after = np.array(ends)
    before = np.array([0, *ends[:-1]])
    earned = np.zeros(len(ends))
    last = 0.0 if earlier[0] is None else earlier[0]
    for (start, end), reached in zip(spans, [*earlier[1:], score], strict=True):
        if reached is None:
            continue
        wrote = np.clip(np.minimum(after, end) - np.maximum(before, start), 0, None)
        if wrote.any():
            earned += (reached - last) * wrote / wrote.sum()
        last = reached
    chosen = np.flatnonzero(episode.is_action)
    earned[chosen[-1] if len(chosen) else -1] += score - earned.sum()
    return earned
