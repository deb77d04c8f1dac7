"""Take a spoken answer: a recording comes in, what was heard goes back, and what is confirmed comes as the form of any other answer.

Between the two the browser holds what was heard as a sealed word: it can be sent or dropped, but not changed, nor sent for another question
or by somebody else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedback.page.desk import Desk
from feedback.page.screens import refusal
from feedback.page.visitors import field as form_field
from feedback.page.visitors import for_visitors
from feedback.speech.artefacts import ArtefactError, Artefacts, artefacts_of
from feedback.speech.recogniser import Recogniser
from feedback.speech.recording import MOST_SECONDS, RecordingError
from feedback.speech.spoken_answer import hear_bytes
from feedback.speech.spoken_commands import SPOKEN
from feedback.speech.understanding import LEAST_CONFIDENCE
from feedback.study.access import Visit
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Kind, Outcome, RecordError

MOST_AT_ONCE = 4  # recordings that are heard or wait for it; more are asked to come again
STALE = "what was heard is no longer known: say it again"


@dataclass(frozen=True)
class Hearing:
    """Hold what hears the people of a page.

    Args:
        commands: hears ratings, good or bad, and comparisons. free: hears critiques; None = they are written.
        artefacts: where recordings are kept. key: seals what was heard.
        least_confidence: below which nothing is understood.
    """

    commands: Recogniser
    artefacts: Artefacts
    free: Recogniser | None = None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    least_confidence: float = LEAST_CONFIDENCE
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))

    def recogniser(self, kind: Kind) -> Recogniser | None:
        """Return what hears answers to a kind of question; None where they cannot be spoken."""
        return self.commands if kind in SPOKEN else self.free if kind is Kind.CRITIQUE else None

    def most_seconds(self, kind: Kind) -> float:
        """Return how long an answer may be."""
        return getattr(self.recogniser(kind), "most_seconds", MOST_SECONDS)

    def seal(self, reply: Reply, showing: Showing, visit: Visit) -> str:
        """Return what was heard as a word that nobody can change."""
        said = {"outcome": reply.outcome, "payload": reply.payload, "confidence": reply.confidence, "reason": reply.reason}
        body = json.dumps(said | {"artefact": reply.artefact, "lease": showing.lease.id, "person": visit.person.id}).encode()
        return ".".join(base64.urlsafe_b64encode(part).decode() for part in (body, self._mark(body)))

    def opened(self, sealed: str, showing: Showing, visit: Visit) -> Reply:
        """Return what a sealed word says.

        Errors: RecordError for one that was changed, is for another question or somebody else, or whose recording is gone.
        """
        try:
            body, mark = (base64.b64decode(part, b"-_", validate=True) for part in sealed.split("."))
        except (ValueError, binascii.Error):
            raise RecordError(STALE) from None
        if not hmac.compare_digest(mark, self._mark(body)):
            raise RecordError(STALE)
        said: dict[str, Any] = json.loads(body)
        if (said.pop("lease"), said.pop("person")) != (showing.lease.id, visit.person.id):
            raise RecordError("this was said to another question: say it again")
        if not self.artefacts.holds(said["artefact"]):
            raise RecordError("the recording of this answer is gone: say it again")
        return Reply(Outcome(said.pop("outcome")), **said)

    def _mark(self, body: bytes) -> bytes:
        return hmac.new(self.key, b"spoken " + body, hashlib.sha256).digest()


def make_hearing(study: str | Path, model_name: str | None = None, secret: bytes = b"") -> Hearing:
    """Return what hears the people of a study.

    Args:
        model_name: hears critiques; None = they are written. secret: of the page; with it, what was heard outlives a restart.

    Errors: ModuleNotFoundError where the extra "speech" is not installed; ValueError for a study without a folder; OSError for no model.
    """
    from feedback.speech.command_recogniser import CommandRecogniser
    from feedback.speech.free_speech import FreeSpeech

    hearing = Hearing(CommandRecogniser(), artefacts_of(study), None if model_name is None else FreeSpeech(model_name))
    return replace(hearing, key=hmac.new(secret, b"speech", hashlib.sha256).digest()) if secret else hearing


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
        found = hear_bytes(request.state.file, showing, recogniser, hearing.artefacts, hearing.least_confidence)
    except (RecordingError, ArtefactError) as error:
        raise RecordError(str(error)) from error
    finally:
        hearing.places.release()
    sealed = "" if found.reply is None else hearing.seal(found.reply, showing, visit)
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
