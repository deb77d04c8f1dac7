"""Hold what annotators are shown, as arrays: sets of contents, what they are worth, and what else can sway a judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feedback.simulated.keyed_noise import Draws

FloatArray = npt.NDArray[np.float64]


class Features(NamedTuple):
    """Hold what parts of an annotator may need to know of N sets of M contents; None = not known.

    Args:
        lengths: [N, M], at least 0, in whatever unit a length bias was fitted in.
        lists: [N, M], number of lists, or of other marks of format.
        aspects: [N, M, F], how good each content is in each of F ways.
        steps: [N, M, H], what each step of writing was worth; NaN after the last.
        ease: [N], how easy each set is to judge, at least 0.
        session: [N], number of the session in which it was shown.
    """

    lengths: FloatArray | None = None
    lists: FloatArray | None = None
    aspects: FloatArray | None = None
    steps: FloatArray | None = None
    ease: FloatArray | None = None
    session: npt.NDArray[np.int64] | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return the features of some sets."""
        lengths, lists, aspects, steps, ease = (None if each is None else np.asarray(each)[rows] for each in self[:5])
        return Features(lengths, lists, aspects, steps, ease, None if self.session is None else np.asarray(self.session)[rows])


@dataclass(frozen=True, eq=False)
class Shown:
    """Hold N sets of M contents as one annotator sees them (M = 1: a rating, 2: a comparison, more: a ranking).

    Args:
        utilities: [N, M]. draws: the noise.
        places: [N, M], 0 = was shown first; None = not known.
        features: what else is known.
        time: [] or [N], answers that this annotator gave before.
        reach: half the width of what can be answered, where a felt utility of 1 is the best answer and -1 the worst.
    """

    utilities: FloatArray
    draws: Draws
    places: FloatArray | None = None
    features: Features = field(default_factory=Features)
    time: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((), dtype=np.int64))
    reach: float = 1.0

    @property
    def num_sets(self) -> int:
        """Return N."""
        return int(self.utilities.shape[0])

    @property
    def size(self) -> int:
        """Return M."""
        return int(self.utilities.shape[1])

    def need(self, feature: str, part: object) -> FloatArray:
        """Return a feature that a part cannot do without, as an array.

        Errors: ValueError that says how to give it.
        """
        value = getattr(self.features, feature)
        if value is None:
            raise ValueError(f"{type(part).__name__} needs to know the {feature} of what is shown: give Features({feature}=...)")
        array = np.asarray(value, dtype=np.float64)
        wanted = (self.num_sets,) if feature == "ease" else self.utilities.shape
        if array.shape[: len(wanted)] != wanted:
            raise ValueError(f"{feature} must begin with the shape {wanted} of what is shown, got {array.shape}")
        return array

    def need_places(self, part: object) -> FloatArray:
        """Return the places, which a part cannot do without.

        Errors: ValueError that says how to give them.
        """
        if self.places is None or np.isnan(self.places).any():
            raise ValueError(f"{type(part).__name__} needs to know what was shown first: give shown_first (1, -1) or places")
        return self.places


def as_column(values: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """Return [N] as [N, 1].

    Errors: ValueError for another shape.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"single contents are judged one a row: give [N], got the shape {array.shape}")
    return array[:, None]


def per_set(name: str, value: npt.ArrayLike, num_sets: int) -> npt.NDArray[np.int64]:
    """Return a whole number of at least 0, or one for each set.

    Errors: ValueError for anything else.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (num_sets,)) or (array < 0).any():
        raise ValueError(f"{name} must be a whole number of at least 0, or one for each of {num_sets} sets, got {value!r}")
    return array


def places_of(shown_first: npt.NDArray[np.generic]) -> FloatArray:
    """Return the places of both contents from which of them was shown first; NaN where that is 0, not known: [N, 2]."""
    signs = shown_first.astype(np.float64)
    if signs.ndim != 1 or not np.isin(signs, (-1.0, 0.0, 1.0)).all():
        raise ValueError(f"shown_first must be 1, -1 or 0 for each pair, got {shown_first!r}")
    place = np.where(signs == 0.0, np.nan, (1.0 - signs) / 2.0)  # of the first content
    return np.stack([place, 1.0 - place], axis=1)


def ranks_of(felt: FloatArray, within: float) -> FloatArray:
    """Return dense places, 0 for the largest; neighbours that differ by less than `within`, or not at all, share one: [N, M]."""
    order = np.argsort(-felt, axis=1, kind="stable")
    best_first = np.take_along_axis(felt, order, axis=1)
    gaps = best_first[:, :-1] - best_first[:, 1:]
    is_lower = (gaps > 0.0) & (gaps >= within)
    places = np.zeros(felt.shape)
    np.put_along_axis(places, order, np.concatenate([np.zeros((len(felt), 1)), np.cumsum(is_lower, axis=1)], axis=1), axis=1)
    return places
