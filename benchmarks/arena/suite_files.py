"""Read suites from TOML files or from Python, and say which key of which file is wrong, and what is expected there."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import gymnasium as gym

import text_env  # noqa: F401  (registers the environments)
from benchmarks.arena.suite import Source, Suite
from text_env.names import find

NAMED = Path(__file__).parent.parent / "suites"


def named_suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(path.stem for path in NAMED.glob("*.toml"))


def read_suite(name: str) -> Suite:
    """Return a suite.

    Args:
        name: of one that comes with the package, a TOML file, or the import path module:SUITE of a `Suite`.

    Errors: ValueError that names the file, the key, its value and what is expected.
    """
    if name in named_suites():
        return _read_file(NAMED / f"{name}.toml")
    if name.endswith(".toml"):
        return _read_file(Path(name))
    if ":" in name:
        found = find(name)
        if not isinstance(found, Suite):
            raise ValueError(f"{name} must be a benchmarks.arena.suite.Suite, got a {type(found).__name__}")
        return found
    raise ValueError(f"there is no suite {name!r}: give {', '.join(named_suites())}, a file that ends with .toml, or module:SUITE")


def check_names(suite: Suite) -> None:
    """Look up everything that a suite names, before anything is run.

    Errors: ValueError that says where the name stands, and what is missing.
    """
    for task in suite.tasks:
        where = f"suite {suite.name}, task {task.name}"
        module, _, name = task.env.rpartition(":")
        try:
            if module:
                importlib.import_module(module)  # as gym.make does
            gym.spec(name)
        except (gym.error.Error, ModuleNotFoundError) as error:
            raise ValueError(f"{where}, env: {error}. Ours are {', '.join(_our_ids())}") from error
        named = {f"metrics.{name}": source for name, source in task.metrics.items()}
        for key, source in (named | ({} if task.feedback is None else {"feedback": task.feedback})).items():
            _found(source.source, f"{where}, {key}")
        if task.start is not None:
            _found(task.start.agent, f"{where}, start.agent")
    for contender in suite.contenders:
        where = f"suite {suite.name}, contender {contender.name}"
        _found(contender.agent, f"{where}, agent")
        for model in {task.model for task in suite.tasks}:
            try:
                contender.config(model)
            except ValueError as error:
                raise ValueError(f"{where}, settings: {error}") from error


def _our_ids() -> list[str]:
    return sorted(name for name in gym.registry if name.startswith("TextGen"))


def _found(path: str, where: str) -> object:
    try:
        return find(path)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _read_file(path: Path) -> Suite:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}; the suites that come with the package are {', '.join(named_suites())}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    suite: Suite = _made(Suite, content, path.name)
    return suite


def _made(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """Make a dataclass of a table, key by key."""
    kinds, known = get_type_hints(kind), fields(kind)
    names = [field.name for field in known]
    unknown = [name for name in table if name not in names]
    if unknown:
        raise ValueError(f"{where}: there is no key {unknown[0]!r}; there are {', '.join(names)}")
    needed = [field.name for field in known if field.default is MISSING and field.default_factory is MISSING]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"{where}: the key {missing[0]!r} is missing; it must be {_described(kinds[missing[0]])}")
    values = {name: _read(value, kinds[name], _below(where, name)) for name, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _below(where: str, name: str) -> str:
    """Return how to call a key of a table: suite.toml: tasks[0].rows."""
    return f"{where}.{name}" if ": " in where else f"{where}: {name}"


def _read(value: Any, kind: Any, where: str) -> Any:
    """Return a value of TOML as a field of this kind holds it."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        kind = _fitting(value, [option for option in get_args(kind) if option is not NoneType])
        return _read(value, kind, where)
    if kind is Source and isinstance(value, str):
        return Source(value)  # most need no options
    if is_dataclass(kind) and isinstance(value, dict):
        return _made(kind, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(each, get_args(kind)[0], f"{where}[{place}]") for place, each in enumerate(value))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {name: _read(each, get_args(kind)[1], f"{where}.{name}") for name, each in value.items()}
    if kind is Any or (origin is Literal and value in get_args(kind)):
        return value
    if kind is float and type(value) in (int, float):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"{where} must be {_described(kind)}, got {value!r}")


def _fitting(value: Any, options: list[Any]) -> Any:
    """Return the kind, of several, that a value is read as: a list as a tuple, anything else as the first."""
    lists = [option for option in options if get_origin(option) is tuple]
    return lists[0] if lists and isinstance(value, list) else options[0]


def _described(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_described(option) for option in get_args(kind) if option is not NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if origin is tuple:
        return f"a list, each of it {_described(get_args(kind)[0])}"
    if kind is Source:
        return "an import path such as 'feedback.sentiment:Sentiment', or a table with the keys source and options"
    if is_dataclass(kind):
        return f"a table with the keys {', '.join(field.name for field in fields(kind))}"
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return plain.get(kind, "a table")
