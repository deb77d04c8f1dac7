"""Make speech to test and measure with: espeak-ng says a text, and noise is added at a stated distance.

Nothing of it is a person's speech: what is measured with it says how a recogniser compares on the same sound, not how well it hears people.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feedback.speech.recording import RATE, Recording, read_wav

PROGRAM = "espeak-ng"


@dataclass(frozen=True)
class Voice:
    """Hold how something is said.

    Args:
        name: of espeak-ng's voice, such as en-gb+f2. words_per_minute: how fast. pitch: 0 to 99.
    """

    name: str = "en-us"
    words_per_minute: int = 160
    pitch: int = 50


def can_speak() -> bool:
    """Say whether espeak-ng is installed."""
    return shutil.which(PROGRAM) is not None


def say(text: str, voice: Voice | None = None, noise_decibels: float | None = None, seed: int = 0) -> Recording:
    """Return a text as speech, with a quarter of a second before and behind it.

    Args:
        noise_decibels: how much louder the speech is than white noise over the whole recording (signal-to-noise ratio); None = no noise.

    Errors: FileNotFoundError without espeak-ng.
    """
    if not can_speak():
        raise FileNotFoundError("making speech needs espeak-ng: install it (Debian, Ubuntu: apt-get install espeak-ng)")
    how = Voice() if voice is None else voice
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        settings = ["-v", how.name, "-s", str(how.words_per_minute), "-p", str(how.pitch), "-w", str(file), "--", text]
        subprocess.run([PROGRAM, *settings], check=True, capture_output=True, env=os.environ)
        spoken = read_wav(file.read_bytes()).at_rate(RATE).samples.astype(np.float64)
    quiet = np.zeros(RATE // 4)
    return with_noise(np.concatenate([quiet, spoken, quiet]), noise_decibels, seed)


def with_noise(samples: np.ndarray, noise_decibels: float | None, seed: int = 0) -> Recording:
    """Return samples with white noise at a signal-to-noise ratio, turned down where they would not fit."""
    if noise_decibels is not None:
        size = np.sqrt((samples**2).mean()) * 10 ** (-noise_decibels / 20)
        samples = samples + np.random.default_rng(seed).normal(0, size, len(samples))
    loudest = np.abs(samples).max(initial=1.0)
    return Recording((samples * min(1.0, 32_000 / loudest)).round().astype(np.int16))


def noise(seconds: float, loudness: float = 0.05, seed: int = 0) -> Recording:
    """Return white noise; loudness 1 = as loud as can be."""
    values = np.random.default_rng(seed).normal(0, loudness * 2**15, int(seconds * RATE))
    return Recording(values.clip(-(2**15), 2**15 - 1).astype(np.int16))


def silence(seconds: float) -> Recording:
    """Return no sound at all."""
    return Recording(np.zeros(int(seconds * RATE), np.int16))
