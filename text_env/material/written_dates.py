"""Make dates as English writes them with the same dates as French, German or Spanish writes them.

The patterns are those of the Unicode CLDR (Unicode licence), which Babel (BSD) carries; nothing of either is copied. French dates have
"1 novembre", as the CLDR has it, where people write "1er novembre".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date
from typing import Any

import numpy as np

from text_env.material.hashed_split import check_language, check_split, split_of
from text_env.material.task_packages import require_task_package
from text_env.prompts import Split

LANGUAGES = ("fr", "de", "es")
FORMATS = ("long", "full", "medium")


@dataclass(frozen=True)
class WrittenDates:
    """Draw a date as English writes it; the reference is how another language writes it.

    Args:
        language: "fr", "de" or "es".
        first_year, last_year: from 1 to 9999; every day of these years is equally probable.
        date_format: "long" (November 1, 2026), "full" (Sunday, November 1, 2026) or "medium" (Nov 1, 2026).
        split: "train" or "held_out": which days. A fifth is held out, by a hash of the day, in all languages and formats alike.

    Errors: ValueError for an unknown language, format or split, and for years that are none; ModuleNotFoundError.
    """

    language: str = "fr"
    first_year: int = 1900
    last_year: int = 2099
    date_format: str = "long"
    split: Split = "train"

    def __post_init__(self) -> None:
        check_language(self.language, LANGUAGES, "English")
        check_split(self.split)
        if self.date_format not in FORMATS:
            raise ValueError(f"date_format must be one of {', '.join(map(repr, FORMATS))}, got {self.date_format!r}")
        if not MINYEAR <= self.first_year <= self.last_year <= MAXYEAR:
            raise ValueError(
                f"years must have {MINYEAR} <= first_year <= last_year <= {MAXYEAR}, "
                f"got first_year={self.first_year} and last_year={self.last_year}"
            )
        require_task_package("babel", "Babel", "written dates")

    def __call__(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return prompt (the English date), references (the date of the language) and id (the date as ISO 8601 has it)."""
        first, last = date(self.first_year, 1, 1).toordinal(), date(self.last_year, 12, 31).toordinal()
        while True:
            day = date.fromordinal(int(rng.integers(first, last + 1)))
            if split_of(f"day {day.isoformat()}") == self.split:
                english, other = (self._written(day, language) for language in ("en", self.language))
                return {"prompt": english, "references": [other], "id": day.isoformat()}

    def _written(self, day: date, language: str) -> str:
        from babel.dates import format_date

        return str(format_date(day, self.date_format, locale=language))
