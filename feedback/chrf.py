"""Judge a response by the character n-grams that it shares with references: chrF, chrF+ and chrF++ (Popović 2015, 2017).

Computed by sacrebleu (Post 2018), whose figures are the ones that papers report. Left out: n-grams across spaces, and the smoothing of the
first script, which sacrebleu offers for comparison with old figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from feedback.metric_packages import metric_package
from feedback.references import parallel_references, references_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode


class Chrf(Source):
    """Score how much of the references a response writes, letter by letter, from 0 to 1: sentence-level chrF, a hundredth of sacrebleu's.

    score = (1 + beta^2) P R / (beta^2 P + R)

    P is the share of the response's n-grams that stand in the reference (each as often as there), R the share of the reference's in the
    response, both averaged over n = 1 .. char_order of characters, without spaces, and n = 1 .. word_order of words; lengths of which
    either text has no n-gram do not count. Of several references the best one counts. `parts` holds precision and recall.
    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; word n-grams: Popović 2017.

    Args:
        word_order: longest n-gram of words; 0 = chrF, 2 = chrF++.
        char_order: longest n-gram of characters.
        beta: weight of recall; 1 = equal, 2 = recall counts twice as much.
        ignore_case: compare in lower case.

    It abstains where the prompt has no references; an empty response scores 0. The figure of a corpus is another number than the mean of
    these: `corpus_chrf`.
    Cost: about 0.2 ms for a response and a reference of ten words, the reference's n-grams being kept.
    Gamed by: the reference's words in any order, which score 0.7 to 0.8 where they are long; and, since recall counts more, writing on: at
    beta = 2 a text twice the length of the reference that holds all of it still scores 0.8.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "chrF"

    def __init__(self, word_order: int = 0, char_order: int = 6, beta: int = 2, ignore_case: bool = False) -> None:
        for name, value, least in (("word_order", word_order, 0), ("char_order", char_order, 1), ("beta", beta, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        metric_package("sacrebleu", "Chrf")
        self.word_order = word_order
        self.char_order = char_order
        self.beta = beta
        self.ignore_case = ignore_case

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the chrF of each response with its precision and recall; None where its prompt has no references."""
        return [self._judged(episode.response, references) if (references := references_of(episode)) else None for episode in episodes]

    def _judged(self, response: str, references: tuple[str, ...]) -> Judgement:
        metric = _prepared(references, self.word_order, self.char_order, self.beta, self.ignore_case)
        # the counts, and not `sentence_score`: they give the parts as well, and the references are counted once
        (counts,) = metric._extract_corpus_statistics([response], None)
        score = metric._compute_score_from_stats(counts).score / 100
        precision, recall = _precision_and_recall(counts)
        return Judgement(min(score, 1.0), rater="Chrf", parts={"precision": precision, "recall": recall})


def corpus_chrf(episodes: Sequence[Episode], word_order: int = 0, char_order: int = 6, beta: int = 2, ignore_case: bool = False) -> float:
    """Return the chrF of many responses as one corpus, from 0 to 1: `sacrebleu -m chrf` on the same lines, divided by 100.

    N-grams are counted over all responses before the shares are taken, so that long texts count more than in the mean of `Chrf`. Of an
    episode's references the best one counts. Arguments are those of `Chrf`.

    Errors: ValueError for no episodes, and for one without references.
    """
    references = parallel_references(episodes)
    metric = metric_package("sacrebleu", "corpus_chrf").CHRF(char_order=char_order, word_order=word_order, beta=beta, lowercase=ignore_case)
    return float(metric.corpus_score([episode.response for episode in episodes], references).score) / 100


@lru_cache(maxsize=1024)
def _prepared(references: tuple[str, ...], word_order: int, char_order: int, beta: int, ignore_case: bool) -> Any:
    """Return sacrebleu's metric with the n-grams of some references, which many responses are compared with."""
    sacrebleu = metric_package("sacrebleu", "Chrf")
    columns = [[reference] for reference in references]
    return sacrebleu.CHRF(char_order=char_order, word_order=word_order, beta=beta, lowercase=ignore_case, references=columns)


def _precision_and_recall(counts: Sequence[int]) -> tuple[float, float]:
    """Return both, of counts of n-grams: of the response, the reference and both, one triple for each length."""
    triples = [counts[start : start + 3] for start in range(0, len(counts), 3)]
    shares = [(both / written, both / wished) for written, wished, both in triples if written and wished]
    if not shares:
        return 0.0, 0.0
    return sum(share[0] for share in shares) / len(shares), sum(share[1] for share in shares) / len(shares)
