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
from numpy.typing import NDArray

from feedback.speech import require_speech
from feedback.speech.recogniser import NOTHING, Heard
from feedback.speech.recording import RATE, Recording, RecordingError
from feedback.speech.spoken_commands import Commands

LONGEST_COMMAND = 10.0  # seconds
SHIFT = 1024  # pocketsphinx keeps scores in steps of 1024 of its smallest unit
WEIGHTS = (2.219, 0.504, 1.487)  # b0, b1, b2, fitted by `python -m feedback.speech`
PADDING = 0.2  # seconds of quiet that the decoder expects around speech
DITHER = 10.0  # of the noise that is added; a sample is at most 32,767
QUIET_END = 10 ** (-40 / 20)  # of the loudest, below which the ends are cut off
STEADY = 10 ** (3 / 20)  # the loudest tenth of a second of steady noise against its quietest
MOST_RIVAL = 1000.0  # nats, where nothing else can be heard
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
        samples = audio.at_rate(RATE).samples
        if is_steady(samples):
            return None
        raw = _prepared(samples)
        with self._lock:
            phrase, score, frames = self._decode(self._grammar(tuple(commands.meanings)), raw)
            if phrase not in commands.meanings:
                return None  # no phrase was finished
            rest = commands.without(commands.meanings[phrase])
            other, rival = "", MOST_RIVAL
            if rest is not None:
                other, best, _ = self._decode(self._grammar(tuple(rest.meanings)), raw)
                rival = score - best if other else MOST_RIVAL
            _, filler, _ = self._decode("phones", raw)
        return None if math.isinf(filler) else Evidence(phrase, other, rival, (score - filler) / max(1, frames))

    def _decode(self, search: str, raw: bytes) -> tuple[str, float, int]:
        """Return the best words, their log-probability in nats, and their frames without silence."""
        decoder = self._decoder
        decoder.reinit_feat()  # its front end keeps what it heard before
        decoder.activate_search(search)
        decoder.start_utt()
        decoder.process_raw(raw, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None or found.best_score <= 0:
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


def _prepared(samples: NDArray[np.int16]) -> bytes:
    """Return what is decoded: quiet ends cut off, and faint noise over all of it, the same for the same recording.

    A microphone's silence is never exactly zero, and the acoustic model knows no sound that is.
    """
    block = RATE // 50
    levels = np.sqrt((samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64) ** 2).mean(axis=1))
    loud = np.flatnonzero(levels >= levels.max() * QUIET_END)
    kept = np.pad(samples[loud[0] * block : (loud[-1] + 1) * block].astype(np.float64), int(PADDING * RATE))
    kept += np.random.default_rng(0).normal(0, DITHER, len(kept))
    return kept.round().clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def is_steady(samples: NDArray[np.int16]) -> bool:
    """Say whether a sound is as loud all the time, as a fan or a hiss is and speech is not."""
    block = RATE // 10
    levels = np.sqrt((samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64) ** 2).mean(axis=1))
    return bool(levels.max() < levels.min() * STEADY)
