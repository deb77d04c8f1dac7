"""Say what a figure was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from agents.policy.precision import has_bfloat16_instructions

FEATURES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16")


def has_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 numbers itself; where it does not, they are slower than float32."""
    return has_bfloat16_instructions(torch.device("cpu"))


def describe_machine() -> str:
    """Return processor, features, threads and versions in one line."""
    capabilities = torch.cpu.get_capabilities()
    features = [name for name in FEATURES if capabilities.get(name, False)]
    processor = str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "gymnasium", "numpy"))
    threads = torch.get_num_threads()
    return f"{processor} ({', '.join(features) or 'no vector features known'}), {threads} threads, {platform.system()}, {libraries}"
