"""Read recordings: every broken one is refused with the way out, and another rate is the same sound."""

from __future__ import annotations

import io
import math
import struct
import wave

import numpy as np
import pytest

from feedback.speech.recording import MOST_SECONDS, RATE, Recording, RecordingError, read_wav, resample, write_wav


def wav(samples, rate: int = RATE, channels: int = 1, width: int = 2) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return buffer.getvalue()


def tone(hertz: float, rate: int = RATE, seconds: float = 1.0, size: float = 10_000) -> np.ndarray:
    return (size * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).round().astype(np.int16)


def level(samples: np.ndarray) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(float)
    return math.sqrt((middle**2).mean())


def test_a_recording_survives_being_written_and_read():
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)
    again = read_wav(write_wav(Recording(samples, 22_050)))
    assert again.rate == 22_050
    assert np.array_equal(again.samples, samples)


def test_of_two_channels_the_mean_is_taken():
    pair = np.stack([np.full(4000, 1000), np.full(4000, 3000)], axis=1).astype("<i2")
    assert set(read_wav(wav(pair.tobytes(), channels=2)).samples.tolist()) == {2000}


GOOD = wav(tone(440).tobytes())
REFUSED = {
    "empty": (b"", "empty .0 bytes"),
    "no-wav": (b"\x1aE\xdf\xa3 webm of a browser", "no WAV file: it begins with"),
    "text": (b"hello", "no WAV file"),
    "only-a-header": (wav(b""), "nothing was recorded .0.00 s"),
    "a-header-cut-off": (GOOD[:20], "cannot be read"),
    "cut-off": (GOOD[:-1001], "cut off: it announces 16000 samples and holds 15499"),
    "announces-too-much": (GOOD[:40] + struct.pack("<I", 2**31) + GOOD[44:], "at most 60 s"),
    "too-long": (wav(bytes(2 * (int(MOST_SECONDS) * RATE + 1))), "at most 60 s, got 60.0"),
    "8-bit": (wav(bytes(16_000), width=1), "16 bits a sample, got 8"),
    "24-bit": (wav(bytes(48_000), width=3), "16 bits a sample, got 24"),
    "compressed": (GOOD[:20] + struct.pack("<H", 2) + GOOD[22:], "unknown format"),
    "a-wrong-rate": (wav(tone(440).tobytes(), rate=4000), "8000 to 192000 samples a second, got 4000"),
    "no-rate": (GOOD[:24] + struct.pack("<I", 0) + GOOD[28:], "samples a second, got 0"),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_heard_is_refused_with_the_reason(data, words):
    with pytest.raises(RecordingError, match=words):
        read_wav(data)


def test_every_cut_of_a_recording_is_refused_and_none_breaks():
    short = wav(tone(440, seconds=0.2).tobytes())
    for length in [*range(60), *range(60, len(short), 211)]:
        with pytest.raises(RecordingError):
            read_wav(short[:length])


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE, np.int16), np.full(RATE, 900, np.int16), tone(300, size=8)], ids=["zero", "constant", "faint"]
)
def test_silence_is_refused_and_a_constant_is_silence(samples):
    with pytest.raises(RecordingError, match="silent"):
        Recording(samples).check_is_heard()


def test_a_word_in_long_silence_is_heard():
    Recording(np.concatenate([np.zeros(RATE * 9, np.int16), tone(300, seconds=0.2)])).check_is_heard()


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_and_size_at_another_rate(rate):
    converted = resample(tone(440, rate), rate, RATE).astype(float)
    assert len(converted) == RATE
    expected = tone(440, RATE).astype(float)
    assert np.abs(converted - expected)[2000:-2000].max() < 100  # 1 % of its size


def test_what_the_new_rate_cannot_hold_is_not_folded_back():
    assert level(resample(tone(10_000, 48_000), 48_000, RATE)) < 0.01 * level(tone(10_000, 48_000))


def test_a_constant_stays_what_it_is():
    assert set(resample(np.full(3000, 1234, np.int16), 44_100, RATE).tolist()) == {1234}
