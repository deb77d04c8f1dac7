"""Find explicit ratings in a critique: "7/10", "3 out of 5", "4 stars", "+1", "A-"."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = rf"(\d{{1,3}}(?:[.,]\d{{1,2}})?|{'|'.join(_NAMES)})"
_SCALES = frozenset((4, 5, 6, 7, 10, 20, 100))
STARS = 5
# A number of a scale is a rating if it ends its clause or goes on in one of these ways: "3 out of 5 facts" rates nothing.
_GOES_ON = (
    r"(?=\s*(?:$|[^\w\s]|(?:stars?|points?|but|and|for|from|because|since|as|overall|would|wouldn|though|although|to|me|i|it|this|very|"
    r"way|too|not|so|with|imo|rating)\b))"
)
_FRACTION = re.compile(rf"(?<![\w/.,+-]){_NUMBER}\s*(?:/|out\s+of)\s*(\d{{1,3}}|four|five|six|seven|ten)(?![\w/]|[.,]\d){_GOES_ON}", re.I)
_STARS = re.compile(rf"(?<![\w/.,]){_NUMBER}(?:\s*-\s*|\s+)stars?\b(?:\s+out\s+of\s+(?:5|five))?", re.I)
_GLYPHS = re.compile("([\u2605\u2b50\ufe0f]+)([\u2606\u2729]*)")
_VOTE = re.compile(r"(?:^\s*|[.!?\n][ \t]*)([+\u2212-]1)(?=$|[\s.,!;:])|(?<=\s)(\+1)(?=\s*[.!]*\s*$)")
_GRADE = re.compile(
    r"^\W*([A-F][+\u2212-])\W*$|\b(?:[Gg](?:i?ves?|ave|rade[ds]?|ets?)|[Rr]ate|[Dd]eserves|[Ee]arns)\s+(?:(?:this|it|that|you|the\s+\w+)\s+)?"
    r"(?:an?\s+|as\s+)?(?:solid\s+)?([A-F][+\u2212-]?)(?=\s*(?:$|[^\w\s]|for\b|overall\b|from\b))"
)
_GRADES = {"A": 0.9, "B": 0.5, "C": 0.0, "D": -0.6, "E": -0.8, "F": -1.0}
_REFUSING = re.compile(r"(?:n['\u2019]t|\b(?:not|never|cannot))(?:\s+\w+){0,4}\s*$", re.I)
VOTE = 0.8


class Rating(NamedTuple):
    """Hold a rating as it stands in the text, the character where it begins, and its value from -1 to 1."""

    text: str
    start: int
    value: float


def find_ratings(text: str) -> list[Rating]:
    """Return the explicit ratings of a text, in its order.

    A number x of a scale to n is read from 1 where n is 5 or less, else from 0: "3 out of 5" and "5/10" are 0, "1 star" is -1.
    Scales end at 4, 5, 6, 7, 10, 20 or 100. A grade needs a sign ("A-") or a verb ("gets an A"): a bare letter may be a choice. Ratings
    behind a negation ("not a 10/10"), dates ("7/10/2024") and shares ("3 out of 5 facts are wrong") are left out.
    """
    found = [
        *(_scaled(match, match[1], match[2]) for match in _FRACTION.finditer(text)),
        *(_scaled(match, match[1], str(STARS)) for match in _STARS.finditer(text)),
        *(_glyphs(match) for match in _GLYPHS.finditer(text)),
        *(Rating(_sign(match), match.start(), VOTE if "+" in match[0] else -VOTE) for match in _VOTE.finditer(text)),
        *(_grade(match) for match in _GRADE.finditer(text)),
    ]
    ordered = sorted((rating for rating in found if rating is not None), key=lambda rating: rating.start)
    return [rating for rating in ordered if not _REFUSING.search(text[max(rating.start - 60, 0) : rating.start])]


def _scaled(match: re.Match[str], given: str, end: str) -> Rating | None:
    number, scale = _number(given), _number(end)
    if scale not in _SCALES or number > scale:
        return None
    first = 1 if scale <= STARS else 0
    return Rating(match[0].strip(), match.start(), max(2 * (number - first) / (scale - first) - 1, -1.0))


def _number(text: str) -> float:
    lower = text.lower()
    return float(_NAMES.index(lower)) if lower in _NAMES else float(text.replace(",", "."))


def _glyphs(match: re.Match[str]) -> Rating | None:
    """Return the rating of drawn stars; one star alone may be praise, so it is left to the emoji."""
    full = len(match[1].replace("\ufe0f", ""))
    total = full + len(match[2])
    if full > STARS or total > STARS or (total < 2):
        return None
    return Rating(match[0], match.start(), 2 * (full - 1) / (STARS - 1) - 1)


def _sign(match: re.Match[str]) -> str:
    return match[1] or match[2]


def _grade(match: re.Match[str]) -> Rating:
    grade = match[1] or match[2]
    step = 0.0 if len(grade) == 1 else 0.15 if grade[1] == "+" else -0.15
    return Rating(grade, match.start(), max(-1.0, min(1.0, _GRADES[grade[0]] + step)))
