"""Read lines that a stranger may have written: JSON as the standard has it, and the line named where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

Found = TypeVar("Found")


class ImportRefusedError(ValueError):
    """Report the line for which nothing was imported."""


@dataclass(frozen=True)
class Imported:
    """Hold what an import did.

    Args:
        num_lines: that were read. num_added: records that were not there.
        cut_off: the beginning of a last line that was not written to its end, and is ignored; "" = there was none.
    """

    num_lines: int
    num_added: int
    cut_off: str = ""


def strict_json(text: str | bytes) -> Any:
    """Read JSON as the standard has it: no NaN, no name twice in an object.

    Errors: ValueError.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("too many brackets within each other") from None


class Reading:
    """Read lines, count them, and note a last one that was not written to its end."""

    def __init__(self) -> None:
        self.num_lines, self.cut_off = 0, ""

    def each(self, lines: Iterable[bytes], read: Callable[[bytes, int], Found]) -> Iterator[tuple[int, Found]]:
        """Give the number of each line and what was read from it.

        Errors: ImportRefusedError.
        """
        rest = iter(lines)
        for number, line in enumerate(rest, 1):
            try:
                found = read(line, number)
            except ValueError as error:
                if line.endswith(b"\n") or _is_json(line) or next(rest, None) is not None:
                    refuse(number, error)
                self.cut_off = line[:80].decode("utf-8", "replace")
                return
            self.num_lines = number
            yield number, found


def _is_json(line: bytes) -> bool:
    """Return whether a line is whole: no beginning of an object is JSON."""
    try:
        json.loads(line)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice!r} twice")
    return found


def refuse(number: int, error: object) -> NoReturn:
    """Raise an ImportRefusedError for a line."""
    reason = error.args[0] if isinstance(error, KeyError) else error
    raise ImportRefusedError(f"line {number}: {reason}; nothing was imported") from (error if isinstance(error, Exception) else None)


def object_of(line: bytes, fields: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Return a JSON object that has exactly these fields.

    Errors: ValueError.
    """
    found = strict_json(line.decode("utf-8"))
    if not isinstance(found, dict) or set(found) != set(fields):
        got = f"{', '.join(sorted(found)) or 'nothing'}" if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"expected an object with exactly {', '.join(fields)}; got {got[:200]}")
    for name, kind in fields.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool) is not (kind is bool):
            raise ValueError(f"{name} must be of another type, got {str(found[name])[:60]!r}")
    return found
