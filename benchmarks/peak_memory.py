"""Measure how much memory writing takes above the weights, each side in a process of its own: `python -m benchmarks.peak_memory`.

The kernel's own high-water mark of the process is reset when the model is loaded, and read when the responses are written.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.rollouts import Generator, Writer, equal_lengths

MARK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
Side = Literal["rollout", "generate"]


@dataclass(frozen=True)
class Job:
    """Hold what one process does.

    Args:
        side: who writes.
        model: name of the model. dtype: precision.
        rows: responses. new_tokens: tokens of each.
        threads: of torch. seed: decides prompts and tokens.
    """

    side: Side
    model: str
    dtype: str
    rows: int
    new_tokens: int
    threads: int
    seed: int


def can_measure() -> bool:
    """Say whether this system keeps a high-water mark that can be reset: Linux does."""
    return MARK.exists() and STATUS.exists()


def peak_bytes_in_new_process(job: Job) -> float:
    """Run a job in a process of its own and return its peak above the weights."""
    options = [part for name, value in asdict(job).items() for part in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run([sys.executable, "-m", "benchmarks.peak_memory", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the process that measures the memory of {job.side} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak_bytes(job: Job) -> int:
    """Load the model, then write, and return by how many bytes the process grew at most while it wrote."""
    torch.set_num_threads(job.threads)
    lengths = equal_lengths(job.rows, job.new_tokens)
    side: Writer | Generator
    if job.side == "rollout":
        side = Writer(job.model, job.dtype, job.rows, job.new_tokens, lengths, job.seed)
        weights = side.agent.policy.parameters()
    else:
        side = Generator(job.model, job.dtype, job.rows, lengths, job.seed)
        weights = side.model.parameters()
    for parameter in weights:
        parameter.detach().sum()  # the pages of a mapped file count only once they were read
    _give_back_free_memory()
    before = status_bytes("VmRSS")
    MARK.write_text("5")  # VmHWM begins anew at what the process holds now
    side.write()
    return status_bytes("VmHWM") - before


def _give_back_free_memory() -> None:
    """Return what loading left behind to the system: else writing would use it again and seem to need nothing."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc has it
        trim(0)


def status_bytes(field: str) -> int:
    """Return a figure of the kernel about this process, such as VmRSS, what it holds now, or VmHWM, the most since the mark was set."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(peak_bytes(tyro.cli(Job))))
