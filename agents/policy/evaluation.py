"""Say what a policy's evaluation of actions holds."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Evaluation(NamedTuple):
    """Hold what a policy says of actions that were taken; zero where there was none.

    Args:
        logprobs: [B, T] log-probability of each action, nats.
        entropy: [B, T] entropy of the distribution that it was drawn from, nats.
        values: [B, T] expected return before each action; None without a value head.
        kl: [B, T] divergence from the reference, summed over the vocabulary, nats; None unless it was asked for.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    values: torch.Tensor | None
    kl: torch.Tensor | None
