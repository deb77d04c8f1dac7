"""Judge a reply in a dialogue by a weighted sum of what a good one is: to the point, polite, not repetitive, without unsafe words."""

from __future__ import annotations

from feedback.compose import WeightedSum


class DialogueScore(WeightedSum):
    """Score a reply by four sources, from -1.2 to 1 with the weights that are given here.

    score = 0.6 * EmbeddingSimilarity() + 0.2 * Politeness() - 0.2 * Repetition() + 0.4 * SafeWords() - 0.2

    The weights are a choice and were not fitted to anything. `Judgement.parts` holds each contribution.

    Args:
        similarity, politeness, repetition, safety: weights, at least 0; a source of weight 0 is left out, as politeness has to be in other
            languages than English, whose forms of it are all that it knows.

    It abstains where the prompt has no references, unless similarity=0. An empty response is as far from every reference as can be.
    Cost: that of `EmbeddingSimilarity`, about 2 ms a text.
    Gamed by: the key words of a likely answer, with thanks.
    """

    unit: str = "weighted sum"

    def __init__(self, similarity: float = 0.6, politeness: float = 0.2, repetition: float = 0.2, safety: float = 0.4) -> None:
        weights = {"similarity": similarity, "politeness": politeness, "repetition": repetition, "safety": safety}
        below = {name: weight for name, weight in weights.items() if not weight >= 0}
        if below:
            raise ValueError(f"weights must be at least 0, got {below}: repetition is taken off by itself")
        parts = [
            (similarity, "feedback.similarity:EmbeddingSimilarity"),
            (politeness, "feedback.politeness:Politeness"),
            (-repetition, "feedback.repetition:Repetition"),
            (safety, "feedback.safe_words:SafeWords"),
        ]
        super().__init__([(weight, path) for weight, path in parts if weight], constant=-safety / 2)

    @classmethod
    def example(cls) -> DialogueScore:
        """Return one with the weights that are given here."""
        return cls()
