"""Keep answers, so that the same question to the same model is paid for once: in memory, and in a file where one is given."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class ReplyStore:
    """Keep the text of each answer under its question's key. Threads and processes may share a file.

    Args:
        path: an SQLite file, made with its folder where it is not there; None = memory only.

    Errors: ValueError for a file that is something else.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._known: dict[str, str] = {}

    def find(self, keys: list[str]) -> dict[str, str]:
        """Return what is known of some keys."""
        unknown = [key for key in keys if key not in self._known]
        if unknown and self.path is not None and self.path.is_file():
            with self._opened() as database:
                for key in unknown:
                    row = database.execute("SELECT text FROM replies WHERE key = ?", (key,)).fetchone()
                    if row is not None:
                        self._known[key] = str(row[0])
        return {key: self._known[key] for key in keys if key in self._known}

    def keep(self, key: str, text: str) -> None:
        """Keep an answer; the first one stays."""
        self._known.setdefault(key, text)
        if self.path is not None:
            with self._opened() as database:
                database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction: a connection must not be shared by threads, nor inherited by processes."""
        assert self.path is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30.0)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise ValueError(f"cache={str(self.path)!r} is no store of answers that can be written ({error}): give another file") from error
