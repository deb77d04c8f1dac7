"""Keep what people are asked and what they say: an append-only log, a queue on it, and what is made of it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from feedback.study.store import Store

NEEDED = ("sqlalchemy", "alembic", "starlette", "uvicorn", "jinja2", "python_multipart")  # the extra "people"


def require_people() -> None:
    """Check that what a study of people needs is installed.

    Errors: ModuleNotFoundError that says how to install it.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f'asking people needs {", ".join(missing)}: pip install "textgen-gym[people]"', name=missing[0])


def open_study(url: str | Path) -> Store:
    """Open a study, or create it where it is not there.

    Errors: ModuleNotFoundError with the way out where the extra "people" is not installed; ValueError for what is no study.
    """
    require_people()
    from feedback.study.store import Store

    return Store(url)
