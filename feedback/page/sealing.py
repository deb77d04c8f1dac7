"""Seal what was understood of a recording or a picture into a word that the browser holds until the person confirms it.

The word can be sent or dropped, but not changed, nor sent for another question or by somebody else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from feedback.speech.artefacts import Artefacts
from feedback.study.access import Visit
from feedback.study.queueing import Reply, Showing
from feedback.study.records import Outcome, RecordError

STALE = "what was understood is no longer known: give the answer again"


@dataclass(frozen=True)
class Seal:
    """Seal answers until they are confirmed.

    Args:
        artefacts: where recordings or pictures are kept; an answer whose file is gone is not taken.
        key: of this seal alone. Words of another key are not taken.
    """

    artefacts: Artefacts
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @classmethod
    def of(cls, artefacts: Artefacts, secret: bytes, purpose: str) -> Seal:
        """Return the seal of a purpose; with the secret of a page, words outlive a restart.

        Args:
            secret: empty = there is none, and words end with the process.
        """
        return cls(artefacts, hmac.new(secret, purpose.encode(), hashlib.sha256).digest()) if secret else cls(artefacts)

    def close(self, reply: Reply, showing: Showing, visit: Visit) -> str:
        """Return what was understood as a word that nobody can change."""
        said = {"outcome": reply.outcome, "payload": reply.payload, "confidence": reply.confidence, "reason": reply.reason}
        body = json.dumps(said | {"artefact": reply.artefact, "lease": showing.lease.id, "person": visit.person.id}).encode()
        return ".".join(base64.urlsafe_b64encode(part).decode() for part in (body, self._mark(body)))

    def open(self, word: str, showing: Showing, visit: Visit) -> Reply:
        """Return what a word says.

        Errors: RecordError for one that was changed, is for another question or somebody else, or whose file is gone.
        """
        try:
            body, mark = (base64.b64decode(part, b"-_", validate=True) for part in word.split("."))
        except (ValueError, binascii.Error):
            raise RecordError(STALE) from None
        if not hmac.compare_digest(mark, self._mark(body)):
            raise RecordError(STALE)
        said: dict[str, Any] = json.loads(body)
        if (said.pop("lease"), said.pop("person")) != (showing.lease.id, visit.person.id):
            raise RecordError("this was said to another question: give the answer again")
        if not self.artefacts.holds(said["artefact"]):
            raise RecordError("the file of this answer, a recording or a picture, is gone: give the answer again")
        return Reply(Outcome(said.pop("outcome")), **said)

    def _mark(self, body: bytes) -> bytes:
        return hmac.new(self.key, b"understood " + body, hashlib.sha256).digest()
