"""Hear anything that is said: a model of the transformers library, by its name.

Such a model writes what it likes, and says not how sure it is: what it wrote is shown to the person, and stored only once they confirm it.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from feedback.speech.recogniser import NOTHING, Heard
from feedback.speech.recording import RATE, Recording
from feedback.speech.spoken_commands import Commands
from feedback.study.records import LONGEST_WORDS


class FreeSpeech:
    """Hear free speech by a transformers pipeline for automatic speech recognition.

    Args:
        model_name: a path, or a name on the hub, such as openai/whisper-tiny.en.
        revision: of a model on the hub.

    Errors: OSError where there is no such model; ValueError for one that does not hear.
    """

    def __init__(self, model_name: str, revision: str | None = None) -> None:
        from transformers import pipeline

        self.model_name = model_name
        self._hear: Any = pipeline("automatic-speech-recognition", model=model_name, revision=revision, device="cpu")
        self._rate = int(getattr(self._hear.feature_extractor, "sampling_rate", RATE))
        self._lock = threading.Lock()

    def __call__(self, audio: Recording, commands: Commands | None = None) -> Heard:
        """Return what the model writes; its confidence is not known. With `commands`, what is none of them is nothing.

        Errors: RecordingError for silence.
        """
        audio.check_is_heard()
        samples = audio.at_rate(self._rate).samples.astype(np.float32) / 2**15
        with self._lock:
            said = self._hear({"raw": samples, "sampling_rate": self._rate})
        text = " ".join(str(said["text"]).split())[:LONGEST_WORDS]
        if not text or (commands is not None and commands.meaning(text) is None):
            return NOTHING
        return Heard(text, None)
