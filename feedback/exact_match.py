"""Judge whether a response is one of the prompt's reference answers."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode

OPENING = "\"'\u201c\u2018([{<`"
CLOSING = "\"'\u201d\u2019)]}>`.,;:!?"


class ExactMatch(Source):
    """Score 1 if the response equals one of `prompt.references`, else 0; abstain where the prompt has none.

    Args:
        normalise: True compares without regard to case, to how much white space there is, to how accented letters are put together
            (Unicode's NFC), and to quotes, brackets and full stops around the answer. Nothing inside is dropped: "3.14" is not "314" and
            "the cat" is not "cat". False compares the texts as they are.

    An empty response equals only an empty reference.
    Gamed by: nothing but knowing the references; where there are few of them (yes or no), guessing pays as often as it is right.
    """

    low: float = 0.0
    high: float = 1.0
    unit: str = "1 if right"

    def __init__(self, normalise: bool = True) -> None:
        self.normalise = normalise

    def __call__(self, episodes: Sequence[Episode]) -> list[float | None]:
        """Return 1 or 0 for each episode, None where its prompt has no references."""
        return [self._match(episode) if episode.prompt.references else None for episode in episodes]

    def _match(self, episode: Episode) -> float:
        if not self.normalise:
            return float(episode.response in episode.prompt.references)
        return float(normalised(episode.response) in {normalised(reference) for reference in episode.prompt.references})


def normalised(answer: str) -> str:
    """Return an answer in lower case, with single spaces, without the quotes, brackets and full stops around it.

    An answer of nothing but such signs is kept, so that "!" does not equal the empty answer.

    >>> normalised(' "The  Cat". ')
    'the cat'
    """
    plain = " ".join(unicodedata.normalize("NFC", answer.casefold()).split())
    return plain.rstrip(CLOSING + " ").lstrip(OPENING + " ") or plain
