"""Read what a microphone took: 16-bit samples of one channel, out of the bytes of a WAV file.

Nothing is guessed: what is empty, cut off, silent, too long or no WAV is refused with the way out.
"""

from __future__ import annotations

import io
import math
import wave
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # samples per second, which recognisers of speech are trained on
RATES = (8_000, 192_000)  # the lowest and the highest rate that is read
MOST_SECONDS = 60.0
LEAST_SECONDS = 0.1  # no word is shorter
SILENCE = 10 ** (-60 / 20)  # loudness of the loudest tenth of a second, against the loudest possible, below which nothing was said
HEADROOM = 4096  # bytes of a WAV file beside its samples
MOST_BYTES = int(MOST_SECONDS * RATE) * 2 + HEADROOM  # of a recording as the page sends it
TAPS = 16  # zero crossings of the resampling filter on either side
PASSED = 0.95  # of the lower rate's half that is kept, so that nothing above it is folded back


class RecordingError(ValueError):
    """Report a recording from which nothing can be heard, and what to do."""


@dataclass(frozen=True)
class Recording:
    """Hold sound.

    Args:
        samples: [T] 16-bit whole numbers of one channel. rate: samples per second.
    """

    samples: NDArray[np.int16]
    rate: int = RATE

    def __post_init__(self) -> None:
        if self.samples.dtype != np.int16 or self.samples.ndim != 1:
            raise RecordingError(
                f"a recording holds 16-bit whole numbers of one channel, got {self.samples.dtype} in {self.samples.ndim} dimensions"
            )
        if not RATES[0] <= self.rate <= RATES[1]:
            raise RecordingError(f"a recording has {RATES[0]} to {RATES[1]} samples a second, got {self.rate}: record at {RATE}")
        if self.seconds > MOST_SECONDS:
            raise RecordingError(f"a recording has at most {MOST_SECONDS:g} s, got {self.seconds:.1f} s: say it shorter, or write it")
        if self.seconds < LEAST_SECONDS:
            raise RecordingError(f"nothing was recorded ({self.seconds:.2f} s): press the button, speak, then press it again")

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return len(self.samples) / self.rate

    @cached_property
    def loudness(self) -> float:
        """Return the root mean square of the loudest tenth of a second: 1 = as loud as can be written; a constant offset is no sound."""
        size = max(1, self.rate // 10)
        values = self.samples[: len(self.samples) // size * size].reshape(-1, size) / 2**15
        return float(np.sqrt(((values - values.mean(axis=1, keepdims=True)) ** 2).mean(axis=1).max()))

    def check_is_heard(self) -> None:
        """Check that there is any sound.

        Errors: RecordingError for silence.
        """
        if self.loudness < SILENCE:
            level = "no sound at all" if self.loudness == 0 else f"{20 * math.log10(self.loudness):.0f} dB"
            raise RecordingError(f"the recording is silent ({level}): check that the microphone is on, come nearer, and say it again")

    def at_rate(self, rate: int) -> Recording:
        """Return the same sound at another rate, filtered so that nothing is folded back."""
        return self if rate == self.rate else Recording(resample(self.samples, self.rate, rate), rate)


def read_wav(data: bytes) -> Recording:
    """Read a WAV file of 16-bit samples; of several channels the mean is taken.

    Errors: RecordingError that names what is wrong with it.
    """
    if not data:
        raise RecordingError("the recording is empty (0 bytes): press the button, speak, then press it again")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise RecordingError(f"the recording is no WAV file: it begins with {data[:12]!r}; send 16-bit PCM in WAV")
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate, announced = file.getsampwidth(), file.getnchannels(), file.getframerate(), file.getnframes()
            if width != 2:
                raise RecordingError(f"a recording has 16 bits a sample, got {8 * width}: send 16-bit PCM in WAV")
            if channels > 8:
                raise RecordingError(f"a recording has 1 to 8 channels, got {channels}: send one")
            if rate > 0 and announced / rate > MOST_SECONDS:
                seconds = announced / rate
                raise RecordingError(f"a recording has at most {MOST_SECONDS:g} s, got {seconds:.1f} s: say it shorter, or write it")
            raw = file.readframes(announced)
    except (wave.Error, EOFError) as error:
        raise RecordingError(f"the WAV file cannot be read ({error or 'it ends too early'}): send 16-bit PCM in WAV") from None
    if len(raw) != announced * 2 * channels:
        raise RecordingError(
            f"the WAV file is cut off: it announces {announced} samples and holds {len(raw) // (2 * channels)}; send it again"
        )
    samples = np.frombuffer(raw, "<i2")
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).round()
    return Recording(samples.astype(np.int16), rate)


def write_wav(recording: Recording) -> bytes:
    """Return a recording as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(recording.rate)
        file.writeframes(recording.samples.astype("<i2").tobytes())
    return buffer.getvalue()


def resample(samples: NDArray[np.int16], rate: int, wanted: int) -> NDArray[np.int16]:
    """Return samples at another rate: a low pass (a sinc under a Hann window) read at the new places.

    y(t) = sum_k x_k h(t - k),  h(u) = c sinc(c u) cos(pi u c / (2 W))^2 for |u c| < W,  c = PASSED min(1, wanted / rate), W = TAPS

    u is in samples of the old rate. The weights of each place are divided by their sum, so that a constant stays what it is.
    """
    cut = PASSED * min(1.0, wanted / rate)
    reach = math.ceil(TAPS / cut)
    padded = np.pad(samples.astype(np.float64), reach, mode="edge")
    number = len(samples) * wanted // rate
    result = np.empty(number)
    offsets = np.arange(-reach + 1, reach + 1)
    for start in range(0, number, RATE):  # a second at a time bounds the memory
        places = np.arange(start, min(start + RATE, number)) * (rate / wanted)
        first = np.floor(places).astype(np.int64)
        distance = (places[:, None] - (first[:, None] + offsets)) * cut  # [places, taps]
        weights = np.sinc(distance) * np.cos(np.pi * distance / (2 * TAPS)) ** 2 * (np.abs(distance) < TAPS)
        values = padded[first[:, None] + offsets + reach]
        result[start : start + len(places)] = (weights * values).sum(axis=1) / weights.sum(axis=1)
    return result.round().clip(-(2**15), 2**15 - 1).astype(np.int16)
