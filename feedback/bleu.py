"""Judge a response by the word n-grams that it shares with references: BLEU (Papineni et al. 2002) of single sentences and of a corpus.

Computed by sacrebleu (Post 2018). Left out: its tokenizers that need a download or a dictionary (spm, flores, ja-mecab, ko-mecab).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from feedback.metric_packages import metric_package
from feedback.references import parallel_references, references_of
from feedback.source import Source
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

Smoothing = Literal["exp", "floor", "add-k", "none"]
Tokenizing = Literal["13a", "intl", "char", "zh", "none"]


class Bleu(Source):
    """Score a response by sentence BLEU, from 0 to 1: a hundredth of what sacrebleu says at sentence level.

    score = min(1, exp(1 - r / c)) * (p_1 p_2 .. p_N)^(1 / N)

    p_n is the share of the response's n-grams of words that stand in a reference, each at most as often as in the one that has it most
    often; c is the response's length in words, r that of the reference nearest in length. N is `max_order`, or the response's length where
    it has fewer words (the effective order). A p_n of 0 would make the score 0, so it is smoothed. `parts` holds the p_n and the brevity
    penalty.
    Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; smoothing: Chen & Cherry 2014.

    Args:
        smoothing: what stands for a p_n without a match: "exp" 1/2, 1/4, 1/8 .. of one n-gram (the default of sacrebleu), "floor" a tenth
            of one; "add-k" adds one to every count from n = 2 on; "none" lets the score be 0.
        max_order: longest n-gram.
        tokenize: how words are cut: "13a" as in WMT, "intl" by Unicode's classes of signs, "char" into characters, "zh" Chinese into
            characters, "none" by spaces.
        ignore_case: compare in lower case.

    It abstains where the prompt has no references; an empty response, and one that shares no word with a reference, score 0.
    BLEU was made for corpora: that of a corpus is another number than the mean of these (`corpus_bleu`), and the one to report.
    Cost: about 0.1 ms for a response and a reference of ten words, the reference's n-grams being kept.
    Gamed by: a response cut to the words that are sure, down to the length at which the brevity penalty bites; frequent words of several
    references together, which no single reference has.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "BLEU"

    def __init__(self, smoothing: Smoothing = "exp", max_order: int = 4, tokenize: Tokenizing = "13a", ignore_case: bool = False) -> None:
        _check(smoothing, max_order, tokenize)
        metric_package("sacrebleu", "Bleu")
        self.smoothing = smoothing
        self.max_order = max_order
        self.tokenize = tokenize
        self.ignore_case = ignore_case

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement | None]:
        """Return the BLEU of each response with its parts; None where its prompt has no references."""
        return [self._judged(episode.response, references) if (references := references_of(episode)) else None for episode in episodes]

    def _judged(self, response: str, references: tuple[str, ...]) -> Judgement:
        metric = _prepared(references, self.smoothing, self.max_order, self.tokenize, self.ignore_case)
        found = metric.corpus_score([response], None)  # of one response, which with the effective order is the sentence score
        parts = {f"{number}-gram precision": share / 100 for number, share in enumerate(found.precisions, 1)}
        # the mean of logarithms may end a rounding error above 100
        return Judgement(min(found.score / 100, 1.0), rater="Bleu", parts=parts | {"brevity penalty": found.bp})


def corpus_bleu(
    episodes: Sequence[Episode],
    smoothing: Smoothing = "exp",
    max_order: int = 4,
    tokenize: Tokenizing = "13a",
    ignore_case: bool = False,
) -> float:
    """Return the BLEU of many responses as one corpus, from 0 to 1: `sacrebleu -m bleu` on the same lines, divided by 100.

    N-grams and lengths are counted over all responses before the shares are taken, and N is `max_order`. Arguments are those of `Bleu`.

    Errors: ValueError for no episodes, and for one without references.
    """
    _check(smoothing, max_order, tokenize)
    references = parallel_references(episodes)
    metric = _metric("corpus_bleu", smoothing, max_order, tokenize, ignore_case, is_sentence=False)
    return min(float(metric.corpus_score([episode.response for episode in episodes], references).score) / 100, 1.0)


def _check(smoothing: str, max_order: int, tokenize: str) -> None:
    if smoothing not in get_args(Smoothing):
        raise ValueError(f"smoothing must be one of {', '.join(get_args(Smoothing))}, got {smoothing!r}")
    if max_order < 1:
        raise ValueError(f"max_order must be at least 1, got {max_order}")
    if tokenize not in get_args(Tokenizing):
        raise ValueError(f"tokenize must be one of {', '.join(get_args(Tokenizing))}, got {tokenize!r}")


@lru_cache(maxsize=1024)
def _prepared(references: tuple[str, ...], smoothing: str, max_order: int, tokenize: str, ignore_case: bool) -> Any:
    """Return sacrebleu's metric with the n-grams of some references, which many responses are compared with."""
    columns = [[reference] for reference in references]
    return _metric("Bleu", smoothing, max_order, tokenize, ignore_case, is_sentence=True, references=columns)


def _metric(
    source: str, smoothing: str, max_order: int, tokenize: str, ignore_case: bool, is_sentence: bool, references: Any = None
) -> Any:
    return metric_package("sacrebleu", source).BLEU(
        lowercase=ignore_case,
        force=True,  # no advice about texts that look cut into tokens: a policy may write what it likes
        tokenize=tokenize,
        smooth_method=smoothing,
        max_ngram_order=max_order,
        effective_order=is_sentence,
        references=references,
    )
