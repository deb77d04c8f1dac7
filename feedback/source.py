"""Give every feedback source of this package its arithmetic.

`0.7 * Sentiment() - 0.2 * Repetition()` is a source again. One of another kind (any `text_env.Feedback`) or an import path may stand on
either side of one that derives from `Source`. What the operators build is in `compose` and `cached`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from text_env.names import resolve

if TYPE_CHECKING:
    from feedback.cached import Cached
    from feedback.compose import Clipped, Otherwise, WeightedSum
    from text_env.episode import Episode, Feedback, Scored

SCALE = ("low", "high", "unit")
NOT_SETTINGS = (*SCALE, "is_comparative")


class Source:
    """Give a feedback source its arithmetic; a subclass states `low`, `high` and `unit` and defines `__call__(episodes)`.

    `is_comparative` is True for a source that compares the members of a batch with each other.
    """

    low: float
    high: float
    unit: str
    is_comparative: bool = False

    @classmethod
    def example(cls) -> Self:
        """Return one to try out; a class whose constructor needs arguments gives them here."""
        return cls()

    def __call__(self, episodes: Sequence[Episode]) -> Sequence[Scored]:
        """Return one judgement, number or None (abstained) for each episode."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, episodes)")

    def __add__(self, other: Feedback | str | float) -> WeightedSum:
        """Return a source that scores the sum of both; a number is a constant."""
        from feedback.compose import add

        return add((1.0, self), (1.0, other))

    def __radd__(self, other: Feedback | str | float) -> WeightedSum:
        """Return a source that scores the sum of both; a number is a constant."""
        from feedback.compose import add

        return add((1.0, other), (1.0, self))

    def __sub__(self, other: Feedback | str | float) -> WeightedSum:
        """Return a source that scores the difference."""
        from feedback.compose import add

        return add((1.0, self), (-1.0, other))

    def __rsub__(self, other: Feedback | str | float) -> WeightedSum:
        """Return a source that scores the difference."""
        from feedback.compose import add

        return add((1.0, other), (-1.0, self))

    def __mul__(self, weight: float) -> WeightedSum:
        """Return a source that scores `weight` times as much."""
        from feedback.compose import add

        return add((weight, self))

    def __rmul__(self, weight: float) -> WeightedSum:
        """Return a source that scores `weight` times as much."""
        return self * weight

    def __neg__(self) -> WeightedSum:
        """Return a source for which more is worse."""
        return self * -1.0

    def clip(self, low: float = -math.inf, high: float = math.inf) -> Clipped:
        """Return a source whose scores are held between `low` and `high`."""
        from feedback.compose import Clipped

        return Clipped(self, low, high)

    def otherwise(self, score: float) -> Otherwise:
        """Return a source that says `score` where this one abstains."""
        from feedback.compose import Otherwise

        return Otherwise(self, score)

    def cached(self, size: int = 10_000) -> Cached:
        """Return a source that asks this one only about episodes that are not among the last `size`."""
        from feedback.cached import Cached

        return Cached(self, size)

    def __repr__(self) -> str:
        """Show the public settings, without what follows from them."""
        settings = {name: value for name, value in vars(self).items() if not name.startswith("_") and name not in NOT_SETTINGS}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def as_feedback(source: Any) -> Feedback:
    """Return a feedback source, importing it if it is given by its path.

    Errors: TypeError for a class (it was not called) and for anything that is not callable or states no scale.
    """
    found = resolve(source) if isinstance(source, str) else source
    if isinstance(found, type):
        raise TypeError(f"expected a feedback source, got the class {found.__name__}: call it, as in {found.__name__}()")
    lack = [name for name in (*SCALE, "__call__") if not hasattr(found, name)]
    if lack:
        raise TypeError(
            f"expected a feedback source, got {found!r}, which has no {', '.join(lack)}; make one of a function by feedback.text_feedback"
        )
    return found
