"""Hold the house in order: who imports whom, what an import costs, what files are called, where randomness comes from.

Every rule is a function from source text to what breaks it, and is shown to see a planted breach.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "text_env": set[str](),
    "agents": {"text_env"},
    "feedback": {"text_env"},
    "benchmarks": {"text_env", "agents", "feedback"},
}
PACKAGES = tuple(MAY_IMPORT)
OURS = {*PACKAGES, "tests", "scripts", "examples"}
EMPTY_NAMES = {"base", "utils", "util", "common", "helpers", "helper", "manager", "misc"}
HEAVY = {"torch", "transformers", "stable_baselines3", "matplotlib", "tensorboard", "vaderSentiment", "gguf", "datasets", "tyro", "rich"}
HEAVY |= {"sqlalchemy", "alembic", "starlette", "uvicorn", "jinja2"}


def python_files(*folders: str) -> list[Path]:
    files = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert files, f"no Python files in {folders}"
    return files


def imported_modules(source: str) -> list[str]:
    """Return the modules that a source imports anywhere in it: in functions, for types only, or by importlib."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "import_module", "__import__"}:
            found += [argument.value for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    return found


def forbidden_imports(source: str, package: str) -> set[str]:
    roots = {module.partition(".")[0] for module in imported_modules(source)}
    return (roots & OURS) - {package} - MAY_IMPORT[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_that_the_arrow_allows(package):
    found = {str(path.relative_to(ROOT)): forbidden_imports(path.read_text("utf-8"), package) for path in python_files(package)}
    assert not {path: modules for path, modules in found.items() if modules}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("text_env", "from feedback.sentiment import Sentiment"),
        ("text_env", "def later():\n    import agents.policy as policy"),
        ("agents", "import typing\nif typing.TYPE_CHECKING:\n    from feedback import compose"),
        ("feedback", "import importlib\nimportlib.import_module('agents.agent')"),
        ("benchmarks", "from tests import tiny"),
    ],
)
def test_an_import_against_the_arrow_is_seen_wherever_it_hides(package, source):
    assert forbidden_imports(source, package)
    assert not forbidden_imports(f"from {package}.part import thing\nimport numpy\nfrom . import near", package)


def test_every_file_has_a_name_of_its_own():
    files = [path for path in python_files(*PACKAGES, "tests", "scripts", "examples") if not path.name.startswith("__")]
    names = Counter(path.name for path in files if path.parent.name != "migrations")  # there the name is alembic's
    assert not [name for name, count in names.items() if count > 1]


def test_every_file_is_named_after_what_it_holds():
    assert not [path for path in python_files(*PACKAGES, "tests", "scripts", "examples") if path.stem in EMPTY_NAMES]


def test_no_file_hides_a_module_of_the_standard_library():
    top_level = [
        path for folder in ("scripts", "examples") for path in (ROOT / folder).glob("*.py")
    ]  # they run with their folder first on the path
    assert not [path for path in [*top_level, *ROOT.glob("*.py")] if path.stem in sys.stdlib_module_names]
    assert not [path for path in python_files(*PACKAGES) if path.stem in {"random", "types", "typing", "logging"}]


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nimport json; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_no_heavy_library(package):
    assert not modules_loaded_by(f"import {package}") & HEAVY


def test_a_heavy_library_that_is_loaded_is_seen():
    assert "rich" in modules_loaded_by("import rich") & HEAVY


def test_importing_text_env_registers_its_environments():
    code = "import gymnasium, text_env; assert 'TextGen-v0' in gymnasium.registry and 'TextGen/Reviews-v0' in gymnasium.registry"
    assert modules_loaded_by(code)


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_that_a_package_offers_at_its_top_is_there(package):
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert sorted(set(names)) == sorted(names)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


FREE_OF_STATE = {
    "random": {"Random", "SystemRandom", "getstate"},
    "numpy.random": {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "PCG64DXSM", "Philox", "SFC64", "get_state"},
}
TORCH_SEEDS = re.compile(r"torch\.(?:\w+\.)*(?:manual_seed|manual_seed_all|seed|seed_all|set_rng_state|set_rng_state_all|initial_seed)")
TORCH_DRAWS = re.compile(r"torch\.(?:rand|randn|randint|randperm|normal|multinomial|bernoulli|poisson|rand_like|randn_like|randint_like)")
TORCH_INITIALISERS = re.compile(r"torch\.nn\.init\.(?!zeros_|ones_|constant_|eye_|dirac_|calculate_gain)\w+")
TENSOR_DRAWS = {"uniform_", "normal_", "exponential_", "random_", "bernoulli_", "cauchy_", "geometric_", "log_normal_"}


class GlobalDraws(ast.NodeVisitor):
    """Collect the lines that read or move a global random generator outside `with torch.random.fork_rng()`."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.lines: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.aliases[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            if alias.name not in FREE_OF_STATE.get(node.module or "", {alias.name}):
                self.lines.append(f"{node.lineno}: {ast.unparse(node)}")

    def visit_With(self, node: ast.With) -> None:
        if not any("fork_rng" in ast.unparse(item.context_expr) for item in node.items):
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner, _, name = self._dotted(node).rpartition(".")
        if name not in FREE_OF_STATE.get(owner, {name}):
            self.lines.append(f"{node.lineno}: {ast.unparse(node)}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        dotted = self._dotted(node.func)
        has_generator = any(keyword.arg == "generator" for keyword in node.keywords)
        draws = TORCH_DRAWS.fullmatch(dotted) or TORCH_INITIALISERS.fullmatch(dotted) or dotted.rpartition(".")[2] in TENSOR_DRAWS
        if TORCH_SEEDS.fullmatch(dotted) or (draws and not has_generator):
            self.lines.append(f"{node.lineno}: {ast.unparse(node)}")
        self.generic_visit(node)

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        return self.aliases.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def global_draws(source: str) -> list[str]:
    visitor = GlobalDraws()
    visitor.visit(ast.parse(source))
    return visitor.lines


def test_no_code_draws_from_a_global_random_generator():
    found = {str(path.relative_to(ROOT)): global_draws(path.read_text("utf-8")) for path in python_files(*PACKAGES, "scripts", "examples")}
    assert not {path: lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.shuffle([])",
        "from random import choice",
        "import numpy as np\nnp.random.seed(0)",
        "import numpy as np\nx = np.random.rand",
        "from numpy import random as dice\ndice.normal()",
        "from numpy.random import randint",
        "import torch\ntorch.manual_seed(0)",
        "import torch\ntorch.cuda.manual_seed_all(0)",
        "from torch import nn\nnn.init.normal_(w)",
        "import torch as t\nt.multinomial(p, 1)",
        "noise.exponential_()",
    ],
)
def test_a_global_draw_is_seen_however_it_is_spelt(source):
    assert global_draws(source)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.Random(0).shuffle([])",
        "import numpy as np\nnp.random.default_rng(0).normal()",
        "import torch\ntorch.multinomial(p, 1, generator=g)",
        "noise.exponential_(generator=g)",
        "import torch\ng = torch.Generator().manual_seed(0)",
        "import torch\nwith torch.random.fork_rng():\n    torch.manual_seed(0)\n    torch.nn.init.normal_(w)",
    ],
)
def test_a_generator_of_ones_own_is_not_called_global(source):
    assert not global_draws(source)


# A path that exists on one machine only. A web address may hold such a folder: then a name, a dot or a colon precedes it.
MACHINE_PATH = re.compile(r"(?<![\w.:/~}>-])(?:/(?:work|root|home|Users|tmp|opt|mnt|private)/\w|[A-Z]:\\(?!n)\w)")
BINARY = {".safetensors", ".png", ".gz", ".pdf", ".ico", ".wav", ".bin"}
NOT_OURS = {".git", ".venv", "runs", "build", "dist", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def text_files() -> list[Path]:
    paths = [path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in BINARY]
    return [path for path in paths if not any(part in NOT_OURS or part.endswith(".egg-info") for part in path.relative_to(ROOT).parts)]


def test_no_file_holds_a_path_of_one_machine():
    found = {str(path.relative_to(ROOT)): MACHINE_PATH.findall(path.read_text("utf-8")) for path in text_files()}
    assert {"pyproject.toml", "Makefile", "README.md"} <= set(found)
    assert not {path: matches for path, matches in found.items() if matches}


@pytest.mark.parametrize("folder", ["work", "root", "home", "Users", "tmp"])
def test_a_path_of_one_machine_is_seen(folder):
    assert MACHINE_PATH.search(f'open("/{folder}/someone/x")')
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/someone")
