"""Take one optimiser step on the episodes of a rollout, a few rows at a time, and measure what it was taken on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.learning.groups import share_degenerate_groups
from agents.learning.losses import kl_rewards
from agents.learning.rollout import Rollout
from agents.policy.evaluation import Evaluation
from agents.policy.protocol import Policy

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Hold the episodes that a loss counts, with what was computed for them.

    Args:
        rollout: B episodes; each of them counts.
        reference_logprobs: [B, T] float64, of the actions under the reference.
        rewards: [B, T] float64, what the learner counts: those of the rollout, less a penalty where there is one.
        num_episodes, num_tokens: of the whole batch that this is a part of. Losses divide by them.
        advantages: [B, T] float64, where they are computed for the batch as a whole.
        old_logprobs, old_values: [B, T] float64, what the learner itself said before the first of several steps.
    """

    rollout: Rollout
    reference_logprobs: FloatArray
    rewards: FloatArray
    num_episodes: int
    num_tokens: int
    advantages: FloatArray | None = None
    old_logprobs: FloatArray | None = None
    old_values: FloatArray | None = None

    @classmethod
    def of(cls, policy: Policy, rollout: Rollout, penalty: float, rows_per_chunk: int) -> Batch:
        """Make a batch of episodes that all count.

        Args:
            penalty: weight of the log-ratio to the reference that is taken off the rewards, with the log-probabilities of the policy
                that wrote (see `kl_rewards`).
            rows_per_chunk: episodes that go through the reference at a time.
        """
        reference = as_array(
            policy.reference_logprobs(
                rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks, rows_per_chunk=rows_per_chunk
            )
        )
        rewards = kl_rewards(rollout.rewards, rollout.logprobs, reference, rollout.is_action, penalty)
        return cls(rollout, reference, rewards, num_episodes=len(rollout), num_tokens=int(rollout.is_action.sum()))

    @classmethod
    def alone(cls, rollout: Rollout) -> Batch:
        """Make a batch of episodes that all count, for a loss without a reference: its log-probabilities are NaN."""
        unknown = np.full(rollout.is_action.shape, np.nan)
        return cls(rollout, unknown, rollout.rewards, num_episodes=len(rollout), num_tokens=int(rollout.is_action.sum()))

    def state(self) -> dict[str, Any]:
        """Return everything as tensors and numbers; texts are left out."""
        return {
            "rollout": self.rollout.state(),
            "reference_logprobs": torch.as_tensor(self.reference_logprobs),
            "rewards": torch.as_tensor(self.rewards),
            "num_episodes": self.num_episodes,
            "num_tokens": self.num_tokens,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Batch:
        """Make a batch from `state`."""
        arrays = {name: state[name].numpy() for name in ("reference_logprobs", "rewards")}
        return cls(Rollout.from_state(state["rollout"]), **arrays, num_episodes=state["num_episodes"], num_tokens=state["num_tokens"])

    @property
    def counts(self) -> npt.NDArray[np.bool_]:
        """Return which entries of [B, T] a loss counts."""
        return self.rollout.is_action

    def parts(self, num_rows: int) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
        """Yield parts of at most `num_rows` episodes with their row numbers; episodes of like length go together, to save padding."""
        rollout = self.rollout
        order = np.argsort(rollout.prompt_lengths + rollout.is_action.shape[1] - _columns_left(rollout), kind="stable")
        for start in range(0, len(order), num_rows):
            rows = order[start : start + num_rows]
            yield rows, self._take(rows)

    def minibatches(self, num_rows: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield every episode once, in random order, in batches of at most `num_rows` and of nearly equal size.

        Each is a whole of its own: it has its own `num_episodes` and `num_tokens`, so that its loss is a mean over it alone.
        """
        order = torch.randperm(len(self.rollout), generator=generator).numpy()
        for rows in np.array_split(order, math.ceil(len(order) / num_rows)):
            taken = self._take(rows)
            yield replace(taken, num_episodes=len(rows), num_tokens=int(taken.rollout.is_action.sum()))

    def _take(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return some episodes, without the columns that are padding in all of them, as a part of the same whole."""
        part = self.rollout.take(rows).trimmed()
        place = (rows, slice(part.is_action.shape[1]))
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {name: array[place] for name, array in arrays.items() if isinstance(array, np.ndarray)}
        return replace(self, rollout=part, **taken)


def take_step(
    loss_of: Callable[[Batch], tuple[Tensor, Evaluation]],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    max_grad_norm: float,
    rows_per_backward: int,
    stop_kl: float = math.inf,
    measured_by: Callable[[Batch, FloatArray, FloatArray], dict[str, float]] | None = None,
) -> dict[str, float]:
    """Add up gradients over parts of the batch, clip them, and take one step.

    Args:
        loss_of: the loss of one part and the evaluation that it came from; the losses of the parts sum to the batch's.
        max_grad_norm: each parameter group is scaled down to this norm.
        rows_per_backward: episodes in memory at a time; changes memory and rounding, nothing else.
        stop_kl: where the policy is already further than this from the one with the batch's old log-probabilities, no step is taken.
        measured_by: what to measure, from batch, log-probabilities and entropies; None = `measure`.

    Returns: the loss, the norms before clipping, and what was measured of the policy as it was *before* the step.
    Raises FloatingPointError where the gradient is not finite; the weights are as before then.
    """
    optimizer.zero_grad(set_to_none=True)
    shape = batch.rollout.is_action.shape
    logprobs, entropy, total = np.zeros(shape), np.zeros(shape), 0.0
    for rows, part in batch.parts(rows_per_backward):
        loss, now = loss_of(part)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
        columns = now.logprobs.shape[1]
        logprobs[rows, :columns] = as_array(now.logprobs)
        entropy[rows, :columns] = as_array(now.entropy)
    norms = [float(torch.nn.utils.clip_grad_norm_(group["params"], max_grad_norm)) for group in optimizer.param_groups]
    if not np.isfinite([total, *norms]).all():
        raise FloatingPointError(
            f"the gradient is not finite (loss {total}, norms {norms}): lower the learning rate or the weights of the penalties"
        )
    measured = (measured_by or measure)(batch, logprobs, entropy)
    if measured.get("update_kl_nats_per_token", 0.0) <= stop_kl:
        optimizer.step()
    named = {"grad_norm": norms[0]} | ({"critic_grad_norm": norms[1]} if len(norms) > 1 else {})
    return {"loss": total, **named, **measured}


def weighed(loss_of: Callable[[Batch], tuple[Tensor, Evaluation]], weight: float) -> Callable[[Batch], tuple[Tensor, Evaluation]]:
    """Return a loss that is `weight` times as large, for episodes that count less than others."""

    def loss(batch: Batch) -> tuple[Tensor, Evaluation]:
        full, now = loss_of(batch)
        return weight * full, now

    return loss


def measure(batch: Batch, logprobs: FloatArray, entropy: FloatArray) -> dict[str, float]:
    """Measure the policy on the tokens that it wrote.

    Args:
        logprobs, entropy: [B, T], the learner's. Before the step they belong to the policy that wrote the batch.

    Returns:
        kl_nats_per_response, kl_nats_per_token: mean of log pi - log reference over the tokens written, which estimates
            KL(pi || reference) without bias.
        entropy_nats_per_token: over the vocabulary.
        ratio_mean, ratio_max: learner's probability of a token over the sampler's, before any cap.
        sampler_mismatch_nats_per_token: mean distance between the two log-probabilities.
        advantage_spread: standard deviation of the advantages over tokens, in score, where the batch has them.
        value_explained: share of the returns' variance that the old values explain, where the batch has both; a constant has 0.
        update_kl_nats_per_token: KL(old || policy), where the batch has old log-probabilities, by an estimate that is never negative (k3 of
            `kl_terms`, with the policy for the reference).
    """
    is_action = batch.rollout.is_action
    kl = (logprobs - batch.reference_logprobs)[is_action].sum()
    gap = (logprobs - batch.rollout.logprobs)[is_action]
    ratio = np.exp(gap)
    moved = {}
    if batch.old_logprobs is not None:
        change = (logprobs - batch.old_logprobs)[is_action]
        moved = {"update_kl_nats_per_token": float((np.expm1(change) - change).mean())}
    return (
        moved
        | _measure_advantages(batch)
        | {
            "kl_nats_per_response": float(kl / batch.num_episodes),
            "kl_nats_per_token": float(kl / batch.num_tokens),
            "entropy_nats_per_token": float(entropy[is_action].mean()),
            "ratio_mean": float(ratio.mean()),
            "ratio_max": float(ratio.max()),
            "sampler_mismatch_nats_per_token": float(np.abs(gap).mean()),
        }
    )


def _measure_advantages(batch: Batch) -> dict[str, float]:
    if batch.advantages is None:
        return {}
    advantages = batch.advantages[batch.rollout.is_action]
    explained = {}
    if batch.old_values is not None:
        returns = advantages + batch.old_values[batch.rollout.is_action]
        if returns.var() > 0:
            explained = {"value_explained": float(1 - advantages.var() / returns.var())}
    return {"advantage_spread": float(advantages.std())} | explained


def describe(rollout: Rollout) -> dict[str, float]:
    """Describe what was written and what was said about it, whatever the agent makes of it.

    Returns: score (mean over scored episodes; absent where there is none), share_scored, share_truncated, share_ended (by an end token or a
    stop, not by the budget), tokens_per_response; where prompts are shared, share_degenerate_groups (those with two or more scores, all
    equal).
    """
    scored = rollout.is_scored
    ended = [ending is not None and ending != "length" for ending in rollout.endings]
    score = {"score": float(rollout.scores[scored].mean())} if scored.any() else {}
    degenerate = share_degenerate_groups(rollout.scores, scored, rollout.group)
    groups = {} if degenerate is None else {"share_degenerate_groups": degenerate}
    return (
        score
        | groups
        | {
            "share_scored": float(scored.mean()),
            "share_truncated": float(rollout.is_truncated.mean()),
            "share_ended": float(np.mean(ended)),
            "tokens_per_response": float(rollout.lengths.mean()),
        }
    )


def adam(*groups: tuple[Iterable[torch.nn.Parameter], float]) -> torch.optim.Optimizer:
    """Make Adam (Kingma and Ba 2015) with one learning rate per group of parameters, without weight decay."""
    made = [(list(parameters), learning_rate) for parameters, learning_rate in groups]
    on = {parameter.device.type for parameters, _ in made for parameter in parameters}
    return torch.optim.Adam([{"params": parameters, "lr": rate} for parameters, rate in made], fused=on <= {"cpu", "cuda"})


def like(array: npt.NDArray[Any], tensor: Tensor) -> Tensor:
    """Return the array as a tensor on the device of another, numbers in its precision; booleans stay booleans."""
    made = torch.as_tensor(array)
    return made.to(tensor.device) if made.dtype == torch.bool else made.to(tensor.dtype).to(tensor.device)


def as_array(tensor: Tensor) -> FloatArray:
    """Return a copy without gradient, on the CPU, in float64."""
    return tensor.detach().cpu().double().numpy()


def _columns_left(rollout: Rollout) -> npt.NDArray[np.int64]:
    """Return how many columns behind each episode's last action are padding: [B]."""
    return np.argmax(rollout.is_action[:, ::-1], axis=1).astype(np.int64)
