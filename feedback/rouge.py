"""Judge a response by the words, pairs of words or longest common subsequence that it shares with references: ROUGE (Lin 2004).

Computed by rouge-score, whose figures equal those of the Perl script ROUGE-1.5.5. Left out: its splitting of texts into sentences, which
needs a download; sentences of ROUGE-Lsum stand on lines of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from feedback.metric_packages import metric_package
from feedback.references import references_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

KIND = re.compile(r"rouge[1-9L]|rougeLsum")
READ = re.compile(r"[a-z0-9]")  # all that the package reads, in lower case


class Rouge(Source):
    """Score how much of the references' words a response holds, from 0 to 1: the F measure of ROUGE, as rouge-score computes it.

    score = 2 P R / (P + R),   P = m / (units of the response),   R = m / (units of the reference)

    Units are n-grams of words for "rouge1", "rouge2" and so on, and m counts the common ones; for "rougeL" they are words, and m is the
    length of the longest common subsequence; "rougeLsum" takes it line by line and joins what was found. Of several references the one with
    the highest F counts. `parts` holds precision and recall. The figure of a corpus is the mean of these.
    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries".

    Args:
        kind: "rouge1" to "rouge9", "rougeL" or "rougeLsum".
        stemming: compare the stems of words (Porter's, English).

    Words are runs of a-z and 0-9 in lower case; everything else is dropped: "été" is "t", and a reference without such a letter is an
    error. A reference of fewer than n words has no n-gram, so that every response scores 0 against it.
    It abstains where the prompt has no references; an empty response scores 0.
    Cost: about 0.1 ms for a response and a reference of ten words; rougeL grows with the product of both lengths, to 0.5 s for 1,000 words
    each. Importing the package takes about two seconds.
    Gamed by: the reference's words in any order (rouge1), and frequent words of the source text; it knows nothing of sense or truth.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "ROUGE F"

    def __init__(self, kind: str = "rougeL", stemming: bool = False) -> None:
        if not KIND.fullmatch(kind):
            raise ValueError(f"kind must be rouge1 to rouge9, rougeL or rougeLsum, got {kind!r}")
        metric_package("rouge_score.rouge_scorer", "Rouge")
        self.kind = kind
        self.stemming = stemming

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the F measure of each response with precision and recall; None where its prompt has no references."""
        scorer = _scorer(self.kind, self.stemming)
        return [
            self._judged(scorer, episode.response, references) if (references := references_of(episode)) else None for episode in episodes
        ]

    def _judged(self, scorer: Any, response: str, references: tuple[str, ...]) -> Judgement:
        for reference in references:
            if not READ.search(reference.lower()):
                raise ValueError(f"ROUGE reads the letters a-z and digits, and reference {reference[:60]!r} has none: use Chrf")
        found = scorer.score_multi(references, response)[self.kind]
        parts = {"precision": float(found.precision), "recall": float(found.recall)}
        return Judgement(float(found.fmeasure), rater="Rouge", parts=parts)


@cache
def _scorer(kind: str, stemming: bool) -> Any:
    """Make what compares once in a process; comparing changes nothing in it."""
    return metric_package("rouge_score.rouge_scorer", "Rouge").RougeScorer([kind], use_stemmer=stemming)
