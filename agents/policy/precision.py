"""Choose device and precision."""

from __future__ import annotations

import torch

from text_env.devices import choose_dtype

SMALL_MODEL = 20_000_000  # parameters below which bfloat16 saves less arithmetic than it adds conversions


def choose_compute_dtype(name: str | torch.dtype, device: torch.device, dtype: torch.dtype, num_parameters: int) -> torch.dtype:
    """Return the precision to write and differentiate in.

    "auto" is bfloat16 for float32 weights of a model with at least `SMALL_MODEL` parameters on hardware with bfloat16
    instructions (elsewhere bfloat16 is emulated and slower than float32), and else the weights' own dtype.
    """
    if name != "auto":
        return choose_dtype(name)
    profits = dtype == torch.float32 and num_parameters >= SMALL_MODEL and has_bfloat16_instructions(device)
    return torch.bfloat16 if profits else dtype


def has_bfloat16_instructions(device: torch.device) -> bool:
    """Say whether the device multiplies bfloat16 numbers itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False
