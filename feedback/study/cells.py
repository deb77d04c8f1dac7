r"""Write and read cells of CSV that a spreadsheet takes for text and never for a formula.

A cell that begins like a formula gets an apostrophe in front. So does one that begins with an apostrophe: it can be taken off again.
A cell with a NUL, which ends the text in many programs, is an apostrophe and a JSON string.

>>> guarded("=1+1"), guarded("'tis"), guarded("a\0"), guarded("plain")
("'=1+1", "''tis", '\'"a\\u0000"', 'plain')
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")  # and their wide forms
BEGINNINGS = frozenset("'\t\r\n")
LONGEST_CELL = 2**30  # characters; Python's reader stops at 131,072 unless it is told


class CellError(ValueError):
    """Report text that is no table of the expected columns."""


def guarded(text: str) -> str:
    """Return a cell for a text."""
    if "\0" in text:
        return "'" + json.dumps(text, ensure_ascii=False)
    return f"'{text}" if text[:1] in BEGINNINGS or text.lstrip()[:1] in FORMULA else text


def plain(cell: str) -> str:
    """Return the text of a cell.

    Errors: CellError for a cell that `guarded` does not write.
    """
    if not cell.startswith("'"):
        return cell
    if not cell.startswith("'\""):
        return cell[1:]
    try:
        text = json.loads(cell[1:])
    except ValueError as error:
        raise CellError(f"a cell that begins with '\" must go on as a JSON string: {error}") from error
    if not isinstance(text, str):
        raise CellError(f"a cell that begins with '\" must hold one JSON string, got {cell[:60]!r}")
    return text


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give the lines of a table: its header, then a record for each row, which may go over several lines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")  # with another one, Python writes a lone CR without quotes
    writer.writerow(columns)
    for row in rows:
        yield _taken(buffer)
        writer.writerow([guarded(cell) for cell in row])
    yield _taken(buffer)


def read_table(columns: Sequence[str], lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row of a table by its columns, with the number of the line on which it ends.

    Errors: CellError that names the line.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    reader = csv.reader(lines, strict=True)
    number, header = 1, next(reader, None)
    if header != list(columns):
        raise CellError(f"line 1 must name the columns {','.join(columns)}; got {','.join(header or [])[:200]!r}")
    try:
        for row in reader:
            number = reader.line_num
            if len(row) != len(columns):
                raise CellError(f"expected {len(columns)} cells, got {len(row)}")
            yield number, dict(zip(columns, map(plain, row), strict=True))
    except (csv.Error, CellError) as error:
        raise CellError(f"line {max(number, reader.line_num)}: {error}") from error


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
