"""Turn a reaction, a picture or an emoji, into good or bad by a table that the study's owner gives; what is in no table is no answer.

Which label of a classifier is praise is no fact about the picture, so there is no table here: "surprised" may be either.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from feedback.speech.artefacts import Artefacts
from feedback.study.queueing import Queue, Reply, Showing
from feedback.study.records import Answer, Interface, Kind, Outcome, Person, RecordError

MOST_BYTES = 2_000_000  # of a picture's file
MOST_PIXELS = 16_000_000  # of a picture; a small file can hold more than a memory does
LEAST_CONFIDENCE = 0.8  # of a classifier that is calibrated; measure yours, and set your own
FORMATS = {"PNG": "png", "JPEG": "jpg"}
COLOURS = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")  # marks of an emoji that ask for a coloured picture, or for a colour of skin


class PictureError(ValueError):
    """Report a picture that cannot be read, and what to do."""


@dataclass(frozen=True)
class Seen:
    """Hold what a classifier says of a picture: its labels with their shares, likeliest first."""

    labels: tuple[tuple[str, float], ...]


class Classifier(Protocol):
    """See what is on a picture."""

    def __call__(self, picture: bytes) -> Seen:
        """Return labels with shares of a PNG or JPEG file.

        Errors: PictureError for a picture that cannot be read.
        """


class ModelClassifier:
    """Classify by a transformers pipeline for image classification.

    Args:
        model_name: a path, or a name on the hub. revision: of a model on the hub.

    Errors: OSError where there is no such model; ImportError without pillow.
    """

    def __init__(self, model_name: str, revision: str | None = None) -> None:
        from transformers import pipeline

        self.model_name = model_name
        self._see: Any = pipeline("image-classification", model=model_name, revision=revision, device="cpu")
        self._lock = threading.Lock()

    @property
    def labels(self) -> frozenset[str]:
        """Return what the model can see."""
        return frozenset(self._see.model.config.id2label.values())

    def __call__(self, picture: bytes) -> Seen:
        """Return all labels with their shares."""
        image, _ = read_picture(picture)
        with self._lock:
            found = self._see(image, top_k=len(self._see.model.config.id2label))
        return Seen(tuple((str(each["label"]), float(each["score"])) for each in found))


def read_picture(data: bytes) -> tuple[Any, str]:
    """Return a picture in three colours, and the ending of its file.

    Errors: PictureError for what is no PNG or JPEG, is cut off, or is too large.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise PictureError("the picture is empty (0 bytes): send a PNG or JPEG file")
    if len(data) > MOST_BYTES:
        raise PictureError(f"a picture has at most {MOST_BYTES} bytes, got {len(data)}: send a smaller one")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise PictureError(f"a picture has at most {MOST_PIXELS} pixels, got {opened.width} x {opened.height}: send a smaller one")
            return opened.convert("RGB"), FORMATS[str(opened.format)]
    except PictureError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise PictureError(f"the picture cannot be read ({error}): send a PNG or JPEG file") from None


@dataclass(frozen=True)
class Polarity:
    """Say which labels, or emoji, are praise.

    Args:
        good, bad: labels; none in both. least_confidence: share of one side below which there is no answer.
    """

    good: frozenset[str]
    bad: frozenset[str]
    least_confidence: float = LEAST_CONFIDENCE

    def __post_init__(self) -> None:
        if not self.good or not self.bad or self.good & self.bad:
            raise ValueError(f"good and bad each need labels of their own, got {sorted(self.good)} and {sorted(self.bad)}")
        if not 0.5 < self.least_confidence <= 1:
            raise ValueError(f"least_confidence must be above 0.5, so that only one side can reach it, got {self.least_confidence}")

    @classmethod
    def of(cls, table: Mapping[str, bool], least_confidence: float = LEAST_CONFIDENCE) -> Polarity:
        """Make one of a table: True = good."""
        good, bad = ({label for label, is_good in table.items() if is_good is side} for side in (True, False))
        return cls(frozenset(good), frozenset(bad), least_confidence)

    def reply(self, seen: Seen) -> Reply | None:
        """Return good or bad, with the share that speaks for it; None where neither side is clear."""
        for is_good, side in ((True, self.good), (False, self.bad)):
            share = sum(share for label, share in seen.labels if label in side)
            if share >= self.least_confidence:
                return Reply(Outcome.ANSWERED, {"good": is_good}, confidence=min(1.0, share))
        return None

    def reply_to_emoji(self, text: str) -> Reply | None:
        """Return good or bad for a text that is exactly one emoji (or label) of the table; None for any other. The person chose it."""
        told = COLOURS.sub("", text.strip())
        for is_good, side in ((True, self.good), (False, self.bad)):
            if told in {COLOURS.sub("", label) for label in side}:
                return Reply(Outcome.ANSWERED, {"good": is_good})
        return None


THUMBS = Polarity.of({"\N{THUMBS UP SIGN}": True, "\N{THUMBS DOWN SIGN}": False})  # what a terminal takes


def is_emoji(label: str) -> bool:
    """Say whether a label is a sign that people can send, and not a word of a classifier."""
    return bool(label) and all(unicodedata.category(sign) in ("So", "Sk", "Sm", "Mn", "Cf") for sign in label)


def see_picture(data: bytes, classifier: Classifier, polarity: Polarity, artefacts: Artefacts) -> tuple[Seen, Reply | None]:
    """Read a picture, keep it, and return what was seen, and the answer that this is; None where it is none.

    Errors: PictureError for what cannot be read, which is not kept; ArtefactError where it cannot be kept.
    """
    _, ending = read_picture(data)
    name = artefacts.keep(data, ending)
    seen = classifier(data)
    found = polarity.reply(seen)
    return seen, None if found is None else replace(found, artefact=name)


class PictureAnswer:
    """Lead one reaction from a picture to the study: seen, said back, confirmed, and only then stored.

    Args:
        showing: what the person was shown, a question of the kind binary.

    Errors: RecordError for a question of another kind.
    """

    def __init__(self, showing: Showing, classifier: Classifier, polarity: Polarity, artefacts: Artefacts) -> None:
        if showing.question.kind is not Kind.BINARY:
            raise RecordError(f"a picture says good or bad; a {showing.question.kind} question wants something else")
        self.showing, self.classifier, self.polarity, self.artefacts = showing, classifier, polarity, artefacts
        self._reply: Reply | None = None
        self._is_confirmed = False

    @property
    def echo(self) -> str:
        """Return what was understood, to be said back; "" where nothing was."""
        return "" if self._reply is None else "good" if self._reply.payload["good"] else "bad"

    def see(self, picture: bytes) -> str:
        """Take a picture, keep it, and return the echo; whatever was confirmed before is not any more.

        Errors: PictureError, or ArtefactError where it cannot be kept.
        """
        self._reply, self._is_confirmed = None, False
        _, self._reply = see_picture(picture, self.classifier, self.polarity, self.artefacts)
        return self.echo

    def confirm(self) -> None:
        """Take what was said back as what was meant.

        Errors: RecordError where nothing was.
        """
        if self._reply is None:
            raise RecordError("nothing was understood that could be confirmed: take another picture, or choose an answer")
        self._is_confirmed = True

    def store(self, queue: Queue, person: Person, key: str) -> Answer:
        """Store the confirmed answer and return it.

        Errors: RecordError before it is confirmed.
        """
        if self._reply is None or not self._is_confirmed:
            raise RecordError("an answer by a picture is stored only once it is confirmed")
        return queue.answer(person, self.showing.lease.id, key, self._reply, Interface.PICTURE)
