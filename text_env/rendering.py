"""Show a prompt and the growing response in a terminal."""

from __future__ import annotations

import sys

from text_env.episode import Episode, Judgement

DIM, BOLD, CYAN, RESET = "\x1b[2m", "\x1b[1m", "\x1b[36m", "\x1b[0m"
CLEAR = "\x1b[2J\x1b[H"


def render_ansi(episode: Episode, judgement: Judgement | None = None) -> str:
    """Return one frame: the prompt dim, the response bright, and below how long it is, how it ended and what it scored."""
    parts = [f"{len(episode.ids)} tokens", "writing" if episode.ending is None else f"ended by {episode.ending}"]
    if judgement is not None:
        parts.append("no score" if judgement.score is None else f"score {judgement.score:+.3f}")
    cursor = "▌" if episode.ending is None else ""
    return f"{DIM}{episode.prompt.text}{RESET}{BOLD}{CYAN}{episode.response}{RESET}{cursor}\n{DIM}{' | '.join(parts)}{RESET}\n"


def render_human(episode: Episode, judgement: Judgement | None = None) -> None:
    """Print one frame, over the last one where the output is a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(CLEAR)
    sys.stdout.write(render_ansi(episode, judgement))
    sys.stdout.flush()
