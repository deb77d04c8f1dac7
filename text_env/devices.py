"""Choose the device and the floating dtype that a name means. Imports torch, so nothing that must stay light imports this."""

from __future__ import annotations

import torch


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a name means; "auto" takes CUDA, then MPS, then the CPU."""
    if str(device) != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(name: str | torch.dtype) -> torch.dtype:
    """Return the floating dtype that a name means.

    Raises:
        ValueError: it is not one of float32, bfloat16, float16 and float64.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
    if isinstance(name, torch.dtype) and name in known.values():
        return name
    if name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {name!r}")
    return known[str(name)]
