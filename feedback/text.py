"""Make a feedback source of a plain function of the prompt and the response."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from feedback.source import Source

if TYPE_CHECKING:
    from text_env.episode import Episode

TextFunction = Callable[[str, str], float | None]


class TextFeedback(Source):
    """Score each response by a function of the prompt's text and the response, one at a time. Made by `text_feedback`.

    `function` is the plain function, for calling it on two texts. What it returns is the score: a finite number (True counts as 1.0,
    False as 0.0), or None for no opinion. Anything else is an error of the environment, which names the function and the episode.
    Edges and weaknesses are the function's own.
    """

    def __init__(self, function: TextFunction, low: float = -math.inf, high: float = math.inf, unit: str = "") -> None:
        if not low <= high:
            raise ValueError(f"a scale needs low <= high, got {low} and {high}")
        _check_signature(function)
        self.__name__ = str(getattr(function, "__name__", type(function).__name__))
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.function = function
        self.low = float(low)
        self.high = float(high)
        self.unit = unit

    @classmethod
    def example(cls) -> TextFeedback:
        """Return one that counts cats."""
        return cls(count_cats, low=0, unit="cats")

    def __call__(self, episodes: Sequence[Episode]) -> list[float | None]:
        """Return what the function says of each episode."""
        return [self.function(episode.prompt.text, episode.response) for episode in episodes]

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where a decorator put this source in the function's place, else by its arguments."""
        name = getattr(self.function, "__qualname__", "")
        found: Any = sys.modules.get(self.__module__)
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (TextFeedback, (self.function, self.low, self.high, self.unit))

    def __repr__(self) -> str:
        """Show the function's name."""
        return f"text_feedback({self.__name__})"


@overload
def text_feedback(function: TextFunction, /) -> TextFeedback: ...


@overload
def text_feedback(*, low: float = ..., high: float = ..., unit: str = ...) -> Callable[[TextFunction], TextFeedback]: ...


def text_feedback(
    function: TextFunction | None = None, /, *, low: float = -math.inf, high: float = math.inf, unit: str = ""
) -> TextFeedback | Callable[[TextFunction], TextFeedback]:
    """Turn `f(prompt: str, response: str) -> float | None` into a feedback source; None means no opinion.

    Usable bare or with the scale:

        @text_feedback
        def likes_cats(prompt, response):
            return response.count("cat")

        @text_feedback(low=0, high=10, unit="cats")
        def likes_cats_up_to_ten(prompt, response):
            return min(response.count("cat"), 10)

    Args:
        function: the function, if it is used bare.
        low, high: the scale; every score lies within. Unbounded unless stated.
        unit: what one point means.

    Errors: TypeError for something that cannot be called with two texts, ValueError for low > high.
    """
    if function is not None:
        return TextFeedback(function, low, high, unit)
    return lambda decorated: TextFeedback(decorated, low, high, unit)


def count_cats(prompt: str, response: str) -> float:
    """Count the cats in the response."""
    return float(response.casefold().count("cat"))


def _check_signature(function: TextFunction) -> None:
    wish = "text_feedback needs a function f(prompt: str, response: str) -> float | None, got"
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"{wish} {function!r}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{wish} {function!r}, which is asynchronous or a generator")
    signature = inspect.signature(function)
    try:
        signature.bind("", "")
    except TypeError as error:
        raise TypeError(f"{wish} {getattr(function, '__name__', function)}{signature}") from error
