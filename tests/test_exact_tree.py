"""Hold the walk over the tree of prefixes to sums over listed responses."""

from __future__ import annotations

import numpy as np
import pytest

from text_env.exact import Tree, action_values, kl_optimum, list_responses, response_logprobs, state_values

SHAPES = [(2, 1, ()), (3, 3, (2,)), (4, 3, (1,)), (4, 4, (3,)), (3, 4, (0, 2)), (3, 2, ())]


def random_table(tree, seed, *front):
    logits = np.random.default_rng(seed).normal(size=(*front, tree.num_prefixes, tree.vocab_size))
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


@pytest.fixture(params=SHAPES, ids=str)
def listed(request):
    vocab_size, horizon, end_ids = request.param
    tree = Tree(vocab_size, horizon, end_ids)
    responses = list_responses(vocab_size, horizon, end_ids)
    scores = np.random.default_rng(0).normal(size=len(responses))
    return tree, responses, scores


def test_the_tree_has_as_many_finished_nodes_as_there_are_responses_and_as_many_states_as_prefixes_of_them(listed):
    tree, responses, _ = listed
    assert tree.is_finished.sum() == len(responses)
    np.testing.assert_array_equal(np.flatnonzero(tree.is_state), np.unique(responses.prefixes[responses.is_action]))
    assert not (tree.is_finished & ~tree.is_reachable).any()
    tokens, lengths = tree.tokens()
    written = {tuple(tokens[node, : lengths[node]]) for node in np.flatnonzero(tree.is_finished)}
    assert written == {responses.ids(number) for number in range(len(responses))}


def test_values_are_those_summed_over_responses(listed):
    tree, responses, scores = listed
    table = random_table(tree, 1)
    values = tree.values(table, tree.place(responses, scores))
    states = np.where(tree.is_state, values.states[: tree.num_prefixes], 0.0)
    np.testing.assert_allclose(states, state_values(responses, table, scores), atol=1e-12)
    np.testing.assert_allclose(values.actions, action_values(responses, table, scores), atol=1e-12)
    assert np.abs(values.states[0]) > 1e-3


def test_the_visits_of_responses_are_their_probabilities(listed):
    tree, responses, _ = listed
    table = random_table(tree, 1)
    visits = tree.visits(table)
    expected = tree.place(responses, np.exp(response_logprobs(responses, table)))
    np.testing.assert_allclose(np.where(tree.is_finished, visits, 0.0), expected, atol=1e-14)
    assert visits[tree.is_finished].sum() == pytest.approx(1.0)
    assert not visits[~tree.is_reachable].any()


def test_the_objective_is_the_mean_score_less_the_penalty_summed_over_responses(listed):
    tree, responses, scores = listed
    ours, reference = random_table(tree, 1), random_table(tree, 2)
    log_ours, log_reference = (response_logprobs(responses, table) for table in (ours, reference))
    kl = np.exp(log_ours) @ (log_ours - log_reference)
    assert tree.divergence(ours, reference) == pytest.approx(kl)
    assert tree.divergence(ours, ours) == 0
    objective = tree.objective(ours, tree.place(responses, scores), 0.3, reference)
    assert objective == pytest.approx(np.exp(log_ours) @ scores - 0.3 * kl)


def test_the_regularised_optimum_is_the_tilted_reference(listed):
    tree, responses, scores = listed
    reference = random_table(tree, 2)
    optimum = tree.kl_optimum(reference, tree.place(responses, scores), 0.3)
    tilted = kl_optimum(response_logprobs(responses, reference), scores, 0.3)
    np.testing.assert_allclose(np.exp(response_logprobs(responses, optimum.logprobs)), tilted, atol=1e-12)
    np.testing.assert_allclose(np.exp(optimum.logprobs[tree.is_state]).sum(-1), 1.0)
    weights = np.exp(response_logprobs(responses, reference) + scores / 0.3)
    assert optimum.values.states[0] == pytest.approx(0.3 * np.log(weights.sum()))


def test_no_policy_near_the_regularised_optimum_is_better(listed):
    tree, responses, scores = listed
    reference, placed = random_table(tree, 2), tree.place(responses, scores)
    best = tree.kl_optimum(reference, placed, 0.3)
    for seed in range(20):
        moved = best.logprobs + 0.05 * np.random.default_rng(seed).normal(size=best.logprobs.shape)
        moved -= np.logaddexp.reduce(moved, axis=-1, keepdims=True)
        assert tree.objective(moved, placed, 0.3, reference) < best.values.states[0]


def test_the_entropy_regularised_optimum_is_better_than_its_neighbours_and_worth_its_log_sum(listed):
    tree, responses, scores = listed
    placed = tree.place(responses, scores)
    best = tree.entropy_optimum(placed, 0.5)
    assert best.values.states[0] == pytest.approx(0.5 * np.log(np.exp(scores / 0.5).sum()))
    for seed in range(20):
        moved = best.logprobs + 0.05 * np.random.default_rng(seed).normal(size=best.logprobs.shape)
        moved -= np.logaddexp.reduce(moved, axis=-1, keepdims=True)
        logprobs = response_logprobs(responses, moved)
        assert np.exp(logprobs) @ (scores - 0.5 * logprobs) < best.values.states[0]


def test_the_best_value_without_a_penalty_is_the_highest_score(listed):
    tree, responses, scores = listed
    best = tree.best(tree.place(responses, scores))
    assert best.states[0] == scores.max()
    np.testing.assert_allclose(
        tree.kl_optimum(random_table(tree, 2), tree.place(responses, scores), 1e-3).values.states[0], scores.max(), atol=0.02
    )


def test_tokens_that_are_not_allowed_are_never_written_and_cost_nothing():
    tree = Tree(3, 3, (2,))
    mask = np.ones((tree.num_prefixes, 3), dtype=bool)
    mask[0, 2] = False
    responses = list_responses(3, 3, (2,), allowed=lambda prefix: [True, True, len(prefix) > 0])
    scores = np.random.default_rng(0).normal(size=len(responses))

    def masked(seed):
        logits = np.where(mask, np.random.default_rng(seed).normal(size=mask.shape), -np.inf)
        return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)

    ours, reference, placed = masked(1), masked(2), tree.place(responses, scores)
    assert tree.objective(ours, placed) == pytest.approx(np.exp(response_logprobs(responses, ours)) @ scores)
    assert np.isfinite(tree.divergence(ours, reference))
    best = tree.kl_optimum(reference, placed, 0.3)
    assert best.logprobs[0, 2] == -np.inf
    assert best.values.states[0] == pytest.approx(0.3 * np.log(np.exp(response_logprobs(responses, reference) + scores / 0.3).sum()))


def test_tables_of_several_prompts_are_walked_at_once():
    tree = Tree(3, 3, (2,))
    scores = np.random.default_rng(0).normal(size=(4, tree.num_nodes))
    ours, reference = random_table(tree, 1, 4), random_table(tree, 2)
    together = tree.objective(ours, scores, 0.3, reference)
    alone = [tree.objective(ours[row], scores[row], 0.3, reference) for row in range(4)]
    np.testing.assert_allclose(together, alone)
    assert tree.objective(ours, scores[0]).shape == tree.kl_optimum(reference, scores, 0.3).values.states[:, 0].shape == (4,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 3), "vocab_size must be at least 2 and horizon at least 1, got 1 and 3"),
        ((3, 0), "vocab_size must be at least 2 and horizon at least 1, got 3 and 0"),
        ((10, 7), "choose a smaller vocabulary or horizon"),
    ],
)
def test_a_tree_without_tokens_or_with_too_many_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tree(*arguments)


def test_a_weight_of_zero_has_no_regularised_optimum():
    tree = Tree(3, 2)
    with pytest.raises(ValueError, match=r"kl_weight must be above 0, got 0: without it the optimum is `best`"):
        tree.kl_optimum(random_table(tree, 1), np.zeros(tree.num_nodes), 0)
    with pytest.raises(ValueError, match="entropy_weight must be above 0, got -1"):
        tree.entropy_optimum(np.zeros(tree.num_nodes), -1)
