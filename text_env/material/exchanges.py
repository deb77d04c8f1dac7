"""Give what people say to each other, with the replies that fit: a small language of our own, and the corpus of ChatterBot.

The sayings are written here. The corpus is the package chatterbot-corpus (BSD licence; contributed by its users, in 28 languages, of
which English is the largest); it is read where it is installed and not copied. Left out of it: texts of several lines (code) and of more
than `MOST_WORDS` words, and conversations that this leaves without a reply.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from text_env.prompts import Split

NAMES = ("Tom", "Anna", "Sam", "Mary", "Jack", "Sarah", "John", "Emma", "David", "Lily")
THINGS = ("music", "tea", "bread", "fish", "milk", "coffee", "cheese", "soup", "fruit", "cake")
PLACES = ("park", "school", "beach", "store", "garden", "station", "river", "market", "library", "museum")
FEELINGS = ("sad", "happy", "tired", "angry", "sick", "afraid", "proud", "bored", "busy", "late")
SAYINGS = (  # what is said, what fits, and what may stand in both
    ("Hello, I am {}.", "Hello {}, nice to meet you.", NAMES),
    ("This is my friend {}.", "Nice to meet you, {}.", NAMES),
    ("Are you {}?", "Yes, my name is {}.", NAMES),
    ("I like {}.", "I like {} too.", THINGS),
    ("Do you like {}?", "Yes, I love {}.", THINGS),
    ("May I have some {}?", "Here is your {}.", THINGS),
    ("Where is the {}?", "The {} is over there.", PLACES),
    ("I am going to the {}.", "What will you do at the {}?", PLACES),
    ("Can you see the {}?", "No, where is the {}?", PLACES),
    ("I am {}.", "Why are you {}?", FEELINGS),
    ("My sister is {}.", "Why is she {}?", FEELINGS),
    ("You look {}.", "Yes, I am {} today.", FEELINGS),
)
FOLDS = 5  # one in five pairs of a saying and a word is held out
HELD_OUT_SHARE = 0.1  # of the corpus
MOST_WORDS = 40


def sayings() -> tuple[dict[str, Any], ...]:
    """Return what may be said in the small language, with its one fitting reply as the reference, and id and split.

    No saying is joined in "train" with a word that it is joined with in "held_out"; each saying and each word occurs in both. So held-out
    lines measure whether a reply is formed by its rule, or known by heart.
    """
    return tuple(
        {
            "prompt": said.format(word),
            "references": [reply.format(word)],
            "id": f"sayings:{number}:{word}",
            "split": "held_out" if (number + place) % FOLDS == 0 else "train",
        }
        for number, (said, reply, words) in enumerate(SAYINGS)
        for place, word in enumerate(words)
    )


def corpus_languages() -> list[str]:
    """Return the names of the languages of the corpus.

    Errors: ModuleNotFoundError where chatterbot-corpus is not installed.
    """
    return sorted(folder.name for folder in _data_folder().iterdir() if folder.is_dir())


@cache
def corpus(language: str = "english") -> tuple[dict[str, Any], ...]:
    """Return each opening line of the corpus, with all replies that it got as references, and id and split.

    Args:
        language: one of `corpus_languages()`.

    A tenth is held out, by a hash of the words of the line: lines that differ in case and punctuation alone are on one side.
    Errors: ValueError for an unknown language; ModuleNotFoundError where chatterbot-corpus is not installed.
    """
    replies: dict[str, dict[str, None]] = {}
    ids: dict[str, str] = {}
    for id, lines in _conversations(language):
        replies.setdefault(lines[0], {})[lines[1]] = None
        ids.setdefault(lines[0], id)
    return tuple(
        {"prompt": line, "references": list(said), "id": ids[line], "split": split_of_line(line)} for line, said in replies.items()
    )


@cache
def corpus_continuations(language: str = "english") -> dict[str, tuple[str, ...]]:
    """Return how conversations go on after an opening line and its reply: the later lines of the one who opened, by the opening line.

    Where several conversations begin alike it is the longest of them.
    """
    longest: dict[str, tuple[str, ...]] = {}
    for _, lines in _conversations(language):
        later = tuple(lines[2::2])
        if len(later) > len(longest.get(lines[0], ())):
            longest[lines[0]] = later
    return longest


@cache
def replies_by_line(language: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return the fitting replies to each line: of the small language for None, else of the corpus, later lines included."""
    if language is None:
        return {row["prompt"]: tuple(row["references"]) for row in sayings()}
    found: dict[str, dict[str, None]] = {}
    for _, lines in _conversations(language):
        for line, reply in zip(lines[::2], lines[1::2], strict=False):
            found.setdefault(line, {})[reply] = None
    return {line: tuple(said) for line, said in found.items()}


def split_of_line(line: str) -> Split:
    """Return the split of all lines of the corpus with these words, whatever their case and punctuation."""
    words = " ".join(re.findall(r"\w+", line.casefold()))
    share = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) / 2**64
    return "held_out" if share < HELD_OUT_SHARE else "train"


@cache
def _conversations(language: str) -> tuple[tuple[str, list[str]], ...]:
    """Return an id and the lines of each conversation of at least two lines, cut before a line that is left out."""
    known = corpus_languages()
    if language not in known:
        raise ValueError(f"the corpus has no language {language!r}; it has {', '.join(known)}")
    import yaml  # a dependency of transformers

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C where it was built, six times as fast
    found = []
    for path in sorted((_data_folder() / language).glob("*.yml")):
        told = yaml.load(path.read_text(encoding="utf-8"), loader).get("conversations") or ()
        for number, conversation in enumerate(told):
            lines = [str(line).strip() for line in conversation]
            long = [place for place, line in enumerate(lines) if not line or "\n" in line or len(line.split()) > MOST_WORDS]
            lines = lines[: long[0]] if long else lines
            if len(lines) >= 2:
                found.append((f"{language}:{path.stem}:{number}", lines))
    return tuple(found)


def _data_folder() -> Path:
    found = importlib.util.find_spec("chatterbot_corpus")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError('the corpus of conversations needs chatterbot-corpus: pip install "textgen-gym[tasks]"')
    return Path(found.submodule_search_locations[0]) / "data"
