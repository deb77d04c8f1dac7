"""Hold the pairs of interface strings to the catalogues as the standard library reads them, and the splits apart."""

from __future__ import annotations

import gettext
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest

from text_env.material.interface_strings import InterfaceStrings, interface_pairs, plain
from text_env.tasks.translate_env import translate_options
from text_env.tokens import load_tokens

pytest.importorskip("babel")
pytest.importorskip("django")
LANGUAGES = ("fr", "de", "es")


def django_catalogues(language):
    """Return Django's own catalogues, read by the standard library."""
    folder = Path(importlib.util.find_spec("django").submodule_search_locations[0])
    paths = [*folder.glob(f"conf/locale/{language}/**/*.mo"), *folder.glob(f"contrib/*/locale/{language}/**/*.mo")]
    return [gettext.GNUTranslations(io.BytesIO(path.read_bytes())) for path in paths]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reference_is_what_the_catalogue_says(language):
    catalogues = django_catalogues(language)
    num_found = 0
    rows = InterfaceStrings(language, catalogues=("django",)).rows()
    for row in rows:
        said = {catalogue.gettext(row["prompt"]).strip() for catalogue in catalogues} - {row["prompt"]}
        assert set(row["references"]) >= said
        num_found += bool(said)
    assert num_found > 0.5 * len(rows)  # the others have a context, a plural or space around them


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("most_words", [6, 10, 99])
def test_no_string_and_no_translation_is_on_both_sides(language, most_words):
    train, held_out = (InterfaceStrings(language, most_words=most_words, split=split).rows() for split in ("train", "held_out"))
    assert not {plain(row["prompt"]) for row in train} & {plain(row["prompt"]) for row in held_out}
    translations = [{plain(text) for row in rows for text in row["references"]} for rows in (train, held_out)]
    assert not translations[0] & translations[1]
    for row in [*train, *held_out]:
        assert 4 <= len(row["prompt"].split()) <= most_words
    assert 0.1 < len(held_out) / len(train + held_out) < 0.3


def test_a_string_that_is_held_out_in_one_language_is_trained_on_in_none():
    held_out = {plain(row["prompt"]) for language in LANGUAGES for row in InterfaceStrings(language, split="held_out").rows()}
    trained = {plain(row["prompt"]) for language in LANGUAGES for row in InterfaceStrings(language).rows()}
    assert held_out and trained and not held_out & trained


def test_placeholders_and_markup_are_the_same_on_both_sides_and_every_string_is_a_line():
    for language in LANGUAGES:
        for source, texts in interface_pairs(language, ("jupyterlab", "django")).items():
            for text in texts:
                assert "\n" not in source + text and text != source
                for mark in ("%1", "%2", "%s", "%(name)s", "{name}", "<a ", "</a>", "&amp;"):
                    assert source.count(mark) == text.count(mark), (source, text)


def test_there_are_as_many_pairs_as_the_task_says():
    counts = {
        language: len([source for source in interface_pairs(language, ("jupyterlab",)) if len(source.split()) >= 4])
        for language in LANGUAGES
    }
    assert counts["fr"] > 1300 and counts["de"] > 200 and counts["es"] > 230


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_translation_fits_the_budget_and_comes_back_from_its_tokens(language):
    tokens = load_tokens("tinylm")
    longest = 0
    for split in ("train", "held_out"):
        own = translate_options(kind="interface", language=language, split=split)
        for row in own["prompts"][split]:
            prompt_ids = tokens.encode_prompt(row["prompt"]).tolist()
            assert len(prompt_ids) <= own["max_prompt_tokens"]
            for text in row["references"]:
                ids = tokens.encode(text).tolist()
                assert tokens.decode(ids) == text
                assert tokens.encode_prompt(row["prompt"] + text).tolist() == prompt_ids + ids
                longest = max(longest, len(ids) + 1)
    assert own["max_new_tokens"] - 3 <= longest <= own["max_new_tokens"]


def test_the_budget_is_in_the_tokens_of_the_environment():
    own = translate_options(kind="interface", language="de", tokenizer="bytes")
    rows = own["prompts"]["train"]
    assert own["max_new_tokens"] > np.max([len(text.encode()) for row in rows for text in row["references"]])
