"""Check soft Q-learning: its equations against slow ones, its optimum against the exact one, its exploration, its memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import CausalPolicy, SoftQ, SoftQConfig, TabularPolicy, collect, train
from agents.learning.path_consistency import path_consistency_loss, path_targets
from agents.learning.step import Batch
from agents.policy.sampling import mix_with_uniform
from tests.exact_task import END, HORIZON, PROMPT, VOCAB_SIZE, Table, all_responses, make_env, random_logits, random_scores, write_all
from tests.test_agents_learn import LENGTH, SIZE, good_pairs, muted, share_of_optimum
from tests.test_learning_exact import log_table, tiny_llama
from tests.test_learning_train import numbers
from tests.tiny_sources import Length
from text_env.exact import list_responses

WEIGHT = 0.3  # score per nat
FREE = {"max_grad_norm": float("inf")}


def slow_targets(rewards, log_ratios, values, is_action, bootstrap, kl_weight, mixing):
    """Return the weighted mean over k of: what the next k tokens earned less their cost, and the value after them."""
    targets = np.zeros_like(rewards)
    for row in range(len(rewards)):
        own = np.flatnonzero(is_action[row])
        earned = (rewards - kl_weight * log_ratios)[row, own]
        after = np.append(values[row, own], bootstrap[row])  # after[k] is the value before own token k
        for place, column in enumerate(own):
            left = len(own) - place
            for steps in range(1, left + 1):
                weight = mixing ** (steps - 1) * ((1 - mixing) if steps < left else 1.0)
                targets[row, column] += weight * (earned[place : place + steps].sum() + after[place + steps])
    return targets


@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_a_target_is_the_weighted_mean_of_paths_of_every_length(mixing):
    rng = np.random.default_rng(0)
    is_action = rng.random((6, 5)) < 0.7
    is_action[0] = True
    arrays = [np.where(is_action, rng.normal(size=(6, 5)), 0.0) for _ in range(3)]
    bootstrap = rng.normal(size=6)
    tensors = [torch.as_tensor(array) for array in (*arrays, is_action, bootstrap)]
    targets = path_targets(*tensors, kl_weight=0.7, mixing=mixing)
    np.testing.assert_allclose(targets.numpy(), slow_targets(*arrays, is_action, bootstrap, 0.7, mixing), atol=1e-12)


def test_gradient_reaches_the_policy_from_every_later_token_and_the_values_not_at_all():
    log_ratios = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    zeros, everywhere = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.bool)
    path_targets(zeros, log_ratios, zeros, everywhere, torch.zeros(1, dtype=torch.float64), 0.5).sum().backward()
    np.testing.assert_allclose(log_ratios.grad.numpy(), [[-0.5, -1.0, -1.5]])  # token t is part of the paths from 0 .. t
    with pytest.raises(AssertionError, match="values must carry no gradient"):
        path_targets(zeros, zeros, log_ratios, everywhere, torch.zeros(1), 0.5)


def test_the_loss_is_half_the_mean_square_over_the_tokens_that_count():
    values, targets = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 100.0]])
    assert path_consistency_loss(values, targets, torch.tensor([[True, False]]), 4) == pytest.approx(0.5 * (3 - 1) ** 2 / 4)


def soft_optimum(responses, reference_logits, scores, kl_weight, mask=None):
    """Return log pi* [num_prefixes, V] and V* [num_prefixes] by summing reference * exp(score / kl_weight) over what passes each place.

    The weight of a prefix is the sum over responses through it; pi*(a | s) = weight(s, a) / weight(s), and
    V*(s) = kl_weight * log of (weight(s) / the reference's probability of s).
    """
    table = log_table(torch.as_tensor(reference_logits), mask=mask).numpy()
    by_token, by_prefix, reached = np.zeros_like(table), np.zeros(len(table)), np.zeros(len(table))
    for row in range(len(responses)):
        steps = [(responses.prefixes[row, t], responses.tokens[row, t]) for t in range(responses.lengths[row])]
        probability = np.exp(sum(table[step] for step in steps))
        weight = probability * np.exp(scores[row] / kl_weight)
        for prefix, token in steps:
            by_token[prefix, token] += weight
            by_prefix[prefix] += weight
            reached[prefix] += probability
    passed = by_prefix > 0
    logprobs, values = np.zeros_like(table), np.zeros(len(table))
    logprobs[passed] = np.log(np.maximum(by_token[passed], 1e-300) / by_prefix[passed, None])
    values[passed] = kl_weight * np.log(by_prefix[passed] / reached[passed])
    return logprobs, values


def policy_of(logits, values=None, reference=None, **options):
    policy = TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT], logits=logits, value_head=True, **options)
    with torch.no_grad():
        if values is not None:
            policy.values.copy_(torch.as_tensor(values))
        if reference is not None:
            policy.reference = torch.as_tensor(reference, dtype=torch.float64)
    return policy


@pytest.fixture
def task():
    responses = all_responses()
    return responses, random_scores(responses), random_logits(2)  # the last is the reference


@pytest.fixture
def rollout(task):
    responses, scores, _ = task
    return write_all(responses, scores.tolist(), policy_of(random_logits(1)))


def consistency(policy, rollout, mixing):
    agent = SoftQ(policy, SoftQConfig(kl_weight=WEIGHT, mixing=mixing))
    return float(agent.loss(Batch.of(policy, rollout, 0.0, 16))[0].detach())


@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_the_regularised_optimum_and_its_values_are_consistent_on_every_path_and_nothing_near_them_is(task, rollout, mixing):
    responses, scores, reference = task
    logprobs, values = soft_optimum(responses, reference, scores, WEIGHT)
    assert consistency(policy_of(logprobs, values, reference), rollout, mixing) == pytest.approx(0, abs=1e-20)
    assert consistency(policy_of(logprobs + 0.1 * random_logits(3), values, reference), rollout, mixing) > 1e-5
    assert consistency(policy_of(logprobs, values + 0.1, reference), rollout, mixing) > 1e-5
    assert consistency(policy_of(logprobs, values), rollout, mixing) > 1e-5  # with another reference


def test_under_masks_the_optimum_is_that_of_the_masked_reference():
    mask = torch.ones(len(random_logits(2)), VOCAB_SIZE, dtype=torch.bool)
    mask[0, END] = False  # an end token may not come first
    responses = list_responses(VOCAB_SIZE, HORIZON, (END,), allowed=lambda prefix: [True, True, len(prefix) > 0])
    scores, reference = random_scores(responses), random_logits(2)
    rollout = write_all(responses, scores.tolist(), min_new_tokens=1)
    masked, unmasked = (soft_optimum(responses, reference, scores, WEIGHT, each) for each in (mask, None))
    masked[0][0, END] = 3.0  # what the policy thinks of a token that it may not choose does not matter
    assert consistency(policy_of(*masked, reference), rollout, 1.0) == pytest.approx(0, abs=1e-20)
    assert consistency(policy_of(*unmasked, reference), replace(rollout, masks=None), 1.0) > 1e-5


def written_out_loss(responses, scores, reference, logits, values):
    """Return the mean over all prefixes of all responses, each counted once a response, of half the squared inconsistency."""
    table, other = log_table(logits), log_table(torch.as_tensor(reference))
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in range(len(responses)):
        steps = [(int(responses.prefixes[row, t]), int(responses.tokens[row, t])) for t in range(responses.lengths[row])]
        for place, (prefix, _) in enumerate(steps):
            cost = sum(WEIGHT * (table[step] - other[step]) for step in steps[place:])
            total = total + 0.5 * (values[prefix] - (scores[row] - cost)) ** 2
            count += 1
    return total / count


def test_a_step_follows_the_gradient_of_the_written_out_loss_for_policy_and_values(task, rollout):
    responses, scores, reference = task
    logits, values = torch.as_tensor(random_logits(1)), torch.as_tensor(np.random.default_rng(5).normal(size=len(reference)))
    exact = torch.autograd.grad(
        written_out_loss(responses, scores, reference, logits.requires_grad_(), values.requires_grad_()), [logits, values]
    )
    agent = SoftQ(policy_of(logits.detach(), values.detach(), reference), SoftQConfig(kl_weight=WEIGHT, rows_per_backward=4, **FREE))
    agent.optimizer = torch.optim.SGD([agent.policy.logits, agent.policy.values], lr=1.0)
    agent.update(rollout)
    np.testing.assert_allclose((agent.policy.logits - logits).detach(), -exact[0], atol=1e-12)
    np.testing.assert_allclose((agent.policy.values - values).detach(), -exact[1], atol=1e-12)
    assert min(float(part.abs().max()) for part in exact) > 0.03


WAYS = {  # updates, and settings
    "as it likes": (40, {}),
    "every token uniform": (80, {"epsilon": 1.0}),
    "half paths, half one step": (60, {"mixing": 0.5}),
    "one step": (40, {"mixing": 0.0}),
}


@pytest.mark.parametrize("way", [pytest.param(way, marks=[pytest.mark.slow] if way.startswith("half") else []) for way in WAYS])
def test_soft_q_learning_reaches_the_exact_optimum_whoever_chose_the_tokens(way):
    num_updates, more = WAYS[way]
    responses = list_responses(SIZE, LENGTH, end_ids=(SIZE - 1,))
    source = Table({responses.ids(number): good_pairs(responses.ids(number)) for number in range(len(responses))})
    env = make_env(source, num_envs=64, vocab_size=SIZE, horizon=LENGTH, end=SIZE - 1)
    policy = TabularPolicy(SIZE, LENGTH, prompts=[PROMPT], logits=0.5 * random_logits(4, SIZE, LENGTH), value_head=True)
    options = {"learning_rate": 0.1, "critic_learning_rate": 0.1, "kl_weight": 0.2, "rows_per_backward": 256, **more}
    agent = SoftQ(policy, SoftQConfig(**options))
    for update in range(num_updates):
        agent.update(collect(env, agent, 128, seed=update))
    assert share_of_optimum(policy, responses, responses.scores(good_pairs), 0.2) > 0.97


def mixture(logprobs, epsilon, num_allowed):
    return np.log((1 - epsilon) * np.exp(logprobs) + epsilon / num_allowed)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_uniform_tokens_are_mixed_in_and_the_logprobs_are_those_of_the_mixture(epsilon):
    logits = np.array([[2.0, -1.0, 0.0]])
    expected = mixture(torch.log_softmax(torch.as_tensor(logits), -1).numpy(), epsilon, 3)
    np.testing.assert_allclose(mix_with_uniform(torch.as_tensor(logits), epsilon).numpy(), expected, atol=1e-12)
    masked = mix_with_uniform(torch.tensor([[2.0, -torch.inf, 0.0]]), epsilon).exp()
    assert masked[0, 1] == 0 and masked[0, 2] == pytest.approx((1 - epsilon) / (1 + np.exp(2)) + epsilon / 2)
    greedy = mix_with_uniform(torch.as_tensor(logits), epsilon, is_greedy=True).exp()
    np.testing.assert_allclose(greedy.numpy(), [[1 - epsilon + epsilon / 3, epsilon / 3, epsilon / 3]], atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"min_new_tokens": 2}])
@pytest.mark.parametrize("kind", ["table", "language model"])
def test_what_is_written_and_reported_is_the_mixture_that_the_learner_computes_from_the_tokens(kind, options):
    """After the first uniform token a cache that was fed the policy's own choice would give other log-probabilities."""
    epsilon, allowed = 0.5, np.full(HORIZON, VOCAB_SIZE)
    allowed[: options.get("min_new_tokens", 0)] -= 1  # without the end token
    policy = policy_of(2 * random_logits(1)) if kind == "table" else CausalPolicy(tiny_llama(), device="cpu", value_head=True)
    agent = SoftQ(policy, SoftQConfig(epsilon=epsilon))
    rollout = collect(make_env(Length(), num_envs=16, **options), agent, 200, seed=0)
    with torch.no_grad():
        now = policy.evaluate(rollout.tokens, rollout.prompt_lengths, rollout.is_action, rollout.masks)
    counts = np.broadcast_to(allowed, rollout.is_action.shape)[rollout.is_action]
    own = now.logprobs.numpy()[rollout.is_action]
    np.testing.assert_allclose(rollout.logprobs[rollout.is_action], mixture(own, epsilon, counts), atol=2e-5)
    assert np.abs(rollout.logprobs[rollout.is_action] - own).max() > 0.1
    ends_early = (rollout.actions == END) & rollout.is_action & (np.arange(rollout.is_action.shape[1]) < options.get("min_new_tokens", 0))
    assert not ends_early.any()


def test_tokens_come_as_often_as_the_mixture_says():
    policy = policy_of(np.tile([3.0, 0.0, -9.0], (len(random_logits(1)), 1)))
    agent = SoftQ(policy, SoftQConfig(epsilon=0.3))
    rollout = collect(make_env(Length(), num_envs=50, horizon=1), agent, 3000, seed=0)
    expected = np.exp(mixture(np.log([np.exp(3), 1, np.exp(-9)] / np.sum([np.exp(3), 1, np.exp(-9)])), 0.3, 3)) * 3000
    assert (np.abs(np.bincount(rollout.actions[:, 0], minlength=3) - expected) < 4 * np.sqrt(expected)).all()


def agent_of(**options):
    policy = policy_of(random_logits(1), np.random.default_rng(5).normal(size=len(random_logits(1))), random_logits(2))
    return SoftQ(policy, SoftQConfig(**{**FREE, "kl_weight": WEIGHT, **options}))


def step_of(agent, rollout):
    before = [part.detach().clone() for part in (agent.policy.logits, agent.policy.values)]
    agent.optimizer = torch.optim.SGD([agent.policy.logits, agent.policy.values], lr=1.0)
    agent.update(rollout)
    return [(now.detach() - old).numpy() for now, old in zip((agent.policy.logits, agent.policy.values), before, strict=True)]


def same_step(one, two):
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-15)
        assert np.abs(first).max() > 1e-3


def test_an_abstention_is_left_out_and_one_response_is_enough(rollout):
    silent = [1, 4, 7]
    kept = rollout.take(np.setdiff1d(np.arange(len(rollout)), silent))
    same_step(step_of(agent_of(), muted(rollout, silent)), step_of(agent_of(), kept))
    assert all(np.isfinite(list(agent_of().update(rollout.take(np.array([0]))).values())))


def test_a_rollout_without_any_score_changes_nothing_and_is_counted(rollout):
    agent = agent_of()
    before = agent.policy.logits.detach().clone()
    metrics = agent.update(muted(rollout, np.arange(len(rollout))))
    assert metrics["skipped"] == 1 and "score" not in metrics and not agent.replay
    assert torch.equal(agent.policy.logits, before)


@pytest.mark.parametrize("mixing", [0.5, 1.0])
def test_a_path_that_was_cut_from_outside_ends_in_the_value_expected_there(rollout, mixing):
    first = np.arange(len(rollout)) == 0
    cut = replace(muted(rollout, [0]), is_truncated=first, bootstrap=np.where(first, 3.0, 0.0))
    paid = rollout.rewards.copy()
    paid[0, rollout.lengths[0] - 1] = 3.0
    same_step(step_of(agent_of(mixing=mixing), cut), step_of(agent_of(mixing=mixing), replace(rollout, rewards=paid)))


def test_parts_in_memory_and_padding_change_nothing(rollout):
    padded = replace(
        rollout,
        **{
            name: np.pad(getattr(rollout, name), ((0, 0), (0, 2)), constant_values=1 if name == "tokens" else 0)
            for name in ("tokens", "actions", "is_action", "logprobs", "rewards")
        },
    )
    same_step(step_of(agent_of(rows_per_backward=100), rollout), step_of(agent_of(rows_per_backward=1), padded))


def test_at_the_first_step_ratios_are_one_and_later_they_are_not(rollout):
    agent = SoftQ(policy_of(random_logits(1)), SoftQConfig(learning_rate=0.1))
    metrics = agent.update(rollout)
    assert metrics["ratio_max"] == 1 and metrics["kl_nats_per_response"] == 0
    assert agent.update(rollout)["ratio_max"] > 1 and agent.policy.version == 2


def test_each_earlier_rollout_is_learned_from_by_the_present_policy(rollout):
    """One update on a rollout, with the same rollout in the buffer, is two updates without a buffer."""
    once, twice = agent_of(replay_rollouts=1), agent_of(replay_rollouts=0)
    once.replay.append(Batch.of(once.policy, rollout, 0.0, 16))
    other = rollout.take(np.array([2, 3, 9]))
    metrics = once.update(other)
    alone = [twice.update(batch) for batch in (other, rollout)]
    torch.testing.assert_close(once.policy.logits, twice.policy.logits, rtol=0, atol=1e-12)
    assert metrics["loss"] == alone[0]["loss"] and metrics["replay_loss"] == pytest.approx(alone[1]["loss"])
    assert len(once.replay) == 1 and len(twice.replay) == 0 and once.replay[0].rollout.episodes == (None,) * 3


def test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted(tmp_path):
    def run(folder, num_updates, resume=False):
        policy = CausalPolicy(tiny_llama(), device="cpu", value_head=True)
        agent = SoftQ(policy, SoftQConfig(learning_rate=0.02, critic_learning_rate=0.02, epsilon=0.2, replay_rollouts=2))
        return train(make_env(Length()), agent, num_updates, 8, folder=tmp_path / folder, resume=resume, show=False, seed=3)

    whole = run("whole", 5)
    first, second = run("parts", 3), run("parts", 5, resume=True)
    assert numbers(first.metrics + second.metrics) == numbers(whole.metrics)
    assert "replay_loss" in whole.metrics[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_weight": 0.0}, "kl_weight must be above 0, got 0.0"),
        ({"epsilon": 1.5}, "epsilon is a share of tokens between 0 and 1, got 1.5"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**options)


def test_soft_q_learning_needs_values():
    with pytest.raises(ValueError, match="make it with value_head=True"):
        SoftQ(TabularPolicy(VOCAB_SIZE, HORIZON, prompts=[PROMPT]))
