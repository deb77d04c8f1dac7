"""Say what hears speech: a recording goes in, and words come out with how sure they are.

Anything that can be called like a `Recogniser` will do. Two are here: `CommandRecogniser` and `FreeSpeech`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from feedback.speech.recording import Recording

if TYPE_CHECKING:
    from feedback.speech.spoken_commands import Commands


@dataclass(frozen=True)
class Heard:
    """Hold what was heard.

    Args:
        text: the words; "" = none. confidence: 0 to 1, that they were said; None = not measured.
        alternatives: what else it may have been, likeliest first, each with its confidence.
    """

    text: str
    confidence: float | None
    alternatives: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for value in (*(() if self.confidence is None else (self.confidence,)), *(each for _, each in self.alternatives)):
            if not 0 <= value <= 1:
                raise ValueError(f"a confidence lies between 0 and 1, got {value}")


NOTHING = Heard("", 0.0)


class Recogniser(Protocol):
    """Hear what was said; may be called from several threads."""

    def __call__(self, audio: Recording, commands: Commands | None = None) -> Heard:
        """Return what was heard.

        Args:
            audio: what was recorded. commands: what can be said; None = anything.

        Errors: RecordingError for a recording from which nothing can be heard.
        """
