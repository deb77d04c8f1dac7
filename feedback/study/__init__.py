"""Keep what people are asked and what they say: an append-only log, a queue on it, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from feedback.study.store import Store

HOW_TO_INSTALL = 'a study of people needs the extra "people": pip install "textgen-gym[people]"'


EXTRA = {"sqlalchemy", "alembic", "starlette", "uvicorn", "jinja2", "python_multipart", "multipart"}


@contextmanager
def told_how_to_install() -> Iterator[None]:
    """Say how to install what an import lacks.

    Errors: ModuleNotFoundError with the way out where the extra "people" is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in EXTRA:
            raise ModuleNotFoundError(f"{HOW_TO_INSTALL} (there is no {error.name})", name=error.name) from error
        raise


def open_study(url: str | Path) -> Store:
    """Open a study, or create it where it is not there.

    Errors: ModuleNotFoundError with the way out where the extra "people" is not installed; ValueError for what is no study.
    """
    with told_how_to_install():
        from feedback.study.store import Store
    return Store(url)
