"""Replace what stands between two marks in a file, so that a table in a README is made by a command and never by hand."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- leaderboard: begin -->", "<!-- leaderboard: end -->"


def replace_marked(path: Path, content: str) -> bool:
    """Put content between the lines of the marks, and return whether that changed the file.

    Raises ValueError where a mark is missing, is there twice, or where they stand in the wrong order; the file is then as it was.
    """
    text = path.read_text(encoding="utf-8")
    for mark in (BEGIN, END):
        if text.count(mark) != 1:
            found = "is not there" if mark not in text else f"is there {text.count(mark)} times"
            raise ValueError(f"{path} needs {BEGIN} and {END}, once each, around what is to be replaced, but {mark} {found}")
    before, _, rest = text.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has {END} before {BEGIN}: put it after the table")
    wanted = f"\n{content.strip()}\n"
    if between != wanted:
        path.write_text(before + BEGIN + wanted + END + after, encoding="utf-8")
    return between != wanted
