"""Keep the README true: its programs are files that run, its commands, links and paths exist."""

from __future__ import annotations

import importlib
import re
import runpy
import subprocess
import sys

import pytest

from agents import check_agent
from feedback import check_feedback
from tests.test_architecture import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))
LINK = re.compile(r"\]\((?!https?://|#)([^)]+)\)")
PATH = re.compile(r"`((?:text_env|agents|feedback|benchmarks|tests|scripts|examples)/[\w./]*)`")
COMMAND = re.compile(r"python -m ([\w.]+)(?: (\w+))?")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_the_readme_shows_every_example_as_it_is(program):
    assert f"<!-- examples/{program.name} -->\n```python\n{program.read_text('utf-8')}```" in README


def test_every_python_block_of_the_readme_is_an_example():
    assert README.count("```python") == len(PROGRAMS)


def test_every_link_and_every_path_of_the_readme_exists():
    found = [*LINK.findall(README), *PATH.findall(README)]
    assert len(found) > 10
    assert not [path for path in found if not (ROOT / path).exists()]


def commands() -> dict[str, set[str]]:
    """Return the subcommands that the README names, by module."""
    found: dict[str, set[str]] = {}
    for module, subcommand in COMMAND.findall(README):
        found.setdefault(module, set()).update({subcommand} - {""})
    return {module: names for module, names in found.items() if module not in {"venv", "pytest"}}


def test_the_readme_names_the_commands():
    assert {"text_env", "agents", "feedback", "benchmarks.throughput"} <= set(commands())
    assert {"train", "write"} <= commands()["agents"]


@pytest.mark.parametrize("module", sorted(commands()))
def test_every_command_of_the_readme_exists(module):
    shown = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    in_braces = shown.stdout.partition("{")[2].partition("}")[0].split(",")
    in_a_column = re.findall(r"^  (\w+)  ", shown.stdout, flags=re.MULTILINE)
    assert commands()[module] <= {*in_braces, *in_a_column}


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?:`|^    )make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "check"} <= targets
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)]


def test_the_ten_lines_train(tmp_path, monkeypatch):
    source = (ROOT / "examples" / "ten_lines.py").read_text("utf-8")
    fewer = source.replace("num_updates=50", "num_updates=1").replace("=64", "=8")
    assert fewer.count("=8") == 2
    (tmp_path / "ten_lines.py").write_text(fewer, "utf-8")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(tmp_path / "ten_lines.py"))
    names["env"].close()
    assert names["agent"].policy.version == 1


def test_the_feedback_of_the_readme_keeps_the_contract(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    source = importlib.import_module("own_feedback").ShortWords()
    check_feedback(source)
    sys.modules.pop("own_feedback")


def test_the_agent_of_the_readme_learns():
    scores = runpy.run_path(str(ROOT / "examples" / "own_agent.py"))["main"]()
    # at first 3 of 257 tokens are right: 0.012
    assert scores[0] < 0.05
    assert scores[-1] > 0.9


def test_the_agent_of_the_readme_keeps_every_promise():
    unigram = runpy.run_path(str(ROOT / "examples" / "own_agent.py"))["Unigram"]
    assert len(check_agent(unigram)) >= 18
