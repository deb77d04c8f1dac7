"""Take a picture or an emoji as an answer to "is this good?": classified, said back, and stored only once it is confirmed."""

from __future__ import annotations

from importlib.util import find_spec


def require_pictures() -> None:
    """Check that what sees pictures is installed.

    Errors: ModuleNotFoundError that says how to install it.
    """
    if find_spec("PIL") is None:
        raise ModuleNotFoundError('seeing reactions needs pillow: pip install "textgen-gym[pictures]"', name="PIL")
