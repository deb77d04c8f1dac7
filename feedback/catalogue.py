"""Find the sources of this package by walking its files, so that a new source is one new file and no edit elsewhere."""

from __future__ import annotations

import importlib
import pkgutil

import feedback
from feedback.source import Source


def find_sources() -> dict[str, type[Source] | Source]:
    """Return every source that a file of this package defines, a class or an object, by its import path.

    Folders in it hold what sources are made with, and no sources.
    """
    found: dict[str, type[Source] | Source] = {}
    for module_info in pkgutil.iter_modules(feedback.__path__, "feedback."):
        if module_info.ispkg or module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            is_source = isinstance(value, Source) or (isinstance(value, type) and issubclass(value, Source) and value is not Source)
            if is_source and value.__module__ == module.__name__ and not name.startswith("_"):
                found[f"{module.__name__}:{name}"] = value
    return found
