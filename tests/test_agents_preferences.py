"""Check the agents that learn from comparisons in a group: online DPO and expert iteration."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from agents import CausalPolicy, ExpertIteration, ExpertIterationConfig, OnlineDPO, OnlineDPOConfig, TabularPolicy, collect, load
from agents.__main__ import main
from agents.learning.preferences import (
    best_rows,
    choose_pairs,
    preference_coefficients,
    preference_labels,
    preference_loss,
    preference_margins,
    told_apart,
)
from tests.exact_task import PROMPT, Table, all_responses, make_env, random_logits, random_scores, table_policy, write_all
from tests.test_agents_learn import LENGTH, SIZE, good_pairs, muted, share_of_optimum
from tests.test_agents_soft_q import soft_optimum
from tests.test_learning_exact import expected_step, log_table, probabilities_of, response_logprobs, step_of, tiny_llama
from tests.tiny_sources import LengthRank
from text_env.exact import list_responses

WEIGHT = 0.3
SCORES = np.array([2.0, 3.0, 1.0, 1.0, 5.0, 5.0, 0.5])
GROUP = np.array([7, 7, 7, 7, 2, 2, 4])


def test_all_pairs_are_those_of_a_group_that_differ_the_better_first():
    pairs, num_ties = choose_pairs(SCORES, GROUP, "all")
    slow = {(i, j) for i, j in product(range(7), repeat=2) if GROUP[i] == GROUP[j] and SCORES[i] > SCORES[j]}
    assert {tuple(pair) for pair in pairs.tolist()} == slow and len(pairs) == len(slow) == 5
    assert num_ties == 2  # rows 2 and 3, rows 4 and 5


def test_best_against_worst_is_one_pair_a_group_the_first_of_each():
    pairs, num_ties = choose_pairs(SCORES, GROUP, "best_worst")
    assert pairs.tolist() == [[1, 2]] and num_ties == 1  # the group of one has no pair to leave out


def test_scores_that_differ_by_rounding_are_a_tie():
    scores = np.array([0.1 + 0.2, 0.3])
    assert scores[0] != scores[1]
    for kind in ("all", "best_worst"):
        assert choose_pairs(scores, np.zeros(2, dtype=int), kind) == (pytest.approx(np.zeros((0, 2))), 1)
    assert not told_apart(scores, np.zeros(2, dtype=int)).any()
    assert told_apart(SCORES, GROUP).tolist() == [True] * 4 + [False] * 3


def test_the_best_of_a_group_is_the_first_of_the_highest():
    assert best_rows(SCORES, GROUP).tolist() == [4, 6, 1]  # of groups 2, 4, 7


def slow_loss(log_ratios, scores, pairs, kind):
    """Return the mean over pairs of the cross entropy between a Bradley-Terry judge of the scores and one of the policy."""
    total = torch.zeros((), dtype=torch.float64)
    for better, worse in pairs:
        label = 1.0 if kind == "hard" else 1 / (1 + np.exp(scores[worse] - scores[better]))
        margin = WEIGHT * (log_ratios[better] - log_ratios[worse])
        total = total - label * torch.log(torch.sigmoid(margin)) - (1 - label) * torch.log(torch.sigmoid(-margin))
    return total / len(pairs)


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.parametrize("kind", ["all", "best_worst"])
def test_the_coefficients_are_the_derivative_of_the_written_out_loss(labels, kind):
    rng = np.random.default_rng(0)
    scores, ratios = rng.normal(size=9), torch.as_tensor(rng.normal(size=9) * 4).requires_grad_()
    pairs, _ = choose_pairs(scores, np.arange(9) // 3, kind)
    loss = slow_loss(ratios, scores, pairs, labels)
    (exact,) = torch.autograd.grad(loss, ratios)
    margins = preference_margins(ratios.detach().numpy(), pairs, WEIGHT)
    wanted = preference_labels(scores, pairs, labels)
    np.testing.assert_allclose(preference_loss(margins, wanted), loss.item(), atol=1e-12)
    np.testing.assert_allclose(preference_coefficients(margins, wanted, pairs, WEIGHT, 9), exact.numpy(), atol=1e-12)
    assert exact.abs().max() > 1e-2


def test_margins_of_any_size_give_finite_numbers():
    margins, pairs = np.array([-1e4, 1e4]), np.array([[0, 1], [1, 0]])
    with np.errstate(over="raise", invalid="raise"):
        assert preference_loss(margins, np.ones(2)) == pytest.approx(5e3)
        assert preference_coefficients(margins, np.ones(2), pairs, 1.0, 2).tolist() == [-0.5, 0.5]
        assert preference_labels(np.array([0.0, -1e4]), pairs[:1], "soft").tolist() == [1.0]


@pytest.mark.parametrize(
    ("call", "value"),
    [(lambda: choose_pairs(SCORES, GROUP, "some"), "some"), (lambda: preference_labels(SCORES, np.zeros((1, 2), int), "fuzzy"), "fuzzy")],
)
def test_a_kind_of_pairs_or_labels_that_does_not_exist_is_refused(call, value):
    with pytest.raises(ValueError, match=f"must be .* or .*, got '{value}'"):
        call()


def together(responses, scores, policy=None, group_size=None, **options):
    """Write every response once, all of them one group unless a size is given."""
    return write_all(responses, scores, policy, group_size=group_size or len(responses), num_envs=len(responses), **options)


@pytest.fixture
def task():
    responses = all_responses()
    return responses, random_scores(responses), random_logits(1), random_logits(2)  # the last is the reference


FREE = {"max_grad_norm": float("inf")}


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_the_mean_step_of_dpo_is_the_gradient_of_the_expected_loss_of_what_the_policy_writes(task, labels):
    """Over all pairs of responses, as likely as the policy writes them; what is written is taken as given."""
    responses, scores, logits, reference = task
    rollout = together(responses, scores.tolist(), table_policy(logits))
    weights = probabilities_of(logits, responses)
    config = OnlineDPOConfig(kl_weight=WEIGHT, labels=labels, **FREE)
    step = expected_step(lambda: OnlineDPO(table_policy(logits, reference), config), rollout, weights, 2)
    variable = torch.as_tensor(logits).clone().requires_grad_()
    ratios = response_logprobs(log_table(variable), responses) - response_logprobs(log_table(torch.as_tensor(reference)), responses)
    loss = torch.zeros((), dtype=torch.float64)
    for one, two in product(range(len(responses)), repeat=2):
        if one != two:
            pair = (one, two) if scores[one] > scores[two] else (two, one)
            loss = loss + weights[one] * weights[two] * slow_loss(ratios, scores, [pair], labels)
    exact = torch.autograd.grad(loss, variable)[0].numpy()
    np.testing.assert_allclose(step, -exact, atol=1e-12)
    assert np.abs(exact).max() > 0.01


@pytest.mark.parametrize("pairs", ["all", "best_worst"])
def test_with_soft_labels_dpo_rests_at_the_regularised_optimum_whoever_wrote_and_elsewhere_it_does_not(task, pairs):
    responses, scores, logits, reference = task
    optimum, _ = soft_optimum(responses, reference, scores, WEIGHT)
    rollout = together(responses, scores.tolist(), table_policy(logits), group_size=5)

    def norm(table, **options):
        agent = OnlineDPO(table_policy(table, reference), OnlineDPOConfig(**{"kl_weight": WEIGHT, "pairs": pairs, **FREE, **options}))
        return agent.update(rollout)["grad_norm"]

    assert norm(optimum) == pytest.approx(0, abs=1e-12)
    assert norm(logits) > 1e-3 and norm(optimum + 0.1 * random_logits(3)) > 1e-3
    assert norm(optimum, kl_weight=0.5 * WEIGHT) > 1e-3
    assert norm(optimum, labels="hard") > 1e-3


def learn(agent, num_updates, **options):
    responses = list_responses(SIZE, LENGTH, end_ids=(SIZE - 1,))
    source = Table({responses.ids(number): good_pairs(responses.ids(number)) for number in range(len(responses))})
    env = make_env(source, num_envs=64, vocab_size=SIZE, horizon=LENGTH, end=SIZE - 1, group_size=8)
    scores = [agent.update(collect(env, agent, 128, seed=update))["score"] for update in range(num_updates)]
    return scores, share_of_optimum(agent.policy, responses, responses.scores(good_pairs), 0.2)


def test_dpo_reaches_the_regularised_optimum():
    policy = TabularPolicy(SIZE, LENGTH, prompts=[PROMPT])
    agent = OnlineDPO(policy, OnlineDPOConfig(learning_rate=0.1, kl_weight=0.2, rows_per_backward=256))
    assert learn(agent, 60)[1] > 0.97


def test_expert_iteration_raises_the_score_and_with_a_penalty_comes_to_the_regularised_optimum():
    free, charged = (
        ExpertIteration(
            TabularPolicy(SIZE, LENGTH, prompts=[PROMPT]),
            ExpertIterationConfig(learning_rate=0.1, kl_weight=weight, rows_per_backward=256),
        )
        for weight in (0.0, 0.2)
    )
    scores, share = learn(free, 30)
    assert scores[-1] > scores[0] + 1.5 and share < 0.9  # the best responses alone, whatever that costs in divergence
    assert learn(charged, 50)[1] > 0.97


def test_expert_iteration_rests_at_the_regularised_optimum_of_its_penalty_alone(task):
    """There all responses are worth kl_weight * log Z, so none is the best."""
    responses, scores, logits, reference = task
    optimum, _ = soft_optimum(responses, reference, scores, WEIGHT)

    def step(table, kl_weight):
        rollout = together(responses, scores.tolist(), table_policy(table), group_size=5)
        return step_of(ExpertIteration(table_policy(table, reference), ExpertIterationConfig(kl_weight=kl_weight, **FREE)), rollout)

    assert not step(optimum, WEIGHT).any()
    for table, kl_weight in ((logits, WEIGHT), (optimum, 0.0), (optimum, 0.5 * WEIGHT)):
        assert np.abs(step(table, kl_weight)).max() > 0.1


@pytest.mark.parametrize("size", [2, 3])
def test_the_mean_step_of_expert_iteration_is_towards_the_best_of_n(size):
    """P(y is the best of n) = F(y)^n - F'(y)^n with F(y) the probability of scoring at most as y does, F'(y) of less.

    Groups of n times y, whose scores are equal, are left out.
    """
    responses = list_responses(3, 2, end_ids=(2,))
    scores, logits = random_scores(responses), random_logits(1)
    rollout = together(responses, scores.tolist(), table_policy(logits), horizon=2)
    weights = probabilities_of(logits, responses)
    agent = ExpertIteration(table_policy(logits), ExpertIterationConfig(kl_weight=0.0, epochs=1, **FREE))
    step = expected_step(lambda: ExpertIteration(table_policy(logits), agent.config), rollout, weights, size)
    is_best = [weights[scores <= score].sum() ** size - weights[scores < score].sum() ** size for score in scores]
    assert sum(is_best) == pytest.approx(1)
    variable = torch.as_tensor(logits).clone().requires_grad_()
    likelihood = (torch.as_tensor(np.array(is_best) - weights**size) * response_logprobs(log_table(variable), responses)).sum()
    exact = torch.autograd.grad(likelihood, variable)[0].numpy()
    np.testing.assert_allclose(step, exact, atol=1e-12)
    assert np.abs(exact).max() > 0.05


def test_expert_iteration_imitates_the_best_after_the_penalty_for_drift(task):
    responses, scores, logits, reference = task
    rollout = together(responses, scores.tolist(), table_policy(logits), group_size=5)
    drift = probabilities_of(logits, responses) / probabilities_of(reference, responses)
    for weight in (0.0, 1.0):
        best = [rows[np.argmax((scores - weight * np.log(drift))[rows])] for rows in np.arange(15).reshape(3, 5)]
        agent = ExpertIteration(table_policy(logits, reference), ExpertIterationConfig(kl_weight=weight, epochs=1, **FREE))
        variable = torch.as_tensor(logits).clone().requires_grad_()
        exact = torch.autograd.grad(response_logprobs(log_table(variable), responses)[best].mean(), variable)[0].numpy()
        np.testing.assert_allclose(step_of(agent, rollout), exact, atol=1e-12)
        metrics = ExpertIteration(table_policy(logits, reference), agent.config).update(rollout)
        assert metrics["score_imitated"] == pytest.approx(scores[best].mean()) and metrics["num_imitated"] == 3
        assert metrics["kl_nats_per_response"] == pytest.approx(np.log(drift).mean())  # over all, not over the best
    assert not np.array_equal(best, [rows[np.argmax(scores[rows])] for rows in np.arange(15).reshape(3, 5)])


def test_several_epochs_are_several_steps_on_the_same_responses(task):
    responses, scores, logits, _ = task
    rollout = together(responses, scores.tolist(), table_policy(logits), group_size=5)
    for make, config in ((ExpertIteration, ExpertIterationConfig), (OnlineDPO, OnlineDPOConfig)):
        once, twice = (make(table_policy(logits), config(epochs=epochs, learning_rate=0.1)) for epochs in (1, 2))
        first, both = once.update(rollout), twice.update(rollout)
        assert first["loss"] == both["loss"]
        once.update(rollout)
        torch.testing.assert_close(once.policy.logits, twice.policy.logits, rtol=0, atol=1e-12)


AGENTS = {
    "dpo": lambda **options: OnlineDPO(table_policy(random_logits(1), random_logits(2)), OnlineDPOConfig(**{**FREE, **options})),
    "expert iteration": lambda **options: ExpertIteration(
        table_policy(random_logits(1), random_logits(2)), ExpertIterationConfig(**{"epochs": 1, "kl_weight": 0.0, **FREE, **options})
    ),
}


@pytest.fixture
def rollout(task):
    responses, scores, logits, _ = task
    return together(responses, scores.tolist(), table_policy(logits), group_size=5)


@pytest.mark.parametrize("kind", AGENTS)
def test_an_abstention_is_compared_with_nothing(kind, rollout):
    silent = [1, 4, 7, 8, 9, 5]
    kept = rollout.take(np.setdiff1d(np.arange(len(rollout)), silent))
    with_silence, without = step_of(AGENTS[kind](), muted(rollout, silent)), step_of(AGENTS[kind](), kept)
    np.testing.assert_allclose(with_silence, without, atol=1e-15)
    assert np.abs(without).max() > 1e-3


@pytest.mark.parametrize("kind", AGENTS)
def test_a_group_whose_scores_are_equal_is_left_out(kind, rollout):
    """With equal scores in the first of three groups, the step is that of the other two."""
    equal = np.where(np.arange(15) < 5, 2.0, rollout.scores)
    rewards = rollout.rewards.copy()
    rewards[np.arange(15), rollout.lengths - 1] = equal
    tied = replace(rollout, scores=equal, rewards=rewards)
    others = tied.take(np.arange(5, 15))
    np.testing.assert_allclose(step_of(AGENTS[kind](), tied), step_of(AGENTS[kind](), others), atol=1e-15)
    metrics = AGENTS[kind]().update(tied)
    assert metrics.get("num_imitated", 2) == 2 and metrics.get("num_pairs", 20) == 20 and metrics.get("share_ties", 1 / 3) == 1 / 3


@pytest.mark.parametrize("kind", AGENTS)
def test_without_two_scores_that_differ_nothing_changes_and_it_is_counted(kind, rollout):
    agent = AGENTS[kind]()
    before = agent.policy.logits.detach().clone()
    for batch in (muted(rollout, np.arange(15)), muted(rollout, np.setdiff1d(np.arange(15), [0, 6, 12]))):
        metrics = agent.update(batch)
        assert metrics["skipped"] == 1 and metrics.get("num_pairs", 0) == metrics.get("num_imitated", 0) == 0
    assert torch.equal(agent.policy.logits, before) and agent.policy.version == 0
    assert metrics["score"] == pytest.approx(rollout.scores[[0, 6, 12]].mean())


@pytest.mark.parametrize("make", [OnlineDPO, ExpertIteration])
def test_a_language_model_is_not_asked_about_nothing(make, rollout):
    policy = CausalPolicy(tiny_llama(), device="cpu")
    assert make(policy).update(muted(rollout, np.arange(15)))["skipped"] == 1 and policy.version == 0


@pytest.mark.parametrize("kind", AGENTS)
def test_responses_that_share_no_prompt_are_refused_with_what_to_type(kind, rollout):
    with pytest.raises(ValueError, match="each is alone: make the environment with group_size=2 or more"):
        AGENTS[kind]().update(replace(rollout, group=np.arange(15)))


@pytest.mark.parametrize("kind", AGENTS)
def test_parts_in_memory_and_padding_change_nothing(kind, rollout):
    padded = replace(
        rollout,
        **{
            name: np.pad(getattr(rollout, name), ((0, 0), (0, 2)), constant_values=1 if name == "tokens" else 0)
            for name in ("tokens", "actions", "is_action", "logprobs", "rewards")
        },
    )
    whole, parts = step_of(AGENTS[kind](rows_per_backward=100), rollout), step_of(AGENTS[kind](rows_per_backward=1), padded)
    np.testing.assert_allclose(whole, parts, atol=1e-15)


@pytest.mark.parametrize("kind", AGENTS)
def test_at_the_first_step_ratios_are_one_and_the_divergence_is_zero_and_later_they_are_not(kind, rollout):
    agent = AGENTS[kind](learning_rate=0.1)
    agent.policy.reference = agent.policy.logits.detach().clone()
    first, second = agent.update(rollout), agent.update(rollout)
    assert first["ratio_max"] == 1 and first["kl_nats_per_response"] == pytest.approx(0, abs=1e-12)
    assert second["ratio_max"] > 1 and second["loss"] < first["loss"]


def test_dpo_counts_the_pairs_whose_order_it_has_learned(task, rollout):
    responses, scores, _, reference = task
    optimum, _ = soft_optimum(responses, reference, scores, WEIGHT)
    unmoved, learned = (
        OnlineDPO(table_policy(table, reference), OnlineDPOConfig(kl_weight=WEIGHT)).update(rollout) for table in (reference, optimum)
    )
    assert unmoved["share_ordered"] == 0 and unmoved["loss"] == pytest.approx(np.log(2))
    assert learned["share_ordered"] == 1 and learned["num_pairs"] == 30


@pytest.mark.parametrize("make", [OnlineDPO, ExpertIteration])
def test_a_source_that_ranks_the_responses_of_a_batch_teaches_a_language_model(make):
    policy = CausalPolicy(tiny_llama(), device="cpu")
    config = OnlineDPOConfig(learning_rate=0.02) if make is OnlineDPO else ExpertIterationConfig(learning_rate=0.02)
    agent = make(policy, config)
    env = make_env(LengthRank(), num_envs=32, group_size=4, scoring="deferred")
    lengths = [agent.update(collect(env, agent, 32, seed=update))["tokens_per_response"] for update in range(15)]
    assert lengths[0] < 2.5 < 2.9 < np.mean(lengths[-3:])  # of at most three tokens


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AGENTS["dpo"](kl_weight=0.0), "kl_weight must be above 0, got 0.0"),
        (lambda: AGENTS["dpo"](epochs=0), "epochs must be at least 1, got 0"),
        (lambda: ExpertIteration(table_policy(None), ExpertIterationConfig(epochs=0)), "epochs must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
@pytest.mark.parametrize("name", ["soft_q:SoftQ", "online_dpo:OnlineDPO", "expert_iteration:ExpertIteration"])
def test_the_command_trains_and_what_it_leaves_is_loaded(name, tmp_path):
    small = ["--model", "tinylm", "--id", "TextGen-v0", "--max-new-tokens", "4", "--num-envs", "8", "--device", "cpu", "--group-size", "2"]
    few = ["--num-updates", "2", "--episodes-per-update", "8", "--evaluation-episodes", "0", "--kl-weight", "0.2"]
    assert main(["train", "--agent", f"agents.{name}", *small, *few, "--folder", str(tmp_path / "run")]) == 0
    again = load(tmp_path / "run/checkpoints/last", device="cpu")
    assert type(again).__name__ == name.partition(":")[2] and again.config.kl_weight == 0.2 and again.policy.version == 2
