"""Make the spaces of a text environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from text_env.prefixes import Prefixes


def observation_space(prefixes: Prefixes) -> spaces.Space[Any]:
    """Return the space of one row: what a transformers model's `forward` takes, and which tokens the agent wrote."""
    # Box and not MultiDiscrete, which Stable-Baselines3 would turn into one-hot vectors.
    shape = (prefixes.width,)
    return spaces.Dict(
        attention_mask=spaces.Box(0, 1, shape, np.int8),
        input_ids=spaces.Box(0, prefixes.tokens.vocab_size - 1, shape, np.int64),
        response_mask=spaces.Box(0, 1, shape, np.int8),
    )


def action_space(prefixes: Prefixes) -> spaces.Discrete:
    """Return the space of tokens."""
    return spaces.Discrete(prefixes.tokens.vocab_size)
