"""Take spoken answers: what was said, heard with a confidence, said back, and stored only once it is confirmed."""

from __future__ import annotations

from importlib.util import find_spec


def require_speech() -> None:
    """Check that what hears spoken commands is installed.

    Errors: ModuleNotFoundError that says how to install it.
    """
    if find_spec("pocketsphinx") is None:
        raise ModuleNotFoundError('hearing spoken answers needs pocketsphinx: pip install "textgen-gym[speech]"', name="pocketsphinx")
