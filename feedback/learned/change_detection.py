"""Notice that what people want has changed, from how often their newest answers were foreseen (Bifet & Gavaldà 2007, "ADWIN").

Each answer is foreseen by what was learned before it came (prequential, Dawid 1984), and its error, from 0 to 1, goes into a window. Where
some later part of the window has a mean error above that of the part before it by more than chance gives, the part before is forgotten.

Left out: their buckets of growing size, which save memory (a study fits), and their second side: errors that fall are what learning
is for, and no reason to forget.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class ChangeDetector:
    """Hold the errors of the answers since the last change.

    A part of n1 answers after one of n0 differs where, with 1 / m = 1 / n0 + 1 / n1, n = n0 + n1 and d = false_alarms / (2 ln n),

        mean1 - mean0 > sqrt(2 / m * variance * ln(1 / d)) + 2 / (3 m) * ln(1 / d)

    Args:
        false_alarms: probability that a window whose errors do not change is cut when a batch comes; in (0, 1). Each split is tested with
            Bernstein's inequality, which is careful: the true share lies well below (measured in the tests).
        fewest: answers on either side of a cut.

    `size` is the number of answers in the window: all those that came after the last change.
    """

    def __init__(self, false_alarms: float = 0.01, fewest: int = 20) -> None:
        if not 0 < false_alarms < 1:
            raise ValueError(f"false_alarms is a probability above 0 and below 1, got {false_alarms}")
        if fewest < 1:
            raise ValueError(f"fewest must be at least 1 answer, got {fewest}")
        self.false_alarms = false_alarms
        self.fewest = fewest
        self._errors: FloatArray = np.zeros(0)

    @property
    def size(self) -> int:
        """Return the number of answers in the window."""
        return len(self._errors)

    def add(self, errors: npt.ArrayLike) -> int:
        """Take the errors of the newest answers, and return how many older ones are to be forgotten; 0 while nothing has changed.

        Args:
            errors: [N], from 0 (foreseen) to 1 (the opposite was), in the order in which the answers came.

        Errors: ValueError for an error out of range.
        """
        newest = np.asarray(errors, dtype=np.float64).ravel()
        if not ((newest >= 0) & (newest <= 1)).all():
            raise ValueError(f"an error lies between 0 and 1, got {newest[~((newest >= 0) & (newest <= 1))][0]}")
        self._errors = np.concatenate([self._errors, newest])
        cut = self._cut()
        self._errors = self._errors[cut:]
        return cut

    def state_dict(self) -> dict[str, Any]:
        """Return the window."""
        return {"errors": self._errors.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a window."""
        self._errors = np.array(state["errors"], dtype=np.float64)

    def _cut(self) -> int:
        """Return where the clearest change lies; 0 where there is none."""
        number = len(self._errors)
        before = np.arange(self.fewest, number - self.fewest + 1)
        if before.size == 0:
            return 0
        after = number - before
        sums = np.cumsum(self._errors)
        gap = (sums[-1] - sums[before - 1]) / after - sums[before - 1] / before
        ratio = (1 / before + 1 / after) * math.log(2 * max(1.0, math.log(number)) / self.false_alarms)
        excess = gap - np.sqrt(2 * ratio * self._errors.var()) - 2 / 3 * ratio
        clearest = int(excess.argmax())
        return int(before[clearest]) if excess[clearest] > 0 else 0
