"""Read the docstrings of Python's standard library: the body of each, and the one-line summary in front of it.

They are read as text from the interpreter's own source files (PEP 257 asks for a summary line, a blank line and the body), so no module
is imported. Which docstrings there are depends on the version of the interpreter, which is part of each id. They belong to the Python
Software Foundation (PSF licence, version 2); none is copied into this package.

Left out: tests, vendored packages and data, private names, and docstrings without a body of their own.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "ensurepip", "turtledemo", "encodings", "pydoc_data"}
FEWEST_BODY_WORDS = 8
FEWEST_SUMMARY_WORDS, MOST_SUMMARY_WORDS = 3, 16
HELD_OUT_SHARE = 0.1
Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def docstrings(folder: str | None = None) -> tuple[dict[str, Any], ...]:
    """Return the body of each docstring as a prompt and its summary as the reference, in the order of files and of lines in them.

    Args:
        folder: with the source files; None = the standard library of this interpreter.

    Returns: rows with prompt, references, id ("3.11.9:json.decoder:JSONDecoder.decode") and split. Each body comes once. Docstrings with
    equal summaries are on one side: a tenth of the summaries is held out, by a hash of the text.
    Errors: ValueError where the folder has no such docstring, as on an interpreter that was installed without its sources.
    """
    library = Path(folder or sysconfig.get_paths()["stdlib"])
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for path in sorted(library.rglob("*.py"), key=lambda path: path.relative_to(library).parts):
        parts = path.relative_to(library).with_suffix("").parts
        if SKIPPED & set(parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        for name, summary, body in described(path.read_text(encoding="utf-8", errors="replace")):
            if body not in seen:
                seen.add(body)
                id = f"{platform.python_version()}:{module}:{name}".rstrip(":")
                rows.append({"prompt": body, "references": [summary], "id": id, "split": split_of(summary)})
    if not rows:
        raise ValueError(f"there are no docstrings with a summary and a body in {str(library)!r}: is the standard library there as source?")
    return tuple(rows)


def described(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the summary and the body of each docstring of a module that has both, in the order of the lines.

    Source that this interpreter cannot parse has none.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for name, node in _public_nodes(tree, ""):
        text = ast.get_docstring(node)
        if text is None:
            continue
        summary, _, body = (part.strip() for part in text.partition("\n\n"))
        summary = " ".join(summary.split())
        enough = FEWEST_SUMMARY_WORDS <= len(summary.split()) <= MOST_SUMMARY_WORDS and len(body.split()) >= FEWEST_BODY_WORDS
        if enough and summary.endswith("."):
            yield name, summary, body


def split_of(summary: str) -> str:
    """Return the split of all docstrings with this summary, whatever its case."""
    share = int.from_bytes(hashlib.sha256(summary.casefold().encode()).digest()[:8]) / 2**64
    return "held_out" if share < HELD_OUT_SHARE else "train"


def _public_nodes(node: Node, prefix: str) -> Iterator[tuple[str, Node]]:
    """Yield a module or class and what is defined in it, with dotted names."""
    yield prefix, node
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
            name = f"{prefix}.{inner.name}".lstrip(".")
            if isinstance(inner, ast.ClassDef):
                yield from _public_nodes(inner, name)
            else:
                yield name, inner
