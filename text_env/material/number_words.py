"""Make numbers in English words with the same numbers in French, German or Spanish words.

The words are those of num2words (LGPL, used as a library; nothing of it is copied). Where it is known to misspell, the number is left
out. Left out too: ordinals, of which it writes several in one gender only, and French spelling of 1990 (vingt-et-un), which it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from text_env.material.hashed_split import check_language, check_split, split_of
from text_env.material.task_packages import require_task_package
from text_env.prompts import Split

LANGUAGES = ("fr", "de", "es")
HIGHEST = 999_999
SWISS_BELOW = 200  # from here on the Swiss and Belgian forms are misspelt: "deux cents trente", for "deux cent trente"


@dataclass(frozen=True)
class NumberWords:
    """Draw a number in English words; the references are its words in another language.

    Args:
        language: "fr", "de" or "es".
        low, high: smallest and largest number, from 0 to 999,999; all are equally probable.
        split: "train" or "held_out": which numbers. A fifth is held out, by a hash of the number, in all languages alike.

    Errors: ValueError for an unknown language or split, and for a range without a number of this split; ModuleNotFoundError.
    """

    language: str = "fr"
    low: int = 0
    high: int = 999
    split: Split = "train"

    def __post_init__(self) -> None:
        check_language(self.language, LANGUAGES, "English")
        check_split(self.split)
        if not 0 <= self.low <= self.high <= HIGHEST:
            raise ValueError(f"numbers must have 0 <= low <= high <= {HIGHEST}, got low={self.low} and high={self.high}")
        require_task_package("num2words", "num2words", "numbers in words")
        if not any(self.has(number) for number in range(self.low, self.high + 1)):
            raise ValueError(f"there is no {self.split} number between low={self.low} and high={self.high}: widen the range")

    def has(self, number: int) -> bool:
        """Say whether a number of the range may be drawn."""
        return split_of(f"number {number}") == self.split and not is_misspelt(number, self.language)

    def __call__(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return prompt (English words), references (words of the language) and id (the number)."""
        while True:
            number = int(rng.integers(self.low, self.high + 1))
            if self.has(number):
                return {"prompt": in_words(number, "en"), "references": number_references(number, self.language), "id": str(number)}


def in_words(number: int, language: str) -> str:
    """Return a number in the words of a language."""
    from num2words import num2words

    return str(num2words(number, lang=language))


def number_references(number: int, language: str) -> list[str]:
    """Return all that is right: in French below 200 also septante, huitante and nonante, which Switzerland says; else one text."""
    forms = [in_words(number, language)]
    if language == "fr" and number < SWISS_BELOW:
        forms.append(in_words(number, "fr_CH"))
    return list(dict.fromkeys(forms))


def is_misspelt(number: int, language: str) -> bool:
    """Say whether num2words misspells a number: in Spanish it writes "veintiuno mil", for "veintiún mil"."""
    thousands = number // 1000
    return language == "es" and thousands > 1 and thousands % 10 == 1 and thousands % 100 != 11
