"""Estimate the expected return before a token from the language model's hidden state."""

from __future__ import annotations

import torch
from torch import nn


class ValueHead(nn.Module):
    """Map hidden states [..., H] to values [...]: normalise, one hidden layer, one number that starts at zero.

    It computes in float32 whatever the trunk's precision. Its initial weights depend on the seed alone.

    Args:
        hidden_size: H.
        seed: of the initial weights.
        width: of the hidden layer; at most H.
    """

    def __init__(self, hidden_size: int, seed: int, width: int = 256) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.normalise = nn.LayerNorm(hidden_size)
            self.hidden = nn.Linear(hidden_size, min(width, hidden_size))
            self.output = nn.Linear(min(width, hidden_size), 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return one value per hidden state."""
        values: torch.Tensor = self.output(torch.tanh(self.hidden(self.normalise(hidden.float())))).squeeze(-1)
        return values
