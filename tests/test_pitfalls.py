"""The table of pitfalls names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)::(test_\w+)`")
NUM_PITFALLS = 56


def rows() -> dict[int, tuple[str, str]]:
    text = (TESTS / "pitfalls.md").read_text(encoding="utf-8")
    found = [(int(number), (bug, guard)) for number, bug, guard in ROW.findall(text)]
    assert len(dict(found)) == len(found)
    return dict(found)


def names_in(module: str) -> set[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_pitfall_has_its_row():
    assert list(rows()) == list(range(1, NUM_PITFALLS + 1))


@pytest.mark.parametrize("number", range(1, NUM_PITFALLS + 1))
def test_a_pitfall_is_guarded_by_tests_that_exist_or_cannot_occur(number):
    _, guard = rows()[number]
    named = NAME.findall(guard)
    assert named or "Cannot occur" in guard
    assert not [f"{module}::{name}" for module, name in named if not (TESTS / f"{module}.py").is_file() or name not in names_in(module)]
    assert len(re.findall(r"test_\w+::", guard)) == len(named)
