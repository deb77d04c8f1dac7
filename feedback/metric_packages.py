"""Import the packages that metrics are computed with, where a metric is made and not where it is listed."""

from __future__ import annotations

import importlib
from typing import Any


def metric_package(name: str, source: str) -> Any:
    """Return an imported package, or say how to install it.

    Args:
        name: import name, such as "sacrebleu".
        source: who needs it, for the message.

    Errors: ModuleNotFoundError that gives the line to type.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise ModuleNotFoundError(f'{source} needs {package}: pip install "textgen-gym[metrics]"', name=package) from error
