"""Hold what annotators replied as arrays, and turn it into comparisons and labels. What was not said is NaN, never 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedback.aggregation.opinions import Comparisons, Labels
from feedback.study.records import Outcome

FloatArray = npt.NDArray[np.float64]
CodeArray = npt.NDArray[np.int8]
OUTCOMES = (Outcome.ANSWERED, Outcome.TIE, Outcome.ALL_BAD, Outcome.ABSTAIN, Outcome.SKIP, Outcome.TIMEOUT)
ANSWERED, TIE, ALL_BAD, ABSTAIN, SKIP, TIMEOUT = range(len(OUTCOMES))


@dataclass(frozen=True, eq=False)
class Replies:
    """Hold the replies to N questions.

    Args:
        codes: [N], places in `OUTCOMES`.
        value: [N]. Of a comparison: 1 = the first was preferred, 0 = the second, 0.5 = a tie. Of a rating: the step. Of a thumb: 1 = good,
            0 = bad. Of a ranking [N, M]: the place of each content, from 0 for the best; equal places are tied. NaN where there is none.
        felt: [N, M], what the annotator felt in the end, by which it chose.
        seconds: [N], how long it took; NaN where that is not simulated, or where no answer came.
    """

    codes: CodeArray
    value: FloatArray
    felt: FloatArray
    seconds: FloatArray

    @property
    def is_said(self) -> npt.NDArray[np.bool_]:
        """Return where there is a value: [N]."""
        return ~np.isnan(self.value if self.value.ndim == 1 else self.value[:, 0])

    @property
    def outcomes(self) -> list[Outcome]:
        """Return the outcome of each question, for reading: [N]."""
        return [OUTCOMES[code] for code in self.codes.tolist()]

    def share(self, outcome: Outcome) -> float:
        """Return which share of the questions ended so.

        Errors: ValueError for an outcome that no annotator gives, or without questions.
        """
        if outcome not in OUTCOMES or not len(self.codes):
            raise ValueError(f"a share needs questions and one of {', '.join(OUTCOMES)}, got {len(self.codes)} questions and {outcome!r}")
        return float(np.mean(self.codes == OUTCOMES.index(outcome)))

    def comparisons(
        self,
        first: npt.ArrayLike,
        second: npt.ArrayLike,
        items: tuple[str, ...],
        annotator: npt.ArrayLike | None = None,
        annotators: tuple[str, ...] = ("annotator",),
        shown_first: npt.ArrayLike | None = None,
    ) -> Comparisons:
        """Return the pairs that were decided, or tied, as comparisons.

        Args:
            first, second: [N] numbers of items. annotator: [N] numbers of annotators. shown_first: [N], 1, -1 or 0.
        """
        if self.value.ndim != 1:
            raise ValueError("these replies are rankings: compare pairs to have comparisons")
        said = self.is_said
        return Comparisons.of(
            np.asarray(first)[said],
            np.asarray(second)[said],
            self.value[said],
            items,
            annotator=None if annotator is None else np.asarray(annotator)[said],
            annotators=annotators,
            shown_first=None if shown_first is None else np.asarray(shown_first)[said],
        )

    def labels(
        self,
        unit: npt.ArrayLike,
        units: tuple[str, ...],
        classes: tuple[str, ...],
        annotator: npt.ArrayLike | None = None,
        annotators: tuple[str, ...] = ("annotator",),
        low: int = 0,
    ) -> Labels:
        """Return the ratings or thumbs that were given as labels; class number 0 is the step `low`."""
        if self.value.ndim != 1:
            raise ValueError("these replies are rankings: rate units to have labels")
        said = self.is_said
        one = np.asarray(unit, dtype=np.int64)[said]
        who = np.zeros(len(one), dtype=np.int64) if annotator is None else np.asarray(annotator, dtype=np.int64)[said]
        return Labels(who, one, self.value[said].astype(np.int64) - low, annotators, units, classes)
