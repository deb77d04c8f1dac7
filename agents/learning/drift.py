"""Find feedback that moves with time in an environment, keep its state with a run, and hold it still while an agent is evaluated.

An agent's package knows no feedback source; this is all that it asks of one that drifts (`feedback.Drifting` is one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from agents.learning.collect import Env


@runtime_checkable
class DriftingFeedback(Protocol):
    """Judge by other standards as time, the number of episodes judged, goes on.

    While `is_frozen` it judges at `time` and stays there.
    """

    time: int
    is_frozen: bool

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be kept for going on: numbers, texts, lists and dictionaries."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        ...


def drifting_sources(env: Env) -> list[DriftingFeedback]:
    """Return the sources of an environment that drift, also those inside compositions (their `source`, `sources` and `parts`), in order."""
    writing = getattr(env.unwrapped, "writing", None)
    found: list[DriftingFeedback] = []
    _search(None if writing is None else writing.judge.source, found)
    return found


def feedback_state(env: Env) -> list[dict[str, Any]]:
    """Return the state of each source that drifts."""
    return [source.state_dict() for source in drifting_sources(env)]


def load_feedback_state(env: Env, states: Sequence[dict[str, Any]]) -> None:
    """Let each source that drifts go on from its state.

    Raises ValueError where the environment has another number of them.
    """
    sources = drifting_sources(env)
    if len(sources) != len(states):
        raise ValueError(
            f"the run was kept with {len(states)} feedback sources that drift, the environment has {len(sources)}: "
            "make it with the feedback that the run began with"
        )
    for source, state in zip(sources, states, strict=True):
        source.load_state_dict(state)


@contextmanager
def held_still(env: Env) -> Iterator[dict[str, float]]:
    """Freeze the sources that drift at their present time, and give the times as measurements.

    feedback_time: in judged episodes; feedback_time_2 and so on for further sources. Nothing where none drifts.
    """
    sources = drifting_sources(env)
    were_frozen = [source.is_frozen for source in sources]
    for source in sources:
        source.is_frozen = True
    try:
        yield {"feedback_time" if not number else f"feedback_time_{number + 1}": float(each.time) for number, each in enumerate(sources)}
    finally:
        for source, was_frozen in zip(sources, were_frozen, strict=True):
            source.is_frozen = was_frozen


def _search(source: Any, found: list[DriftingFeedback]) -> None:
    if isinstance(source, DriftingFeedback) and not any(source is other for other in found):
        found.append(source)
    inside = [getattr(source, name, None) for name in ("source", "sources", "parts")]
    while inside:
        part = inside.pop(0)
        if isinstance(part, tuple | list):  # of sources, or of pairs of a weight and a source
            inside = [*part, *inside]
        elif part is not None and not isinstance(part, str | int | float | type):
            _search(part, found)
