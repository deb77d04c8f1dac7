"""Hand a metric the references of an episode, and refuse those that nothing can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text_env.episode import Episode


def references_of(episode: Episode) -> tuple[str, ...]:
    """Return the references of an episode's prompt, none where it has none.

    Errors: ValueError for one without text, with which every response overlaps as little as the empty one.
    """
    references = episode.prompt.references
    for number, reference in enumerate(references):
        if not reference.strip():
            raise ValueError(
                f"reference {number} of {_named(episode)} must have text to compare with, got {reference!r}: "
                "take it out of Prompt.references, or judge such prompts by ExactMatch"
            )
    return references


def parallel_references(episodes: Sequence[Episode]) -> list[list[str | None]]:
    """Return the first reference of every episode, then the second ones, and so on, as sacrebleu takes them; None where there is none.

    Errors: ValueError for no episodes, and for an episode without references.
    """
    if not len(episodes):
        raise ValueError("a corpus figure needs at least one episode, got none")
    for episode in episodes:
        if not references_of(episode):
            raise ValueError(
                f"a corpus figure needs a reference for every episode, and {_named(episode)} has none: "
                "leave its episodes out, or give it Prompt(references=...)"
            )
    return [list(column) for column in zip_longest(*(episode.prompt.references for episode in episodes))]


def _named(episode: Episode) -> str:
    prompt = episode.prompt
    return f"prompt {prompt.text[:60]!r}" + (f" ({prompt.id})" if prompt.id else "")
