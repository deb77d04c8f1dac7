"""Plant known bugs one at a time, and require the tests that are named for each to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
COPIED = ("text_env", "agents", "feedback", "benchmarks", "examples", "scripts", "tests", "pyproject.toml")


def copy_of_the_sources(folder):
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / name)
    return folder


def run_tests(folder, tests):
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_every_mutant_changes_one_place_and_stands_in_the_list():
    listed = (ROOT / "tests/mutants.md").read_text(encoding="utf-8")
    for mutant in MUTANTS:
        assert (ROOT / mutant.path).read_text(encoding="utf-8").count(mutant.old) == 1, mutant.name
        assert mutant.name in listed, mutant.name
        for test in mutant.killed_by:
            path, _, function = test.partition("::")
            assert f"def {function.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8"), test


@pytest.mark.slow
def test_without_a_mutant_the_tests_that_are_named_pass(tmp_path):
    result = run_tests(copy_of_the_sources(tmp_path), sorted({test for mutant in MUTANTS for test in mutant.killed_by}))
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_is_killed_by_each_test_that_is_named(mutant: Mutant, tmp_path):
    folder = copy_of_the_sources(tmp_path)
    path = folder / mutant.path
    path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
    for test in mutant.killed_by:
        result = run_tests(folder, [test])
        assert result.returncode == 1, f"{mutant.name} survives {test}:\n{result.stdout}\n{result.stderr}"
        assert "failed" in result.stdout
