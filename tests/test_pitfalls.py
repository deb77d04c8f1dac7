"""The tables of pitfalls name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)::(test_\w+)`")
NUM_PITFALLS = {"pitfalls.md": 59, "feedback_pitfalls.md": 57}
EACH = [(table, number) for table, count in NUM_PITFALLS.items() for number in range(1, count + 1)]


def rows(table: str) -> dict[int, tuple[str, str]]:
    text = (TESTS / table).read_text(encoding="utf-8")
    found = [(int(number), (bug, guard)) for number, bug, guard in ROW.findall(text)]
    assert len(dict(found)) == len(found)
    return dict(found)


def names_in(module: str) -> set[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("table", NUM_PITFALLS)
def test_every_pitfall_has_its_row(table):
    assert list(rows(table)) == list(range(1, NUM_PITFALLS[table] + 1))


@pytest.mark.parametrize(("table", "number"), EACH)
def test_a_pitfall_is_guarded_by_tests_that_exist_or_cannot_occur(table, number):
    _, guard = rows(table)[number]
    named = NAME.findall(guard)
    assert named or "Cannot occur" in guard
    assert not [f"{module}::{name}" for module, name in named if not (TESTS / f"{module}.py").is_file() or name not in names_in(module)]
    assert len(re.findall(r"test_\w+::", guard)) == len(named)
