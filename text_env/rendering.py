"""Show a prompt and the growing response in a terminal.

What a model writes is not trusted: characters that a terminal obeys are shown and never sent.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from text_env.episode import Episode, Judgement

CLEAR = "\x1b[2J\x1b[H"
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # letters after these are shown in another order
WIDTH = 100  # columns of a frame that goes to no terminal


def harmless(text: str) -> str:
    r"""Return the text with every character that a terminal would obey replaced by one that shows it; line breaks stay.

    >>> harmless("a\x1b[2Jb")
    'a␛[2Jb'
    """
    return "".join(character if character == "\n" or not _is_obeyed(character) else _shown(character) for character in text.expandtabs(4))


def render_ansi(
    episode: Episode,
    judgement: Judgement | None = None,
    *,
    is_writing: bool = True,
    row: int | None = None,
    width: int = WIDTH,
    has_colour: bool | None = None,
) -> str:
    """Return one frame: the prompt dim, the response bright, and below how long it is, how it ended and what it scored.

    Args:
        episode: what has been written.
        judgement: what was said about it, if anything yet.
        is_writing: whether the row goes on, which an episode cut off by a time limit does not show.
        row: number to show in front, where there are several.
        width: columns; longer lines are wrapped between words.
        has_colour: None = unless the environment variable NO_COLOR is set.
    """
    from rich.console import Console
    from rich.text import Text

    has_colour = "NO_COLOR" not in os.environ if has_colour is None else has_colour
    goes_on = is_writing and episode.ending is None
    text = Text.assemble(
        ("" if row is None else f"{row}: ", "dim"),
        (harmless(episode.prompt.text), "dim"),
        (harmless(episode.response), "bold cyan"),
        ("▌" if goes_on else "", "cyan"),
        "\n",
        (_status(episode, goes_on), "dim"),
        *_verdict(episode, judgement),
    )
    page = io.StringIO()
    console = Console(
        file=page,
        width=width,
        force_terminal=has_colour,
        color_system="standard" if has_colour else None,
        legacy_windows=False,
        highlight=False,
    )
    console.print(text)
    return page.getvalue()


def render_human(frames: Sequence[str]) -> None:
    """Print frames below each other, over the last ones where the output is a terminal."""
    is_terminal = sys.stdout.isatty()
    page = "".join(_that_fit(frames, shutil.get_terminal_size().lines - 2) if is_terminal else frames)
    write_safely((CLEAR if is_terminal else "") + page, sys.stdout)


def terminal_width() -> int:
    """Return the columns of the terminal, or of a page where the output is none."""
    return min(shutil.get_terminal_size().columns, WIDTH) if sys.stdout.isatty() else WIDTH


def terminal_colour() -> bool:
    """Say whether the output is a terminal whose user has not asked for no colour."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def write_safely(text: str, stream: TextIO) -> None:
    """Write a text; characters that the stream's encoding lacks are written as escapes."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in REORDERING


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # the pictures of control characters
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else character.encode("unicode_escape").decode()


def _status(episode: Episode, goes_on: bool) -> str:
    length = f"{len(episode.ids)} token" + "s" * (len(episode.ids) != 1)
    if episode.ending is not None:
        return f"{length}, ended by {episode.ending}"
    if len(episode.prompt.ids) == 0:
        return "not begun"
    return f"{length}, writing" if goes_on else f"{length}, cut off by the time limit"


def _verdict(episode: Episode, judgement: Judgement | None) -> list[tuple[str, str]]:
    if episode.ending is None:
        return []
    if judgement is None:
        return [(", not judged yet", "dim")]
    if judgement.score is None:
        return [(", no score", "dim")]
    style = "bold green" if judgement.score > 0 else "bold red" if judgement.score < 0 else "bold"
    critique = harmless(judgement.critique)
    return [(", score ", "dim"), (f"{judgement.score:+.3f}", style), (f"\n{critique}" if critique else "", "italic")]


def _that_fit(frames: Sequence[str], lines: int) -> list[str]:
    """Return the first frames that fit into so many lines, at least one, and how many are left out."""
    shown: list[str] = []
    for frame in frames:
        if shown and sum(text.count("\n") for text in [*shown, frame]) > lines:
            return [*shown, f"and {len(frames) - len(shown)} more rows\n"]
        shown.append(frame)
    return shown
