"""Pair the English words of two user interfaces with their translations: JupyterLab's language packs and Django's catalogues.

They are read from the compiled catalogues (.mo) of installed packages, jupyterlab-language-pack-* and Django, both BSD; none is copied.
Left out: strings of several lines, plural forms but the singular, translations that equal their source, and pairs whose placeholders
(%1, %(name)s, {name}) or markup (<a href=...>, &amp;) differ between the two sides, which no reader of the source could know.
What both sides have in common is kept as it is, to be copied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from text_env.material.hashed_split import check_language, check_split, split_of
from text_env.material.task_packages import require_task_package
from text_env.prompts import Split

LOCALES = {"fr": "fr_FR", "de": "de_DE", "es": "es_ES"}
CATALOGUES = ("jupyterlab", "django")
MARKS = re.compile(r"%\(\w+\)[a-z]|%\d+|%[a-z]\b|\{[^{}]*\}|&#?\w+;|</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True)
class InterfaceStrings:
    """List English interface strings; the references are all their translations that the catalogues have.

    Args:
        language: "fr", "de" or "es".
        fewest_words, most_words: of the English string.
        catalogues: "jupyterlab", "django", or both.
        split: "train" or "held_out". A fifth of the strings is held out, by a hash of the words without case and signs, in all languages
            alike; strings that are left for training are dropped where a held-out one has the same translation.

    Errors: ValueError for an unknown language, catalogue or split, and where there is no such string; ModuleNotFoundError.
    """

    language: str = "fr"
    fewest_words: int = 4
    most_words: int = 10
    catalogues: tuple[str, ...] = CATALOGUES
    split: Split = "train"

    def __post_init__(self) -> None:
        check_language(self.language, tuple(LOCALES), "English")
        check_split(self.split)
        unknown = [name for name in self.catalogues if name not in CATALOGUES]
        if unknown or not self.catalogues:
            raise ValueError(f"catalogues must be some of {', '.join(map(repr, CATALOGUES))}, got {self.catalogues!r}")
        require_task_package("babel", "Babel", "interface strings")
        for name in self.catalogues:
            catalogue_files(name, self.language)
        if not self.rows():
            span = f"fewest_words={self.fewest_words} to most_words={self.most_words}"
            raise ValueError(f"there is no {self.split} string of {span} words: widen the range")

    def pairs(self) -> dict[str, tuple[str, ...]]:
        """Return the strings of both splits with their translations."""
        pairs = interface_pairs(self.language, tuple(self.catalogues)).items()
        return {source: texts for source, texts in pairs if self.fewest_words <= len(source.split()) <= self.most_words}

    def rows(self) -> list[dict[str, Any]]:
        """Return rows with prompt, references and id (the string's words)."""
        pairs = self.pairs()
        held_out = {plain(text) for source, texts in pairs.items() if split_of(f"string {plain(source)}") == "held_out" for text in texts}
        rows = []
        for source, texts in pairs.items():
            side = split_of(f"string {plain(source)}")
            is_known = side == "train" and any(plain(text) in held_out for text in texts)
            if side == self.split and not is_known:
                rows.append({"prompt": source, "references": list(texts), "id": plain(source)})
        return rows


def plain(text: str) -> str:
    """Return the words of a text in lower case, without signs.

    >>> plain('Close "%1" and all Tabs?')
    'close 1 and all tabs'
    """
    return " ".join(re.findall(r"\w+", text.casefold()))


@cache
def interface_pairs(language: str, catalogues: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return each English string with its translations, in the order of the files and of their entries."""
    pairs: dict[str, dict[str, None]] = {}
    for name in catalogues:
        for path in catalogue_files(name, language):
            for source, translation in _entries(path):
                if _is_usable(source, translation):
                    pairs.setdefault(source, {})[translation] = None
    return {source: tuple(translations) for source, translations in pairs.items()}


def catalogue_files(name: str, language: str) -> list[Path]:
    """Return the compiled catalogues of a package, in a fixed order."""
    if name == "django":
        folder = require_task_package("django", "Django", "interface strings of Django")
        return sorted(path for part in ("conf", "contrib/*") for path in folder.glob(f"{part}/locale/{language}/LC_MESSAGES/*.mo"))
    locale = LOCALES[language]
    package = f"jupyterlab-language-pack-{locale.replace('_', '-')}"
    folder = require_task_package(f"jupyterlab_language_pack_{locale}", package, "interface strings of JupyterLab")
    return sorted(folder.glob(f"locale/{locale}/LC_MESSAGES/*.mo"))


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the strings of a catalogue with their translations; of plural forms the singular."""
    from babel.messages.mofile import read_mo

    with path.open("rb") as file:
        for message in read_mo(file):
            source, translation = (text[0] if isinstance(text, (list, tuple)) else text for text in (message.id, message.string))
            if source and translation:
                yield source.strip(), translation.strip()


def _is_usable(source: str, translation: str) -> bool:
    is_line = bool(source and translation) and "\n" not in source + translation
    return is_line and source != translation and Counter(MARKS.findall(source)) == Counter(MARKS.findall(translation))
