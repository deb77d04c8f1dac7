"""Compare what agents do on average with the exact gradient: every response of a tiny task is listed, in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agents import ActorCritic, ActorCriticConfig, CausalPolicy, Reinforce, ReinforceConfig
from tests.exact_task import (
    END,
    HORIZON,
    PROMPT,
    VOCAB_SIZE,
    all_responses,
    random_logits,
    random_scores,
    table_policy,
    with_logprobs,
    write_all,
)
from text_env import Judgement
from text_env.exact import list_responses, state_values

NO_CLIP = {"max_grad_norm": float("inf"), "importance_cap": float("inf")}


def log_table(logits, temperature=1.0, mask=None):
    """Return log-probabilities [num_prefixes, V] of a table, with gradient."""
    logits = logits / temperature
    return torch.log_softmax(logits if mask is None else logits.masked_fill(~mask, -1e30), dim=-1)


def response_logprobs(table, responses):
    per_token = table[torch.as_tensor(responses.prefixes), torch.as_tensor(responses.tokens)]
    return torch.where(torch.as_tensor(responses.is_action), per_token, 0.0).sum(1)


def gradient_of(objective, logits):
    """Return the gradient of objective(logits) by automatic differentiation of sums over all responses."""
    variable = torch.as_tensor(logits, dtype=torch.float64).clone().requires_grad_()
    return torch.autograd.grad(objective(variable), variable)[0].numpy()


def mean_score(responses, scores, temperature=1.0, mask=None):
    return lambda logits: (response_logprobs(log_table(logits, temperature, mask), responses).exp() * torch.as_tensor(scores)).sum()


def step_of(agent, rollout):
    """Return by how much one update moves the logits when the optimiser is plain gradient descent with step size 1."""
    before = agent.policy.logits.detach().clone()
    agent.optimizer = torch.optim.SGD(agent.policy.parameters(), lr=1.0)
    agent.update(rollout)
    return (agent.policy.logits.detach() - before).numpy()


def expected_step(make_agent, rollout, probabilities, batch_size=1):
    """Return the mean step over all batches of `batch_size` responses, weighted by how likely the policy writes them."""
    total = 0.0
    for rows in product(range(len(rollout)), repeat=batch_size):
        total = total + np.prod(probabilities[list(rows)]) * step_of(make_agent(), rollout.take(np.array(rows)))
    return total


def probabilities_of(logits, responses, **options):
    return response_logprobs(log_table(torch.as_tensor(logits), **options), responses).exp().numpy()


@pytest.fixture
def task():
    responses = all_responses()
    return responses, random_scores(responses), random_logits(seed=1)


@pytest.mark.parametrize(
    ("baseline", "batch_size", "share"), [("none", 1, 1.0), ("none", 2, 1.0), ("leave_one_out", 2, 1.0), ("mean", 2, 0.5)]
)
def test_the_mean_step_of_reinforce_is_the_exact_gradient(task, baseline, batch_size, share):
    """A mean that contains the response itself scales it by (n - 1) / n, and does no more."""
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ReinforceConfig(baseline=baseline, kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(logits, responses), batch_size)
    exact = gradient_of(mean_score(responses, scores), logits)
    np.testing.assert_allclose(step, share * exact, atol=1e-12)
    assert np.abs(exact).max() > 0.05


def test_the_mean_step_is_exact_for_scores_of_single_tokens(task):
    responses, _, logits = task
    # What a token earns depends on what stands before it and on itself, as a state's reward does.
    earned = np.random.default_rng(3).normal(size=(responses.num_prefixes, VOCAB_SIZE))
    judgements = [
        Judgement(float(parts.sum()), token_scores=parts)
        for parts in (earned[responses.prefixes[row], responses.tokens[row]][responses.is_action[row]] for row in range(len(responses)))
    ]
    rollout = write_all(responses, judgements, table_policy(logits))
    config = ReinforceConfig(baseline="leave_one_out", kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(logits, responses), 2)
    scores = np.array([judgement.score for judgement in judgements])
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits), atol=1e-12)


def test_the_mean_step_is_exact_where_later_tokens_are_discounted(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ReinforceConfig(discount=0.7, kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(logits, responses), 2)
    discounted = scores * 0.7 ** (responses.lengths - 1)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, discounted), logits), atol=1e-12)


def test_the_mean_step_is_exact_at_another_temperature(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits, temperature=0.5))
    config = ReinforceConfig(kl_weight=0.0, **NO_CLIP)
    weights = probabilities_of(logits, responses, temperature=0.5)
    step = expected_step(lambda: Reinforce(table_policy(logits, temperature=0.5), config), rollout, weights, 2)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores, temperature=0.5), logits), atol=1e-12)


def test_the_mean_step_is_exact_under_masks():
    mask = torch.ones(len(random_logits(1)), VOCAB_SIZE, dtype=torch.bool)
    mask[0, END] = False  # an end token may not come first
    responses = list_responses(VOCAB_SIZE, HORIZON, (END,), allowed=lambda prefix: [True, True, len(prefix) > 0])
    scores, logits = random_scores(responses), random_logits(seed=1)
    rollout = write_all(responses, scores.tolist(), table_policy(logits), min_new_tokens=1)
    config = ReinforceConfig(kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(logits, responses, mask=mask), 2)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores, mask=mask), logits), atol=1e-12)


def kl_of_responses(responses, reference):
    """Return KL(pi || reference) over whole responses, as a function of the logits."""

    def divergence(logits):
        ours, theirs = (response_logprobs(log_table(table), responses) for table in (logits, torch.as_tensor(reference)))
        return (ours.exp() * (ours - theirs)).sum()

    return divergence


def kl_of_visited_prefixes(responses, logits, reference, reverse=False):
    """Return the sum over prefixes of their frozen probability times their divergence, as a function of the logits."""
    weights = torch.zeros(len(reference), dtype=torch.float64)
    for row, probability in enumerate(probabilities_of(logits, responses)):
        weights.index_add_(
            0, torch.as_tensor(responses.prefixes[row][responses.is_action[row]]), torch.tensor(probability).expand(responses.lengths[row])
        )

    def divergence(variable):
        ours, theirs = log_table(variable), log_table(torch.as_tensor(reference))
        first, second = (theirs, ours) if reverse else (ours, theirs)
        return (weights * (first.exp() * (first - second)).sum(1)).sum()

    return divergence


def test_a_penalty_as_reward_gives_the_gradient_of_the_divergence_over_responses(task):
    responses, scores, logits = task
    reference = random_logits(seed=2)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ReinforceConfig(kl_weight=0.3, kl_as="reward", **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits, reference), config), rollout, probabilities_of(logits, responses), 2)
    exact = gradient_of(mean_score(responses, scores), logits) - 0.3 * gradient_of(kl_of_responses(responses, reference), logits)
    np.testing.assert_allclose(step, exact, atol=1e-12)


@pytest.mark.parametrize(("kl_as", "reverse"), [("exact", False), ("k2", False), ("k3", True)])
def test_a_penalty_as_loss_gives_the_gradient_of_the_divergence_at_the_visited_prefixes(task, kl_as, reverse):
    """With k3 it is the divergence of the reference from the policy, not that of the policy from the reference."""
    responses, scores, logits = task
    reference = random_logits(seed=2)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ReinforceConfig(kl_weight=0.3, kl_as=kl_as, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits, reference), config), rollout, probabilities_of(logits, responses))
    penalty = gradient_of(kl_of_visited_prefixes(responses, logits, reference, reverse), logits)
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits) - 0.3 * penalty, atol=1e-12)
    assert np.abs(penalty).max() > 0.05


def test_an_entropy_bonus_gives_the_gradient_of_the_entropy_per_token(task):
    responses, _, logits = task
    rollout = write_all(responses, [0.0] * len(responses), table_policy(logits))
    config = ReinforceConfig(kl_weight=0.0, entropy_weight=0.7, **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(logits, responses))

    def bonus(variable):
        table = log_table(variable)
        entropy = -(table.exp() * table).sum(1)[torch.as_tensor(responses.prefixes)]
        per_response = torch.where(torch.as_tensor(responses.is_action), entropy, 0.0).sum(1) / torch.as_tensor(responses.lengths)
        return 0.7 * (torch.as_tensor(probabilities_of(logits, responses)) * per_response).sum()

    np.testing.assert_allclose(step, gradient_of(bonus, logits), atol=1e-12)


def test_importance_weights_make_up_for_another_sampler():
    """Exact for responses of one token; for longer ones each token is weighed alone."""
    responses = list_responses(VOCAB_SIZE, 1)
    scores, logits, sampler = random_scores(responses), random_logits(seed=1), random_logits(seed=2)
    rollout = write_all(responses, scores.tolist(), table_policy(sampler), horizon=1)
    config = ReinforceConfig(kl_weight=0.0, baseline="none", **NO_CLIP)
    step = expected_step(lambda: Reinforce(table_policy(logits), config), rollout, probabilities_of(sampler, responses))
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits), atol=1e-12)


def values_for(responses, logits, scores):
    """Return the exact values of all prefixes, padded to those of finished responses."""
    known = state_values(responses, log_table(torch.as_tensor(logits)).numpy()[: responses.num_prefixes], scores)
    return np.concatenate([known, np.zeros(len(logits) - len(known))])


def critic_with(logits, values, reference=None):
    policy = table_policy(logits, reference, value_head=True)
    with torch.no_grad():
        policy.values.copy_(torch.as_tensor(values))
    return policy


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_the_mean_step_of_actor_critic_is_exact_with_exact_values(task, mixing):
    responses, scores, logits = task
    values = values_for(responses, logits, scores)
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ActorCriticConfig(mixing=mixing, kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: ActorCritic(critic_with(logits, values), config), rollout, probabilities_of(logits, responses))
    np.testing.assert_allclose(step, gradient_of(mean_score(responses, scores), logits), atol=1e-12)


def test_the_mean_step_of_actor_critic_is_exact_with_any_values_where_whole_returns_count(task):
    responses, scores, logits = task
    reference, values = random_logits(seed=2), np.random.default_rng(5).normal(size=len(logits))
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ActorCriticConfig(mixing=1.0, kl_weight=0.3, **NO_CLIP)
    step = expected_step(lambda: ActorCritic(critic_with(logits, values, reference), config), rollout, probabilities_of(logits, responses))
    exact = gradient_of(mean_score(responses, scores), logits) - 0.3 * gradient_of(kl_of_responses(responses, reference), logits)
    np.testing.assert_allclose(step, exact, atol=1e-12)


def test_wrong_values_bias_the_actor_where_they_are_believed(task):
    """Shows that the tests above could fail."""
    responses, scores, logits = task
    values = np.random.default_rng(5).normal(size=len(logits))
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    config = ActorCriticConfig(mixing=0.0, kl_weight=0.0, **NO_CLIP)
    step = expected_step(lambda: ActorCritic(critic_with(logits, values), config), rollout, probabilities_of(logits, responses))
    assert np.abs(step - gradient_of(mean_score(responses, scores), logits)).max() > 0.1


def tiny_llama(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
        )
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(10)  # so that the distribution is far from uniform
    return model.eval()


def test_the_mean_step_of_a_language_model_is_the_exact_gradient():
    responses = all_responses()
    scores = random_scores(responses)
    model = tiny_llama()
    prompt = torch.tensor(PROMPT).expand(len(responses), -1)
    logits = model(torch.cat([prompt, torch.as_tensor(responses.tokens)], 1)).logits[:, len(PROMPT) - 1 : -1]
    chosen = torch.log_softmax(logits.double(), -1).gather(2, torch.as_tensor(responses.tokens)[..., None]).squeeze(2)
    logprobs = torch.where(torch.as_tensor(responses.is_action), chosen, 0.0).sum(1)
    exact = torch.autograd.grad((logprobs.exp() * torch.as_tensor(scores)).sum(), list(model.parameters()))
    probabilities = logprobs.detach().exp().numpy()
    assert probabilities.sum() == pytest.approx(1.0)

    policy = CausalPolicy(tiny_llama(), device="cpu")
    rollout = with_logprobs(write_all(responses, scores.tolist()), policy)
    agent = Reinforce(policy, ReinforceConfig(baseline="none", kl_weight=0.0, **NO_CLIP))
    start = [parameter.detach().clone() for parameter in policy.parameters()]
    mean_step = [torch.zeros_like(parameter) for parameter in start]
    for row, probability in enumerate(probabilities):
        agent.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
        agent.update(rollout.take(np.array([row])))
        with torch.no_grad():
            for total, parameter, first in zip(mean_step, policy.parameters(), start, strict=True):
                total += probability * (parameter - first)
                parameter.copy_(first)
    policy.updated()
    for ours, theirs in zip(mean_step, exact, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_responses_of_unequal_length_and_prompt_give_the_same_step_in_parts(task):
    """8 x 1 = 1 x 8: what is in memory at a time does not matter."""
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))
    whole, parts = (
        step_of(Reinforce(table_policy(logits, random_logits(2)), ReinforceConfig(rows_per_backward=rows, **NO_CLIP)), rollout)
        for rows in (100, 1)
    )
    np.testing.assert_allclose(whole, parts, atol=1e-15)


def test_more_padding_changes_nothing(task):
    responses, scores, logits = task
    rollout = write_all(responses, scores.tolist(), table_policy(logits))

    def widen(array):
        return np.pad(array, ((0, 0), (0, 2)), constant_values=1 if array is rollout.tokens else 0)

    by_token = ("tokens", "actions", "is_action", "logprobs", "rewards")
    padded = replace(rollout, **{name: widen(getattr(rollout, name)) for name in by_token})
    steps = [step_of(Reinforce(table_policy(logits), ReinforceConfig(**NO_CLIP)), batch) for batch in (rollout, padded)]
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-15)
