"""Check that the packages are there from which tasks take their data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def require_task_package(module: str, package: str, what: str) -> Path:
    """Return the folder of a package that tasks take data from, without importing it.

    Args:
        module: name by which it is imported. package: name by which it is installed. what: for whom it is needed, "numbers in words".

    Errors: ModuleNotFoundError that says how to install it.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f'{what} need {package}: pip install "textgen-gym[tasks]"', name=module)
    return Path(next(iter(spec.submodule_search_locations)))
