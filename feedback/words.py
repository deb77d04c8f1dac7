"""Define once what a word is, for every source that counts or compares words."""

from __future__ import annotations

import re

WORD = re.compile(r"\w+(?:['\u2019]\w+)*")  # runs of letters and digits of any script; an apostrophe inside belongs to the word


def words(text: str) -> list[str]:
    """Split a text into its words, in lower case and without punctuation.

    A script that writes no spaces gives one word a run: count tokens or characters there.
    """
    return WORD.findall(text.casefold())
