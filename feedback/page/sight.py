"""Take a reaction as an answer: a picture comes in, what was seen goes back, and only a confirmed one is stored; an emoji is a button.

A face is no fact about a text, and a classifier of faces errs more often with some people than with others: so nothing that it says is an
answer before the person says that it is meant.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feedback.page.desk import Desk
from feedback.page.screens import refusal
from feedback.page.sealing import Seal
from feedback.page.visitors import field as form_field
from feedback.page.visitors import for_visitors
from feedback.pictures.reaction import Classifier, ModelClassifier, PictureError, Polarity, is_emoji, see_picture
from feedback.speech.artefacts import ArtefactError, artefacts_of
from feedback.study.access import Visit
from feedback.study.queueing import Reply
from feedback.study.records import Kind, RecordError

MOST_AT_ONCE = 4  # pictures that are looked at or wait for it; more are asked to come again


@dataclass(frozen=True)
class Sight:
    """Hold what sees the reactions of the people of a page.

    Args:
        polarity: which labels and emoji are praise. seal: keeps what was seen until it is confirmed; None = there are no pictures.
        classifier: sees what is on a picture; None = emoji alone are taken.
    """

    polarity: Polarity
    seal: Seal | None = None
    classifier: Classifier | None = None
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))

    @property
    def takes_pictures(self) -> bool:
        """Say whether people react by pictures, too."""
        return self.classifier is not None and self.seal is not None

    @property
    def emoji(self) -> tuple[tuple[str, bool], ...]:
        """Return the emoji that people can send, good ones first, and whether each is good."""
        sides = ((self.polarity.good, True), (self.polarity.bad, False))
        return tuple((label, is_good) for side, is_good in sides for label in sorted(side) if is_emoji(label))

    def reply_to_emoji(self, emoji: str) -> Reply:
        """Return what an emoji says.

        Errors: RecordError for one that is in no table.
        """
        found = self.polarity.reply_to_emoji(emoji)
        if found is None or not is_emoji(emoji.strip()):
            raise RecordError(f"the emoji must be one of {' '.join(label for label, _ in self.emoji) or 'none'}, got {emoji[:40]!r}")
        return found


def make_sight(
    study: str | Path, polarity: Polarity, model_name: str | None = None, secret: bytes = b"", classifier: Classifier | None = None
) -> Sight:
    """Return what sees the reactions of the people of a study.

    Args:
        model_name: of a model that classifies pictures; None = emoji alone are taken. secret: of the page; with it, what was seen outlives
            a restart. classifier: in place of a model.

    Errors: ModuleNotFoundError where the extra "pictures" is not installed; OSError for no model; ValueError for a label that the model
    does not know, and for a study without a folder.
    """
    if model_name is None and classifier is None:
        check_labels(polarity, ())
        return Sight(polarity)
    if classifier is None:
        from feedback.pictures import require_pictures

        require_pictures()
        found = ModelClassifier(str(model_name))
        check_labels(polarity, sorted(found.labels))
        classifier = found
    return Sight(polarity, Seal.of(artefacts_of(study), secret, "pictures"), classifier)


def check_labels(polarity: Polarity, known: Sequence[str]) -> None:
    """Check that every label is an emoji or one that the model knows, and that pictures can say both good and bad.

    Args:
        known: labels of the model; empty = there is none.

    Errors: ValueError that names the label, and what there is.
    """
    for option, side in (("--picture-good", polarity.good), ("--picture-bad", polarity.bad)):
        for label in sorted(side):
            if label not in known and not is_emoji(label):
                what = f"the model sees {', '.join(known)}" if known else "a word needs a model that sees it, named by --pictures"
                raise ValueError(f"{option} {label!r} is neither an emoji nor a label of a model: {what}")
        if known and not side & set(known):
            raise ValueError(f"{option} needs at least one label of the model, got {' '.join(sorted(side))}: it sees {', '.join(known)}")


@for_visitors
def take_picture(request: Request, desk: Desk, visit: Visit) -> Response:
    """Keep a picture and return what was seen on it. Nothing of it is an answer yet."""
    sight = desk.sight
    showing = desk.queue.show(visit.person, form_field(request, "lease"))
    if sight is None or sight.classifier is None or sight.seal is None or showing.question.kind is not Kind.BINARY:
        raise RecordError(f"the answer to a {showing.question.kind} question cannot be given by a picture here: choose one")
    if not sight.places.acquire(blocking=False):
        return refusal(request, 429, "A little slower", "Others send pictures just now. Send it again in 2 s.", {"Retry-After": "2"})
    try:
        seen, reply = see_picture(request.state.file, sight.classifier, sight.polarity, sight.seal.artefacts)
    except (PictureError, ArtefactError) as error:
        raise RecordError(str(error)) from error
    finally:
        sight.places.release()
    return JSONResponse(
        {
            "seen": [{"label": label, "share": share} for label, share in seen.labels[:3]],
            "confidence": None if reply is None else reply.confidence,
            "echo": "" if reply is None else "good" if reply.payload["good"] else "bad",
            "seen_word": "" if reply is None else sight.seal.close(reply, showing, visit),
        }
    )
