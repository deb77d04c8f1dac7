"""Show how a training goes: a bar in a terminal, a line per update elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

FIELDS = {
    "score": ("score", "{:+.3f}"),
    "held_out/score": ("held-out", "{:+.3f}"),
    "kl_nats_per_response": ("KL", "{:.2f} nats"),
    "tokens_per_second": ("", "{:.0f} tokens/s"),
}


class ProgressBar:
    """Show updates done, score, KL, tokens per second and time left.

    Args:
        num_updates: in all.
        done: updates that a resumed run has done already.
        is_shown: False shows nothing.
        console: where to; standard error unless given.
    """

    def __init__(self, num_updates: int, done: int = 0, is_shown: bool = True, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._is_shown = is_shown
        self._seen: dict[str, float] = {}
        self._num_updates = num_updates
        self._bar = Progress(
            TextColumn("update"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not is_shown or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("update", total=num_updates, completed=done, text="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, line: dict[str, float]) -> None:
        """Show the numbers of an update; those of the last evaluation stay."""
        self._seen |= {name: line[name] for name in FIELDS if name in line}
        parts = [f"{label} {form.format(self._seen[name])}".strip() for name, (label, form) in FIELDS.items() if name in self._seen]
        self._bar.update(self._task, completed=int(line["update"]), text="  ".join(parts))
        if self._is_shown and not self._console.is_terminal:
            self._console.print(f"update {int(line['update'])}/{self._num_updates}  " + "  ".join(parts), highlight=False, soft_wrap=True)
