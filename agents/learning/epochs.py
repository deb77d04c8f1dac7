"""Take several optimiser steps on one rollout, and measure how far they moved the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.learning.rollout import Rollout
from agents.learning.step import Batch, FloatArray, as_array, measure, take_step
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy

MAX_GRAD_NORM = 1.0  # as in REINFORCE
TOKENS_AT_ONCE = 640  # of prompts and responses in memory at a time, 16 episodes of 40; no effect on the result


class Look(NamedTuple):
    """Hold what a policy says of a batch, without gradient.

    Args:
        logprobs, entropy: [B, T] float64. values: [B, T] float64; zero without a value head.
    """

    logprobs: FloatArray
    entropy: FloatArray
    values: FloatArray


def rows_at_once(rollout: Rollout) -> int:
    """Return how many episodes to have in memory at a time."""
    return max(1, TOKENS_AT_ONCE // rollout.tokens.shape[1])


@torch.no_grad()
def look(policy: Policy, batch: Batch, num_rows: int | None = None) -> Look:
    """Ask the learner's policy, in the learner's precision, for everything that it says of a batch.

    Args:
        num_rows: episodes in memory at a time; None = `rows_at_once`.
    """
    seen = Look(*(np.zeros(batch.rollout.is_action.shape) for _ in Look._fields))
    for rows, part in batch.parts(num_rows or rows_at_once(batch.rollout)):
        rollout = part.rollout
        now = policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
        for array, tensor in ((seen.logprobs, now.logprobs), (seen.entropy, now.entropy), (seen.values, now.values)):
            if tensor is not None:
                array[rows, : tensor.shape[1]] = as_array(tensor)
    return seen


def take_steps(
    loss_of: Callable[[Batch], tuple[Tensor, Evaluation]],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epochs: int,
    minibatch_size: int,
    stop_kl: float = float("inf"),
) -> dict[str, float]:
    """Go over a batch several times, in minibatches of a new random order each time, with one step for each.

    Before each step the divergence is measured on its minibatch, at no cost: where it is too large, that step and all further ones are left
    out.

    Args:
        loss_of: the loss of a part of a minibatch and the evaluation that it came from.
        batch: with `old_logprobs`.
        generator: decides the order.
        epochs: how often each episode is used, at least 1.
        minibatch_size: episodes per step, at least 1.
        stop_kl: nats per token between old and present policy, beyond which no step is taken.

    Returns: means over the minibatches of loss, grad_norm and, with a critic, critic_grad_norm; num_steps, those that were taken.
    """
    if epochs < 1 or minibatch_size < 1:
        raise ValueError(f"epochs and minibatch_size must be at least 1, got {epochs} and {minibatch_size}")
    assert batch.old_logprobs is not None
    met: list[dict[str, float]] = []
    num_steps = 0
    for minibatch in (each for _ in range(epochs) for each in batch.minibatches(minibatch_size, generator)):
        met.append(take_step(loss_of, minibatch, optimizer, MAX_GRAD_NORM, rows_at_once(minibatch.rollout), stop_kl))
        if met[-1]["update_kl_nats_per_token"] > stop_kl:
            break
        num_steps += 1
    means = {name: float(np.mean([each[name] for each in met])) for name in ("loss", "grad_norm", "critic_grad_norm") if name in met[0]}
    return means | {"num_steps": float(num_steps)}


def measure_update(batch: Batch, after: Look, clip_below: float, clip_above: float) -> dict[str, float]:
    """Measure how far the steps moved the policy, on the tokens of the batch: after the last step.

    Args:
        batch: with `old_logprobs`. after: what the policy says now.
        clip_below, clip_above: the range of the ratio, as in `clipped_gains`.

    Returns: update_kl_nats_per_token (see `measure`), share_clipped (tokens whose ratio has left the range), update_ratio_max.
    """
    assert batch.old_logprobs is not None
    is_action = batch.rollout.is_action
    ratio = np.exp(after.logprobs - batch.old_logprobs)[is_action]
    return {
        "update_kl_nats_per_token": measure(batch, after.logprobs, after.entropy)["update_kl_nats_per_token"],
        "share_clipped": float(((ratio < 1 - clip_below) | (ratio > 1 + clip_above)).mean()),
        "update_ratio_max": float(ratio.max()),
    }
