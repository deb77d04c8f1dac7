"""Hear a spoken command: pocketsphinx with a grammar of what can be said, held against what else it may have been.

A grammar alone finds one of its phrases in anything, in a cough as well. So every recording is decoded three times: by the whole grammar,
by the grammar without the meaning that was found, and by a loop of all phones, which fits any speech. How much better the found phrase
explains the sound than these two is its evidence, and a logistic regression on it is the confidence.

    confidence = sigmoid(b0 + b1 log(1 + rival) + b2 filler)
    rival  = log P(sound | found phrase) - log P(sound | best phrase of another meaning), nats
    filler = (log P(sound | found phrase) - log P(sound | phones)) / frames of speech, nats per frame

The acoustic model is the one inside pocketsphinx's wheel (US English). Left out: other languages, and words that are not in its dictionary.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feedback.speech import require_speech
from feedback.speech.recogniser import NOTHING, Heard
from feedback.speech.recording import RATE, Recording, RecordingError
from feedback.speech.spoken_commands import Commands

LONGEST_COMMAND = 10.0  # seconds
SHIFT = 1024  # pocketsphinx keeps scores in steps of 1024 of its smallest unit
WEIGHTS = (0.0, 1.0, 1.0)  # b0, b1, b2
PADDING = 0.25  # seconds of quiet that the decoder expects around speech
MOST_GRAMMARS = 200  # kept in the decoder


@dataclass(frozen=True)
class Evidence:
    """Hold how well a phrase explains a recording; see the module for the two measures.

    Args:
        phrase: the best of the grammar. other: the best of another meaning; "" = none.
    """

    phrase: str
    other: str
    rival: float
    filler: float

    def confidence(self, weights: Sequence[float] = WEIGHTS) -> float:
        """Return the confidence that the phrase was said."""
        sums = weights[0] + weights[1] * math.log1p(max(0.0, self.rival)) + weights[2] * self.filler
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, sums))))


class CommandRecogniser:
    """Hear the commands of a question.

    Args:
        weights: of the confidence, as `python -m feedback.speech` fits them.

    Errors: ModuleNotFoundError where the extra "speech" is not installed.
    """

    def __init__(self, weights: Sequence[float] = WEIGHTS) -> None:
        require_speech()
        self.weights = tuple(weights)
        self.most_seconds = LONGEST_COMMAND
        self._decoder: Any = None
        self._names: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()

    def __call__(self, audio: Recording, commands: Commands | None = None) -> Heard:
        """Return the phrase that was heard, with the best of another meaning as alternative.

        Errors: RecordingError for silence and for what is longer than a command; ValueError without commands.
        """
        found = self.evidence(audio, commands)
        if found is None:
            return NOTHING
        confidence = round(found.confidence(self.weights), 4)
        rest = round((1 - confidence) / (1 + math.exp(min(500.0, max(0.0, found.rival)))), 4)
        return Heard(found.phrase, confidence, ((found.other, rest),) if found.other else ())

    def evidence(self, audio: Recording, commands: Commands | None) -> Evidence | None:
        """Return what speaks for the best phrase; None where the decoder finds none.

        Errors: as above.
        """
        if commands is None:
            raise ValueError("CommandRecogniser hears commands only: give what can be said, or use FreeSpeech(model_name)")
        if audio.seconds > LONGEST_COMMAND:
            raise RecordingError(f"a command has at most {LONGEST_COMMAND:g} s, got {audio.seconds:.1f} s: say only the answer")
        audio.check_is_heard()
        raw = _padded(audio.at_rate(RATE))
        with self._lock:
            phrase, score, frames = self._decode(self._grammar(tuple(commands.meanings)), raw)
            if not phrase:
                return None
            rest = commands.without(commands.meanings[phrase])
            other, rival = "", math.inf
            if rest is not None:
                other, best, _ = self._decode(self._grammar(tuple(rest.meanings)), raw)
                rival = score - best
            _, filler, _ = self._decode("phones", raw)
        return Evidence(phrase, other, rival, (score - filler) / max(1, frames))

    def _decode(self, search: str, raw: bytes) -> tuple[str, float, int]:
        """Return the best words, their log-probability in nats, and their frames without silence."""
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.start_utt()
        decoder.process_raw(raw, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None or not found.hypstr:
            return "", -math.inf, 0
        frames = sum(part.end_frame - part.start_frame + 1 for part in decoder.seg() if not part.word.startswith(("<", "(")))
        return found.hypstr, SHIFT * math.log(found.best_score), frames

    def _grammar(self, phrases: tuple[str, ...]) -> str:
        """Return the name of a search for phrases, made where it is new. Words that the dictionary lacks are an error."""
        if self._decoder is None or len(self._names) >= MOST_GRAMMARS:
            self._decoder, self._names = _decoder(), {}
        if phrases not in self._names:
            spoken = [phrase for phrase in phrases if all(self._decoder.lookup_word(word) for word in phrase.split())]
            if not spoken:
                raise ValueError(f"none of these can be heard, since the dictionary lacks their words: {', '.join(phrases[:5])}")
            name = f"commands-{len(self._names)}"
            self._decoder.add_jsgf_string(name, f"#JSGF V1.0; grammar commands; public <command> = {' | '.join(spoken)};")
            self._names[phrases] = name
        return self._names[phrases]


def _decoder() -> Any:
    """Return a decoder whose answer depends on the recording alone, and whose scores can be compared between its searches."""
    import pocketsphinx  # type: ignore[import-untyped]

    decoder = pocketsphinx.Decoder(
        lm=None,
        loglevel="FATAL",
        cmn="batch",  # nothing is carried over from what was said before
        compallsen=True,  # scores are relative to the best of all states, the same in every search
        lw=1.0,
        wip=1.0,
        pip=1.0,
        beam=1e-60,
        pbeam=1e-60,
        wbeam=1e-40,
        bestpath=False,
    )
    decoder.add_allphone_file("phones", pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"))
    return decoder


def _padded(audio: Recording) -> bytes:
    """Return the samples with a little quiet noise around them; the same for the same recording."""
    size = int(PADDING * RATE)
    quiet = np.random.default_rng(0).normal(0, 3, 2 * size).round().astype(np.int16)
    return np.concatenate([quiet[:size], audio.samples, quiet[size:]]).astype("<i2").tobytes()
