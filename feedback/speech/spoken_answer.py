"""Lead one spoken answer from the microphone to the study: heard, said back, confirmed, and only then stored.

    listening --hear--> echoed --confirm--> confirmed
        ^  (not understood) |
        +-------repeat------+        after `most_tries` recordings, or by give_up: given up

A recording is kept before anything is heard in it, and also where nothing was understood: what people said is the data, what was heard is a
reading of it.
"""

from __future__ import annotations

from enum import StrEnum

from feedback.speech.artefacts import Artefacts
from feedback.speech.recogniser import Recogniser
from feedback.speech.recording import Recording, read_wav
from feedback.speech.spoken_commands import CONFIRMATION, NO, YES, commands_for
from feedback.speech.understanding import LEAST_CONFIDENCE, Understood
from feedback.study.queueing import Queue, Reply, Showing
from feedback.study.records import Answer, Interface, Person, RecordError

MOST_TRIES = 3


class Stage(StrEnum):
    """Say how far a spoken answer is."""

    LISTENING = "listening"
    ECHOED = "echoed"
    CONFIRMED = "confirmed"
    GIVEN_UP = "given up"


def hear_bytes(data: bytes, showing: Showing, recogniser: Recogniser, artefacts: Artefacts, least: float = LEAST_CONFIDENCE) -> Understood:
    """Read a WAV file, keep it, and return what was understood, with the name of the kept file.

    Errors: RecordingError for what cannot be heard, which is not kept; ArtefactError where it cannot be kept.
    """
    audio = read_wav(data)
    audio.check_is_heard()
    name = artefacts.keep(data, "wav")
    return Understood.of(recogniser(audio, commands_for(showing.question)), showing, least).kept_as(name)


class SpokenAnswer:
    """Hold one spoken answer on its way.

    Args:
        showing: what the person was shown. recogniser: hears them. artefacts: keep what they said.
        least_confidence: below which nothing is understood.
        most_tries: recordings after which it is given up.
    """

    def __init__(
        self,
        showing: Showing,
        recogniser: Recogniser,
        artefacts: Artefacts,
        least_confidence: float = LEAST_CONFIDENCE,
        most_tries: int = MOST_TRIES,
    ) -> None:
        if most_tries < 1:
            raise ValueError(f"most_tries must be at least 1 recording, got {most_tries}")
        self.showing, self.recogniser, self.artefacts = showing, recogniser, artefacts
        self.least_confidence, self.most_tries = least_confidence, most_tries
        self.stage, self.num_tries = Stage.LISTENING, 0
        self._understood: Understood | None = None

    @property
    def echo(self) -> str:
        """Return what was understood, in words, to be said back; "" before anything was."""
        return "" if self._understood is None else self._understood.echo

    @property
    def is_undo(self) -> bool:
        """Say whether what was said takes the last answer back."""
        return self._understood is not None and self._understood.is_undo

    def hear(self, data: bytes) -> Stage:
        """Take a recording (a WAV file) of an answer.

        Errors: RecordingError for one that cannot be heard, which counts as a try; RecordError where none is expected.
        """
        self._check(Stage.LISTENING, "say an answer")
        self.num_tries += 1
        try:
            found = hear_bytes(data, self.showing, self.recogniser, self.artefacts, self.least_confidence)
        except ValueError:
            self._listen_again()
            raise
        if found.reply is None and not found.is_undo:
            return self._listen_again()
        self._understood, self.stage = found, Stage.ECHOED
        return self.stage

    def hear_confirmation(self, audio: Recording) -> Stage:
        """Take "yes" or "no" to the echo; anything else changes nothing.

        Errors: RecordError where nothing was said back.
        """
        self._check(Stage.ECHOED, "confirm")
        heard = self.recogniser(audio, CONFIRMATION)
        is_sure = heard.confidence is None or heard.confidence >= self.least_confidence
        meaning = CONFIRMATION.meaning(heard.text) if is_sure else None
        return {YES: self.confirm, NO: self.repeat}.get(str(meaning), lambda: self.stage)()

    def confirm(self) -> Stage:
        """Take what was said back as what was meant."""
        self._check(Stage.ECHOED, "confirm")
        self.stage = Stage.CONFIRMED
        return self.stage

    def repeat(self) -> Stage:
        """Drop what was understood, and listen again."""
        self._check(Stage.ECHOED, "repeat")
        return self._listen_again()

    def give_up(self) -> Stage:
        """Drop it; the question stays unanswered."""
        if self.stage is Stage.CONFIRMED:
            raise RecordError("this answer is confirmed: take it back by an undo")
        self._understood, self.stage = None, Stage.GIVEN_UP
        return self.stage

    def reply(self) -> Reply:
        """Return the answer, once it is confirmed.

        Errors: RecordError before that, and for an undo, which is no answer.
        """
        self._check(Stage.CONFIRMED, "store it")
        if self._understood is None or self._understood.reply is None:
            raise RecordError("an undo is no answer: call the queue's undo")
        return self._understood.reply

    def store(self, queue: Queue, person: Person, key: str) -> Answer:
        """Store the confirmed answer as a spoken one, and return it.

        Errors: as `reply` and `Queue.answer`.
        """
        return queue.answer(person, self.showing.lease.id, key, self.reply(), Interface.SPEECH)

    def _listen_again(self) -> Stage:
        self._understood = None
        self.stage = Stage.GIVEN_UP if self.num_tries >= self.most_tries else Stage.LISTENING
        return self.stage

    def _check(self, wanted: Stage, act: str) -> None:
        if self.stage is not wanted:
            raise RecordError(f"to {act}, a spoken answer must be {wanted}; it is {self.stage}")
