"""Take a spoken answer: a recording comes in, what was heard goes back, and what is confirmed comes as the form of any other answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedback.page.desk import Desk
from feedback.page.screens import refusal
from feedback.page.sealing import Seal
from feedback.page.visitors import field as form_field
from feedback.page.visitors import for_visitors
from feedback.speech.artefacts import ArtefactError, artefacts_of
from feedback.speech.recogniser import Recogniser
from feedback.speech.recording import MOST_SECONDS, RecordingError
from feedback.speech.spoken_answer import hear_bytes
from feedback.speech.spoken_commands import SPOKEN
from feedback.speech.understanding import LEAST_CONFIDENCE
from feedback.study.access import Visit
from feedback.study.records import Kind, RecordError

MOST_AT_ONCE = 4  # recordings that are heard or wait for it; more are asked to come again


@dataclass(frozen=True)
class Hearing:
    """Hold what hears the people of a page.

    Args:
        commands: hears ratings, good or bad, and comparisons. free: hears critiques; None = they are written.
        seal: keeps what was heard until it is confirmed, and knows where recordings are kept.
        least_confidence: below which nothing is understood.
    """

    commands: Recogniser
    seal: Seal
    free: Recogniser | None = None
    least_confidence: float = LEAST_CONFIDENCE
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))

    def recogniser(self, kind: Kind) -> Recogniser | None:
        """Return what hears answers to a kind of question; None where they cannot be spoken."""
        return self.commands if kind in SPOKEN else self.free if kind is Kind.CRITIQUE else None

    def most_seconds(self, kind: Kind) -> float:
        """Return how long an answer may be."""
        return getattr(self.recogniser(kind), "most_seconds", MOST_SECONDS)


def make_hearing(study: str | Path, model_name: str | None = None, secret: bytes = b"") -> Hearing:
    """Return what hears the people of a study.

    Args:
        model_name: hears critiques; None = they are written. secret: of the page; with it, what was heard outlives a restart.

    Errors: ModuleNotFoundError where the extra "speech" is not installed; ValueError for a study without a folder; OSError for no model.
    """
    from feedback.speech.command_recogniser import CommandRecogniser
    from feedback.speech.free_speech import FreeSpeech

    seal = Seal.of(artefacts_of(study), secret, "speech")
    return Hearing(CommandRecogniser(), seal, None if model_name is None else FreeSpeech(model_name))


@for_visitors
def take_recording(request: Request, desk: Desk, visit: Visit) -> Response:
    """Keep a recording and return what was heard in it. Nothing of it is an answer yet."""
    hearing = desk.hearing
    showing = desk.queue.show(visit.person, form_field(request, "lease"))
    recogniser = None if hearing is None else hearing.recogniser(showing.question.kind)
    if hearing is None or recogniser is None:
        raise RecordError(f"the answer to a {showing.question.kind} question cannot be spoken here: write it")
    if not hearing.places.acquire(blocking=False):
        return refusal(request, 429, "A little slower", "Others are speaking just now. Say it again in 2 s.", {"Retry-After": "2"})
    try:
        found = hear_bytes(request.state.file, showing, recogniser, hearing.seal.artefacts, hearing.least_confidence)
    except (RecordingError, ArtefactError) as error:
        raise RecordError(str(error)) from error
    finally:
        hearing.places.release()
    sealed = "" if found.reply is None else hearing.seal.close(found.reply, showing, visit)
    return JSONResponse(
        {
            "heard": found.heard.text,
            "confidence": found.heard.confidence,
            "alternatives": found.heard.alternatives,
            "echo": found.echo,
            "is_undo": found.is_undo,
            "spoken": sealed,
        }
    )
