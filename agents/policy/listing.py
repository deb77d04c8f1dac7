"""Compute what a policy is worth on an exact task, and the exact gradient of it, without drawing anything.

Only the longest prefixes go through the model, since each gives the distributions of all its own prefixes on the way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from agents.policy.protocol import Policy
from text_env.episode import FloatArray, IntArray
from text_env.exact import ExactTask, Tree

ROWS_PER_CHUNK = 4096  # longest prefixes that go through the model at a time: bounds memory, changes nothing else


class Objective(NamedTuple):
    """Hold what a policy reaches on a task, as a mean over its prompts.

    Args:
        value: J = score - kl_weight * kl.
        score: expected score. kl: KL(pi || reference) over whole responses, nats.
        share: (J - J of the reference) / (best J - J of the reference): 0 is the reference, 1 the optimum.
    """

    value: float
    score: float
    kl: float
    share: float


@torch.no_grad()
def policy_tables(policy: Policy, task: ExactTask, of_reference: bool = False) -> FloatArray:
    """Return the policy's log-probability of every token after every prefix: [num_prompts, num_prefixes, V]; uniform off states."""
    tree = task.tree
    tables = np.full((task.num_prompts, tree.num_prefixes, tree.vocab_size), -np.log(tree.vocab_size))
    prefixes, nodes, is_first = _longest_prefixes(tree)
    for number, prompt in enumerate(task.prompts):
        for start in range(0, len(prefixes), ROWS_PER_CHUNK):
            part = slice(start, start + ROWS_PER_CHUNK)
            logprobs = policy.distributions(*_with_prompt(prompt, prefixes[part]), of_reference=of_reference)
            tables[number, nodes[part][is_first[part]]] = logprobs.double().cpu().numpy()[is_first[part]]
    return tables


def exact_objective(policy: Policy, task: ExactTask, kl_weight: float) -> Objective:
    """Return what the policy reaches, from sums over all responses.

    Args:
        kl_weight: above 0, score per nat.
    """
    ours, reference = policy_tables(policy, task), policy_tables(policy, task, of_reference=True)
    return objective_of(task, ours, reference, kl_weight)


def objective_of(task: ExactTask, logprobs: FloatArray, reference_logprobs: FloatArray, kl_weight: float) -> Objective:
    """Return what tables of log-probabilities [num_prompts, num_prefixes, V] reach."""
    tree = task.tree
    score = float(tree.objective(logprobs, task.scores).mean())
    kl = float(tree.divergence(logprobs, reference_logprobs).mean())
    value = score - kl_weight * kl
    at_reference = float(tree.objective(reference_logprobs, task.scores).mean())
    best = float(tree.kl_optimum(reference_logprobs, task.scores, kl_weight).values.states[:, 0].mean())
    return Objective(value, score, kl, (value - at_reference) / (best - at_reference))


def exact_gradient(policy: Policy, task: ExactTask, kl_weight: float = 0.0) -> list[torch.Tensor]:
    """Return the gradient of J = E[score] - kl_weight * KL(pi || reference), mean over prompts, by the policy's parameters.

    gradient = sum over s of d(s) * sum over a of pi(a | s) * (Q(s, a) - V(s)) * gradient of log pi(a | s)

    d, Q and V are exact, so this is the policy gradient theorem (Sutton et al. 2000) without any noise.

    Args:
        kl_weight: 0 or above. Q and V contain the penalty.
    """
    tree, parameters = task.tree, list(policy.parameters())
    ours = policy_tables(policy, task)
    reference = policy_tables(policy, task, of_reference=True) if kl_weight > 0 else None
    values = tree.values(ours, task.scores, kl_weight, reference)
    visits = tree.visits(ours)[..., : tree.num_prefixes, None]
    weights = visits * np.exp(ours) * (values.actions - values.states[..., : tree.num_prefixes, None]) / task.num_prompts
    weights = np.where(tree.is_state[:, None], weights, 0.0)
    prefixes, nodes, is_first = _longest_prefixes(tree)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for number, prompt in enumerate(task.prompts):
        for start in range(0, len(prefixes), ROWS_PER_CHUNK):
            part = slice(start, start + ROWS_PER_CHUNK)
            logprobs = policy.distributions(*_with_prompt(prompt, prefixes[part]))
            once = np.where(is_first[part][..., None], weights[number, nodes[part]], 0.0)
            weighed = (torch.as_tensor(once).to(logprobs.device, logprobs.dtype) * logprobs).sum()
            gradients = torch.autograd.grad(weighed, parameters, allow_unused=True)
            for sum_so_far, gradient in zip(total, gradients, strict=True):
                if gradient is not None:
                    sum_so_far += gradient
    return total


def _longest_prefixes(tree: Tree) -> tuple[IntArray, IntArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    """List the prefixes of horizon - 1 tokens in which something may still be written.

    Returns:
        [R, horizon - 1] their tokens; [R, horizon] the number of each of their own prefixes; [R, horizon] whether it is the first row with
        that prefix.
    """
    letters = np.setdiff1d(np.arange(tree.vocab_size), tree.end_ids)
    grid = np.meshgrid(*[letters] * (tree.horizon - 1), indexing="ij")
    prefixes = np.stack([axis.ravel() for axis in grid], axis=1) if grid else np.zeros((1, 0), dtype=np.int64)
    nodes = np.zeros((len(prefixes), tree.horizon), dtype=np.int64)
    for column in range(tree.horizon - 1):
        nodes[:, column + 1] = 1 + nodes[:, column] * tree.vocab_size + prefixes[:, column]
    is_first = np.ones(nodes.shape, dtype=bool)
    is_first[1:] = nodes[1:] != nodes[:-1]  # rows are in lexicographic order
    return prefixes, nodes, is_first


def _with_prompt(prompt: IntArray, prefixes: IntArray) -> tuple[IntArray, IntArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    """Return tokens, prompt lengths and is_action of rows in which every column of the response is a state."""
    rows, width = len(prefixes), prefixes.shape[1] + 1
    last = np.zeros((rows, 1), dtype=np.int64)  # stands for any token: only what comes before it is read
    tokens = np.concatenate([np.broadcast_to(prompt, (rows, len(prompt))), prefixes, last], axis=1)
    return tokens, np.full(rows, len(prompt)), np.ones((rows, width), dtype=bool)
