"""Judge grammar, spelling and style of English by harper (harper-py; Apache-2.0), which has rules and a dictionary and needs no network.

Left out: markup (texts are read as plain text) and corrections, which `harper.Linter.apply_suggestion` makes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from feedback.metric_packages import metric_package
from feedback.source import Source
from feedback.words import words
from text_env.episode import Judgement

if TYPE_CHECKING:
    from text_env.episode import Episode

Dialect = Literal["american", "british", "australian", "canadian", "indian"]
Part = Literal["response", "text"]
NAMED = 3  # problems in a critique


class Grammar(Source):
    """Score how free of language problems a response is, from 0 to 1.

    score = max(0, 1 - strictness * (problems) / (words of the response))

    A problem is what harper marks: spelling, agreement, capital letters, repeated words, style and more. `parts` counts them by kind, and
    `critique` names the first three.

    Args:
        of: "text" reads prompt and response together and counts the problems that reach into the response, as befits one that goes on in
            the middle of a sentence; "response" reads it alone.
        strictness: 1 = a problem in every word scores 0; 10 = one in every ten words does.
        dialect: "american", "british", "australian", "canadian" or "indian".
        ignored: kinds that do not count, such as "Spelling" where names are rare, or "Style"; `parts` shows their names.

    A response without a word, the empty one too, has nothing right about it and scores 0.
    Cost: 2 to 4 ms for 24 words, 20 to 40 ms for 200, and once about a second to load the dictionary. Threads take turns.
    Gamed by: short sentences of common words, and one good sentence over and over. It knows nothing of sense, and misses many errors.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "share without problems"

    def __init__(self, of: Part = "text", strictness: float = 1.0, dialect: Dialect = "american", ignored: Sequence[str] = ()) -> None:
        if of not in get_args(Part):
            raise ValueError(f'of must be "response" or "text", got {of!r}')
        if not strictness > 0:
            raise ValueError(f"strictness must be above 0, got {strictness}")
        if dialect not in get_args(Dialect):
            raise ValueError(f"dialect must be one of {', '.join(get_args(Dialect))}, got {dialect!r}")
        if isinstance(ignored, str):
            raise ValueError(f"ignored must be a list of kinds, got the text {ignored!r}")
        metric_package("harper", "Grammar")
        self.of = of
        self.strictness = strictness
        self.dialect = dialect
        self.ignored = tuple(ignored)

    def __call__(self, episodes: Sequence[Episode]) -> list[Judgement]:
        """Return the score of each response, with its problems by kind and the first of them in words."""
        return [self._judged(episode) for episode in episodes]

    def _judged(self, episode: Episode) -> Judgement:
        count = len(words(episode.response))
        if not count:
            return Judgement(self.low, rater="Grammar", critique="no words")
        before = episode.prompt.text if self.of == "text" else ""
        with _TURN:
            marked = _linter(self.dialect).lint(before + episode.response, language="plaintext")
        problems = [each for each in marked if each.span.end > len(before) and each.lint_kind not in self.ignored]
        score = max(self.low, 1.0 - self.strictness * len(problems) / count)
        said = "; ".join(f"{each.problem_text!r}: {each.message}" for each in problems[:NAMED])
        kinds = Counter(each.lint_kind for each in problems)
        return Judgement(score, rater="Grammar", critique=said, parts={kind: float(number) for kind, number in kinds.items()})


_TURN = threading.Lock()  # a linter raises where two threads use it at once


@cache
def _linter(dialect: Dialect) -> Any:
    """Load the dictionary once in a process."""
    harper = metric_package("harper", "Grammar")
    return harper.Linter(harper.Dialect[dialect.upper()])
