"""Keep raw recordings and pictures beside a study: study.db has its files in study.db.files, each named by a hash of what it holds.

A file is complete and lasting before its name can stand in an answer, and one that is there is never written again. Nothing but the name
goes into the log, and nothing is read but what a name of this form points to.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from feedback.speech.recording import MOST_BYTES, MOST_SECONDS, RATE

TYPES: Mapping[str, tuple[bytes, ...]] = {  # ending: what such a file begins with
    "wav": (b"RIFF",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
}
NAME = re.compile(rf"[0-9a-f]{{64}}\.(?:{'|'.join(TYPES)})")
MOST_KEPT = 20_000_000_000  # bytes of one study's files


class ArtefactError(ValueError):
    """Report a file that is not kept, and why."""


class Artefacts:
    """Keep files in a folder.

    Args:
        folder: made when the first file comes.
        most_bytes: of one file. most_kept: of all together.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES, most_kept: int = MOST_KEPT) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.most_kept = most_kept
        self._lock = threading.Lock()
        self._size: int | None = None  # of all files, counted once

    def keep(self, data: bytes, ending: str) -> str:
        """Write a file and return its name once it is lasting; the same bytes have the same name.

        Errors: ArtefactError for another type, what is too large, or a folder that is full.
        """
        if ending not in TYPES or not data.startswith(TYPES[ending]):
            raise ArtefactError(f"kept are files of the types {', '.join(TYPES)}, got {ending!r} beginning with {data[:8]!r}")
        if len(data) > self.most_bytes:
            limit = f"{MOST_SECONDS:g} s at {RATE} samples a second" if ending == "wav" else "a smaller picture"
            raise ArtefactError(f"a file of {len(data)} bytes is too large, at most {self.most_bytes} are kept: send {limit}")
        name = f"{hashlib.sha256(data).hexdigest()}.{ending}"
        place = self.folder / name
        with self._lock:
            if place.exists():
                return name
            size = self.size() if self._size is None else self._size
            if size + len(data) > self.most_kept:
                raise ArtefactError(
                    f"the folder {self.folder} is full ({self.most_kept} bytes): the study's owner must move files elsewhere"
                )
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._write(place, data)
            self._size = size + len(data)
        return name

    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Errors: KeyError for a name that is none or is not here; ArtefactError for a file that was changed.
        """
        if not NAME.fullmatch(name):
            raise KeyError(f"{name!r} is no name of a kept file")
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(f"there is no kept file {name} in {self.folder}") from None
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            raise ArtefactError(f"the file {name} in {self.folder} is no longer what was kept: take it from a copy")
        return data

    def holds(self, name: str) -> bool:
        """Say whether there is a kept file of this name."""
        return bool(NAME.fullmatch(name)) and (self.folder / name).is_file()

    def size(self) -> int:
        """Return the bytes of all kept files."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) if self.folder.is_dir() else 0

    def _write(self, place: Path, data: bytes) -> None:
        """Write a file that is either whole and lasting under its name, or not there."""
        handle, made = tempfile.mkstemp(prefix="unfinished-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, place)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
        if hasattr(os, "O_DIRECTORY"):  # makes the name lasting too, where the system has that
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def artefacts_of(study: str | Path) -> Artefacts:
    """Return where the files of a study are kept.

    Errors: ValueError for a study in a database server, which has no folder.
    """
    if "://" in str(study) and not str(study).startswith("sqlite:///"):
        raise ValueError(
            f"recordings are kept in a folder beside the study's file; {study} has none: use a study in a file such as study.db"
        )
    file = Path(str(study).removeprefix("sqlite:///"))
    return Artefacts(file.with_name(f"{file.name}.files"))
