"""Measure how well spoken commands are understood, on synthetic voices of which one half sets the confidence and the other half reports it.

Every voice says every phrase of a question of each kind, and sentences that are none of them; each recording has one of several amounts of
noise. On the first half of the voices the weights of the confidence are fitted, and the threshold is the lowest at which few enough of what
is understood is understood wrongly. The figures are of the other half, which had no part in that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.aggregation.agreement import share_interval
from feedback.speech.command_recogniser import CommandRecogniser, Evidence
from feedback.speech.recording import RecordingError
from feedback.speech.speech_synthesis import Voice, noise, say, silence
from feedback.speech.spoken_commands import SPOKEN, commands_for
from feedback.study.records import Kind, Question

FITTING = (
    Voice("en-us", 150),
    Voice("en-us+f2", 165),
    Voice("en-gb+m3", 140),
    Voice("en-gb-scotland", 160),
    Voice("en-us+m7", 175, 40),
    Voice("en-gb-x-rp+f4", 155),
)
REPORTED = (
    Voice("en-gb", 155),
    Voice("en-us-nyc", 165),
    Voice("en-us+f1", 145, 60),
    Voice("en-029", 160),
    Voice("en-us+m1", 185),
    Voice("en-gb-x-gbclan+f3", 140),
)
NOISES = (None, 20.0, 10.0, 5.0)  # signal-to-noise ratio, decibels; None = none added
ELSE = (
    "the weather is nice today",
    "what is this text about",
    "banana",
    "please call my mother tomorrow",
    "I like pancakes",
    "hello",
    "where is the train station",
    "this is a long story without an end",
    "seventeen",
    "the cat sat on the mat",
    "maybe",
    "can you hear me",
)
OF_OTHER_KINDS = {
    Kind.BINARY: ("they are equal", "rating three", "the second is better"),
    Kind.RATE: ("they are equal", "first is better", "thumbs up"),
    Kind.COMPARE: ("very good", "rating four", "thumbs down"),
}
Figure = dict[str, float | int | str]


@dataclass(frozen=True)
class Trial:
    """Hold one recording and what became of it.

    Args:
        meaning: of what was said; "" = none of the commands. evidence: None = nothing was heard. understood: meaning of the best phrase.
    """

    kind: Kind
    said: str
    meaning: str
    voice: str
    noise_decibels: float | None
    evidence: Evidence | None
    understood: str

    @property
    def is_right(self) -> bool:
        """Say whether the best phrase means what was said."""
        return bool(self.meaning) and self.understood == self.meaning

    def is_accepted(self, weights: Sequence[float], threshold: float) -> bool:
        """Say whether it would be taken for an answer, to be confirmed."""
        return self.evidence is not None and self.evidence.confidence(weights) >= threshold


def questions() -> dict[Kind, Question]:
    """Return a question of every kind whose answer is a command."""
    return {kind: Question(kind, ("one", "other")[: 2 if kind is Kind.COMPARE else 1]) for kind in Kind if kind in SPOKEN}


def run_trials(
    voices: Iterable[Voice], recogniser: CommandRecogniser, every: int = 1, progress: Callable[[str], object] = lambda line: None
) -> list[Trial]:
    """Let voices say all commands and other sentences; `every` > 1 takes one in so many."""
    trials, number = list[Trial](), 0
    for at, voice in enumerate(voices):
        progress(f"{voice.name}, {voice.words_per_minute} words per minute")
        for kind, question in questions().items():
            commands = commands_for(question)
            assert commands is not None
            others = [(text, "") for text in (*ELSE, *OF_OTHER_KINDS[kind], "<noise>", "<silence>")]
            for place, (text, meaning) in enumerate([*commands.meanings.items(), *others]):
                number += 1
                decibels = NOISES[(place + at) % len(NOISES)]
                if number % every:
                    continue
                sound = {"<noise>": noise(1.5, seed=number), "<silence>": silence(1.5)}.get(text) or say(text, voice, decibels, seed=number)
                try:
                    evidence = recogniser.evidence(sound, commands)
                except RecordingError:  # silence
                    evidence = None
                understood = "" if evidence is None else commands.meanings[evidence.phrase]
                trials.append(Trial(kind, text, meaning, voice.name, decibels, evidence, understood))
    return trials


def fit_weights(trials: Sequence[Trial], ridge: float = 0.1) -> tuple[float, float, float]:
    """Return the weights of the confidence: a logistic regression of "is right" on the evidence, by Newton's method."""
    heard = [trial for trial in trials if trial.evidence is not None]
    inputs = np.array([_inputs(trial.evidence) for trial in heard if trial.evidence is not None])
    right = np.array([trial.is_right for trial in heard], float)
    weights: NDArray[np.float64] = np.zeros(3)
    for _ in range(50):
        chances = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (right - chances) - ridge * weights
        curve = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + ridge * np.eye(3)
        weights = weights + np.linalg.solve(curve, slope)
    return float(weights[0]), float(weights[1]), float(weights[2])


def _inputs(evidence: Evidence) -> list[float]:
    return [1.0, math.log1p(max(0.0, evidence.rival)), evidence.filler]


def choose_threshold(trials: Sequence[Trial], weights: Sequence[float], most_wrong: float = 0.02) -> float:
    """Return the lowest confidence, in hundredths, above which at most a share `most_wrong` of what is understood is wrong."""
    for hundredth in range(50, 100):
        accepted = [trial for trial in trials if trial.is_accepted(weights, hundredth / 100)]
        if sum(not trial.is_right for trial in accepted) <= most_wrong * len(accepted):
            return hundredth / 100
    raise ValueError(f"no threshold up to 0.99 keeps wrong answers at {most_wrong:g} of what is understood, from {len(trials)} recordings")


def figures(trials: Sequence[Trial], weights: Sequence[float], threshold: float) -> dict[str, Figure]:
    """Return shares: of commands understood rightly, wrongly, and not; of other sounds taken for a command; by kind and noise."""
    result: dict[str, Figure] = {
        "threshold": {"value": threshold, "unit": "confidence", "low": threshold, "high": threshold, "n": len(trials)}
    }
    groups: dict[str, list[Trial]] = {"all": list(trials)}
    for kind in questions():
        groups[str(kind)] = [trial for trial in trials if trial.kind is kind]
    for decibels in NOISES:
        name = "no_noise" if decibels is None else f"{decibels:g}_db"
        groups[name] = [trial for trial in trials if trial.noise_decibels == decibels]
    for name, group in groups.items():
        said = [trial for trial in group if trial.meaning]
        other = [trial for trial in group if not trial.meaning]
        taken = [trial for trial in said if trial.is_accepted(weights, threshold)]
        rightly = sum(trial.is_right for trial in taken)
        result[f"{name}_rightly"] = share(rightly, len(said))
        result[f"{name}_wrongly"] = share(len(taken) - rightly, len(said))
        result[f"{name}_abstained"] = share(len(said) - len(taken), len(said))
        result[f"{name}_other_sounds_taken"] = share(sum(trial.is_accepted(weights, threshold) for trial in other), len(other))
    return result


def share(count: int, number: int) -> Figure:
    """Return a share with Wilson's interval of 95 %; 0 to 1 for none of none."""
    found = share_interval(count, number)
    if found.value is None or found.low is None or found.high is None:
        return {"value": 0.0, "unit": "share", "low": 0.0, "high": 1.0, "n": 0}
    return {"value": round(found.value, 4), "unit": "share", "low": round(found.low, 4), "high": round(found.high, 4), "n": number}
