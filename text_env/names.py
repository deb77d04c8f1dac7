"""Turn import-path names such as "feedback.sentiment:Sentiment" into objects, in the form that Gymnasium uses."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence
from typing import Any


def resolve(name: str, **kwargs: Any) -> Any:
    """Import "module:Name"; call it with `kwargs` if it is a class, else return it as it is.

    Errors: ValueError for a malformed name, an unknown module or attribute, or arguments for something that is not a class.
    """
    found = find(name)
    if isinstance(found, type):
        return found(**kwargs)
    if kwargs:
        raise ValueError(f"{name!r} is not a class, so it takes no arguments, got {kwargs}")
    return found


def find(name: str) -> Any:
    """Import "module:Name" and return it as it is, a class too.

    Errors: ValueError for a malformed name, an unknown module or attribute.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f'a name must look like "module:Name", got {name!r}')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise  # the module exists, something that it imports does not
        raise ValueError(f"there is no module {error.name!r} (from {name!r}): install it, or put its folder on PYTHONPATH") from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = sorted(public_name for public_name in vars(module) if not public_name.startswith("_"))
            raise ValueError(f"module {module_name!r} has no {attribute!r}; it has {', '.join(public)}")
        found = getattr(found, part)
    return found


def named_values(options: Sequence[str]) -> dict[str, Any]:
    """Return NAME=VALUE options as a dictionary; a value is read as Python writes it, and is a text where it is nothing else.

    >>> named_values(["words=cat", "size=3", "kinds=['a', 'b']"])
    {'words': 'cat', 'size': 3, 'kinds': ['a', 'b']}

    Errors: ValueError for anything else.
    """
    arguments: dict[str, Any] = {}
    for given in options:
        name, equals, value = given.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"an option must look like NAME=VALUE, got {given!r}")
        try:
            arguments[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            arguments[name] = value  # a bare word needs no second pair of quotes
    return arguments
