"""Ask for currencies, official languages and names of places and languages, in four languages.

The facts are those of the Unicode CLDR (Unicode licence), which Babel (BSD) carries; nothing of either is copied. Currencies are those of
a fixed day, so that the same seed asks the same questions on every day. Left out: regions of several countries, and territories that are
none (test locales, the United Nations, the euro area).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from text_env.material.hashed_split import check_language, check_split, split_of
from text_env.material.task_packages import require_task_package
from text_env.prompts import Split

LANGUAGES = ("en", "fr", "de", "es")
AS_OF = date(2025, 1, 1)
NO_TERRITORIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
QUESTIONS = {
    "currency": {
        "en": "What is the currency of {name}?",
        "fr": "Quelle est la monnaie de ce pays : {name} ?",
        "de": "Welche Währung hat dieses Land: {name}?",
        "es": "¿Cuál es la moneda de este país: {name}?",
    },
    "official_language": {
        "en": "What is an official language of {name}?",
        "fr": "Quelle est une langue officielle de ce pays : {name} ?",
        "de": "Was ist eine Amtssprache in diesem Land: {name}?",
        "es": "¿Cuál es un idioma oficial de este país: {name}?",
    },
    "place_name": {
        "en": "What is {name} called in {language}?",
        "fr": "Comment ce pays s'appelle-t-il en {language} : {name} ?",
        "de": "Wie heißt dieses Land auf {language}: {name}?",
        "es": "¿Cómo se llama este país en {language}: {name}?",
    },
    "language_name": {
        "en": "What is the language {name} called in {language}?",
        "fr": "Comment cette langue s'appelle-t-elle en {language} : {name} ?",
        "de": "Wie heißt diese Sprache auf {language}: {name}?",
        "es": "¿Cómo se llama este idioma en {language}: {name}?",
    },
}
Asked = Iterator[tuple[str, str, list[str]]]


@dataclass(frozen=True)
class WorldFacts:
    """List questions about the world with all answers that the data accept.

    Args:
        language: in which it is asked: "en", "fr", "de" or "es".
        questions: "currency", "official_language", "place_name" and "language_name"; a part of these.
        split: "train" or "held_out": about which places and languages. A fifth is held out, whatever the question and the language.

    Errors: ValueError for an unknown language, question or split; ModuleNotFoundError.
    """

    language: str = "en"
    questions: tuple[str, ...] = tuple(QUESTIONS)
    split: Split = "train"

    def __post_init__(self) -> None:
        check_language(self.language, LANGUAGES)
        check_split(self.split)
        unknown = [question for question in self.questions if question not in QUESTIONS]
        if unknown or not self.questions:
            raise ValueError(f"questions must be some of {', '.join(map(repr, QUESTIONS))}, got {self.questions!r}")
        require_task_package("babel", "Babel", "facts")

    def rows(self) -> list[dict[str, Any]]:
        """Return rows with prompt, references (all right answers) and id ("currency CH", "place_name DE fr")."""
        ask: dict[str, Callable[[], Asked]] = {
            "currency": self._currencies,
            "official_language": self._official_languages,
            "place_name": lambda: self._names("place_name", "territories"),
            "language_name": lambda: self._names("language_name", "languages"),
        }
        asked = [one for question in QUESTIONS if question in self.questions for one in ask[question]()]
        rows = {prompt: {"prompt": prompt, "references": _different(answers), "id": id} for id, prompt, answers in reversed(asked)}
        return list(rows.values())[::-1]

    def _currencies(self) -> Asked:
        from babel.numbers import get_currency_name, get_territory_currencies

        for code, name in self._subjects("territories"):
            answers = []
            for currency in get_territory_currencies(code, start_date=AS_OF):
                answers += [get_currency_name(currency, count, locale=self.language) for count in (None, 1, 2)] + [currency]
            if answers:
                yield f"currency {code}", QUESTIONS["currency"][self.language].format(name=name), answers

    def _official_languages(self) -> Asked:
        from babel.languages import get_official_languages

        names = _names_in(self.language, "languages")
        for code, name in self._subjects("territories"):
            answers = [names[language] for language in get_official_languages(code, de_facto=True) if language in names]
            if answers:
                yield f"official_language {code}", QUESTIONS["official_language"][self.language].format(name=name), answers

    def _names(self, question: str, things: str) -> Asked:
        for target in LANGUAGES:
            if target == self.language:
                continue
            names, spoken = _names_in(target, things), _names_in(self.language, "languages")[target]
            for code, name in self._subjects(things):
                if code in names:
                    prompt = QUESTIONS[question][self.language].format(name=name, language=spoken)
                    yield f"{question} {code} {target}", prompt, [names[code]]

    def _subjects(self, things: str) -> Iterator[tuple[str, str]]:
        """Yield code and name of the places or languages of this split."""
        for code, name in sorted(_names_in(self.language, things).items()):
            if split_of(f"{things} {code}") == self.split:
                yield code, name


def _names_in(language: str, things: str) -> dict[str, str]:
    """Return the names of countries, or of languages with a code of two letters, in a language, by their codes."""
    from babel import Locale

    names = {"territories": Locale(language).territories, "languages": Locale(language).languages}[things]
    return {code: name for code, name in names.items() if len(code) == 2 and code.isalpha() and code not in NO_TERRITORIES}


def _different(answers: list[str]) -> list[str]:
    """Return the answers without those that differ from an earlier one only in their capitals."""
    return list({answer.casefold(): answer for answer in reversed(answers)}.values())[::-1]
