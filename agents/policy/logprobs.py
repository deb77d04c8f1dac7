"""Compute log-probabilities and entropies over a large vocabulary, a chunk of positions at a time.

Float32 logits of a whole batch, [B, T, V], would take more memory than model and optimiser together. Here the hidden states
are projected to the vocabulary in chunks, and each chunk's logits are made again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 2**23  # logits that exist at once: 33 MB in float32

Project = Callable[[torch.Tensor], torch.Tensor]  # hidden states [n, H] -> logits [n, V], temperature included


@dataclass(frozen=True, eq=False)
class ActionMasks:
    """Hold which tokens were allowed at each position, every different mask once.

    Args:
        table: [U, V] bool, the different masks; True = allowed.
        index: [B, T] int64, the mask of each position.
    """

    table: npt.NDArray[np.bool_] | torch.Tensor
    index: npt.NDArray[np.int64] | torch.Tensor


class Scores(NamedTuple):
    """Hold what the projection to the vocabulary gives at n positions.

    Args:
        logprobs: [n] log-probability of the token that was chosen, nats.
        entropy: [n] entropy of the distribution, nats.
        kl: [n] divergence from the reference summed over the vocabulary, nats; None unless it was asked for.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    kl: torch.Tensor | None


def score_tokens(
    hidden: torch.Tensor,
    actions: torch.Tensor,
    project: Project,
    width: int,
    allowed: Callable[[slice], torch.Tensor] | None = None,
    reference: tuple[torch.Tensor, Project] | None = None,
) -> Scores:
    """Score chosen tokens given the hidden states before them, in chunks, with gradient.

    Args:
        hidden: [n, H] hidden states of the positions.
        actions: [n] the tokens chosen there.
        project: maps hidden states to logits.
        width: V, to size the chunks.
        allowed: returns the masks [k, V] bool of a slice of the positions; None means that every token is allowed.
        reference: hidden states [n, H] and projection of the reference, where the divergence is wanted.
    """
    rows = max(1, CHUNK_ELEMENTS // width)
    pieces = []
    for start in range(0, len(actions), rows):
        part = slice(start, start + rows)
        mask = None if allowed is None else allowed(part)
        other = None if reference is None else (reference[0][part], reference[1])
        arguments = (hidden[part], actions[part], project, mask, other)
        if torch.is_grad_enabled():
            pieces.append(checkpoint(_score_chunk, *arguments, use_reentrant=False, preserve_rng_state=False))
        else:
            pieces.append(_score_chunk(*arguments))
    if not pieces:
        empty = hidden.new_zeros(0, dtype=torch.float32) + hidden.sum() * 0
        return Scores(empty, empty, None if reference is None else empty)
    logprobs, entropy, kl = zip(*pieces, strict=True)
    return Scores(torch.cat(logprobs), torch.cat(entropy), None if reference is None else torch.cat(kl))


def _score_chunk(
    hidden: torch.Tensor,
    actions: torch.Tensor,
    project: Project,
    mask: torch.Tensor | None,
    reference: tuple[torch.Tensor, Project] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    logits = hide_masked(project(hidden).float(), mask)
    logprobs, entropy = _LogprobsAndEntropy.apply(logits, actions)  # type: ignore[no-untyped-call]
    if reference is None:
        return logprobs, entropy, None
    with torch.no_grad():
        other = torch.log_softmax(hide_masked(reference[1](reference[0]).float(), mask), -1)
    return logprobs, entropy, _Divergence.apply(logits, other)  # type: ignore[no-untyped-call]


def hide_masked(logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Give tokens that are not allowed the lowest number: probability 0 without an infinity that would turn into NaN."""
    return logits if mask is None else logits.masked_fill(~mask, torch.finfo(logits.dtype).min)


class _LogprobsAndEntropy(torch.autograd.Function):
    """log p(a) and H(p) of softmax(logits), with both gradients from one saved tensor.

    d log p(a) / d x_j = 1[j = a] - p_j,   dH / d x_j = -p_j (log p_j + H)
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs = torch.log_softmax(logits, -1)
        entropy = -(logprobs.exp().mul_(logprobs)).sum(-1)
        ctx.save_for_backward(logprobs, actions, entropy)
        ctx.set_materialize_grads(False)
        return logprobs.gather(1, actions[:, None]).squeeze(1), entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        by_logprob, by_entropy = gradients
        logprobs, actions, entropy = ctx.saved_tensors
        probabilities = logprobs.exp()
        if by_entropy is None:
            if by_logprob is None:
                return None, None
            total = probabilities.mul_(-by_logprob[:, None])
        else:
            factor = (logprobs + entropy[:, None]).mul_(-by_entropy[:, None])
            if by_logprob is not None:
                factor.sub_(by_logprob[:, None])
            total = probabilities.mul_(factor)
        if by_logprob is not None:
            total.scatter_add_(1, actions[:, None], by_logprob[:, None])
        return total, None


class _Divergence(torch.autograd.Function):
    """KL(p || q) of p = softmax(logits) and log q, with its gradient p_j (log p_j - log q_j - KL)."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        logprobs = torch.log_softmax(logits, -1)
        difference = logprobs - other
        divergence = (logprobs.exp() * difference).sum(-1)
        ctx.save_for_backward(logprobs, difference, divergence)
        return divergence

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logprobs, difference, divergence = ctx.saved_tensors
        return logprobs.exp().mul_(difference - divergence[:, None]).mul_(gradients[0][:, None]), None
