"""Draw noise that depends on what is asked, and on nothing else: not on the order of the calls, the batch, the display or the process.

Every number is a hash of (seed, annotator, name of the part that draws, contents in their own order, repetition), by the finaliser of
splitmix64 (Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators") on arrays: with words w_1 ... w_n,

h_0 = 0,   h_i = finalise(h_{i-1} xor w_i),   uniform = (floor(h / 2^11) + 1/2) / 2^53

Texts become words by BLAKE2b. Left out: any claim to cryptographic strength.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
KeyArray = npt.NDArray[np.uint64]
_STEP, _FIRST, _SECOND = (np.uint64(word) for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def text_key(*texts: str) -> int:
    """Return a number of 64 bits that stands for some texts in their order."""
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        written = text.encode("utf-8", "surrogatepass")
        state.update(len(written).to_bytes(8, "little") + written)
    return int.from_bytes(state.digest(), "little")


def content_keys(texts: Iterable[str] | Iterable[tuple[str, ...]]) -> KeyArray:
    """Return a key for each text, or for each group of texts such as prompt and response: [N]. Equal contents have equal keys."""
    return np.array([text_key(each) if isinstance(each, str) else text_key(*each) for each in texts], dtype=np.uint64)


def fold(*words: npt.ArrayLike) -> KeyArray:
    """Return the hash of some words, broadcast against each other.

    Args:
        words: arrays of whole numbers; negative ones are taken as 64 bits.
    """
    state = np.zeros((), dtype=np.uint64)
    for word in words:
        state = _finalise(state ^ np.asarray(word).astype(np.uint64))
    return state


def uniform_of(hashes: KeyArray) -> FloatArray:
    """Return a number above 0 and below 1 for each hash."""
    return ((hashes >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal_of(hashes: KeyArray) -> FloatArray:
    """Return a draw from a standard normal distribution for each hash (Box & Muller 1958)."""
    return np.asarray(np.sqrt(-2.0 * np.log(uniform_of(hashes))) * np.cos(2.0 * np.pi * uniform_of(_finalise(hashes))))


@dataclass(frozen=True, eq=False)
class Draws:
    """Draw for the sets of contents that one annotator is shown.

    Args:
        annotator: [] or [N], a hash of the seed and the annotator.
        contents: [N, M], keys of the contents of each set.
        repetition: [] or [N], how often this annotator was asked about this set before.

    A part's draws are independent of those of all other parts, sets, annotators and repetitions.
    """

    annotator: KeyArray
    contents: KeyArray
    repetition: KeyArray

    @classmethod
    def of(cls, seed: int, annotators: Sequence[str] | str, contents: npt.ArrayLike, repetition: npt.ArrayLike = 0) -> Draws:
        """Make draws for one annotator, or for one of each row."""
        names = text_key(annotators) if isinstance(annotators, str) else content_keys(annotators)
        keys = np.asarray(contents).astype(np.uint64)
        return cls(fold(np.asarray(seed), names), keys, np.asarray(repetition).astype(np.uint64))

    def uniform(self, part: str) -> FloatArray:
        """Draw from the uniform distribution for each set: [N]."""
        return uniform_of(self._of_set(part))

    def normal(self, part: str) -> FloatArray:
        """Draw from the standard normal distribution for each set: [N]."""
        return normal_of(self._of_set(part))

    def uniforms(self, part: str) -> FloatArray:
        """Draw from the uniform distribution for each content of each set: [N, M]."""
        return uniform_of(self._of_content(part))

    def normals(self, part: str) -> FloatArray:
        """Draw from the standard normal distribution for each content of each set: [N, M]."""
        return normal_of(self._of_content(part))

    def gumbels(self, part: str) -> FloatArray:
        """Draw from the standard Gumbel distribution for each content of each set: [N, M]. Two of them differ by a logistic variable."""
        return np.asarray(-np.log(-np.log(self.uniforms(part))))

    def lasting_normals(self, part: str) -> FloatArray:
        """Draw what this annotator feels about each content in whatever set and however often: [N, M]."""
        return normal_of(fold(self.annotator[..., None], text_word(part), self.contents))

    def personal(self, part: str, session: npt.ArrayLike = 0) -> FloatArray:
        """Draw uniformly once for an annotator and a session: [] or [N]."""
        return uniform_of(fold(self.annotator, text_word(part), session))

    def _of_set(self, part: str) -> KeyArray:
        columns = np.sort(self.contents, axis=1).T  # the order of the contents, not of the display
        return fold(self.annotator, text_word(part), self.repetition, *columns)

    def _of_content(self, part: str) -> KeyArray:
        return fold(self._of_set(part)[:, None], self.contents)


@cache
def text_word(text: str) -> int:
    """Return the key of a part's name."""
    return text_key(text)


def _finalise(words: KeyArray) -> KeyArray:
    with np.errstate(over="ignore"):  # products are taken modulo 2^64
        word = words + _STEP
        word = (word ^ (word >> np.uint64(30))) * _FIRST
        word = (word ^ (word >> np.uint64(27))) * _SECOND
    return np.asarray(word ^ (word >> np.uint64(31)))
