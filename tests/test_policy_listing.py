"""Hold exact objectives and gradients to automatic differentiation of sums over all responses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agents import CausalPolicy, TabularPolicy, exact_gradient, exact_objective
from agents.policy import listing
from agents.policy.listing import objective_of, policy_tables
from text_env.exact import ExactTask

TASK = ExactTask("random", 3, 4, num_prompts=2)


def tabular(seed, reference=2):
    rng = np.random.default_rng(seed)
    policy = TabularPolicy(3, 4, TASK.prompts.tolist(), logits=rng.normal(size=(2, TASK.tree.num_nodes, 3)))
    policy.reference = torch.as_tensor(np.random.default_rng(reference).normal(size=policy.logits.shape))
    return policy


def tiny_llama(seed):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        sizes = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=3, **sizes)).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(10)
    return model.eval()


def causal(seed):
    return CausalPolicy(tiny_llama(seed), device="cpu", dtype="float64", reference=tiny_llama(seed + 1))


def listed(policy):
    """Return log-probabilities [num_prompts, R] of all responses, with gradient, of policy and reference, and the scores."""
    tree = TASK.tree
    nodes = np.flatnonzero(tree.is_finished)
    tokens, lengths = (array[nodes] for array in tree.tokens())
    is_action = np.arange(tree.horizon) < lengths[:, None]
    ours, reference = [], []
    for prompt in TASK.prompts:
        rows = (
            np.concatenate([np.broadcast_to(prompt, (len(nodes), len(prompt))), tokens], axis=1),
            np.full(len(nodes), len(prompt)),
            is_action,
        )
        ours.append(policy.evaluate(*rows).logprobs.double().sum(1))
        reference.append(policy.reference_logprobs(*rows).double().sum(1))
    return torch.stack(ours), torch.stack(reference), torch.as_tensor(TASK.scores[:, nodes])


@pytest.mark.parametrize("make", [tabular, causal])
@pytest.mark.parametrize("kl_weight", [0.0, 0.4])
@pytest.mark.parametrize("chunk", [3, 4096])
def test_the_exact_gradient_is_that_of_the_sum_over_all_responses(make, kl_weight, chunk, monkeypatch):
    monkeypatch.setattr(listing, "ROWS_PER_CHUNK", chunk)
    policy = make(1)
    ours, reference, scores = listed(policy)
    objective = (ours.exp() * (scores - kl_weight * (ours - reference))).sum(1).mean()
    slow = torch.autograd.grad(objective, list(policy.parameters()))
    assert max(part.abs().max() for part in slow) > 1e-2
    for fast, part in zip(exact_gradient(policy, TASK, kl_weight), slow, strict=True):
        torch.testing.assert_close(fast, part, atol=1e-5 if make is causal else 1e-12, rtol=1e-4)  # a model's log-probabilities are float32


@pytest.mark.parametrize("make", [tabular, causal])
def test_the_exact_objective_is_the_sum_over_all_responses(make):
    policy = make(1)
    ours, reference, scores = (values.detach() for values in listed(policy))
    found = exact_objective(policy, TASK, 0.4)
    assert found.score == pytest.approx(float((ours.exp() * scores).sum(1).mean()), rel=1e-5)
    assert found.kl == pytest.approx(float((ours.exp() * (ours - reference)).sum(1).mean()), rel=1e-5)
    assert found.value == pytest.approx(found.score - 0.4 * found.kl)


def test_the_share_is_zero_at_the_reference_and_one_at_the_optimum():
    policy = tabular(1)
    reference = policy_tables(policy, TASK, of_reference=True)
    best = TASK.tree.kl_optimum(reference, TASK.scores, 0.4).logprobs
    assert objective_of(TASK, reference, reference, 0.4).share == 0
    assert objective_of(TASK, best, reference, 0.4).share == pytest.approx(1)
    assert objective_of(TASK, policy_tables(policy, TASK), reference, 0.4).share < 0.9


def test_a_table_of_a_policy_is_what_it_writes_by():
    policy = tabular(1)
    tables = policy_tables(policy, TASK)
    logits = policy.logits.detach().numpy().reshape(2, TASK.tree.num_nodes, 3)[:, : TASK.tree.num_prefixes]
    expected = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    is_state = TASK.tree.is_state
    np.testing.assert_allclose(tables[:, is_state], expected[:, is_state], atol=1e-12)
