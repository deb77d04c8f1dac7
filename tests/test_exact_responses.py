"""Check the list of all responses, and what is computed from it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from text_env.exact import action_values, kl_optimum, list_responses, prefix_numbers, response_logprobs, state_values


def random_table(num_prefixes, vocab_size, seed=0):
    logits = np.random.default_rng(seed).normal(size=(num_prefixes, vocab_size))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


@pytest.mark.parametrize(("vocab_size", "horizon"), [(2, 1), (3, 3), (5, 4)])
def test_every_response_is_listed_once(vocab_size, horizon):
    end = vocab_size - 1
    responses = list_responses(vocab_size, horizon, end_ids=(end,))
    listed = [responses.ids(number) for number in range(len(responses))]
    assert len(set(listed)) == len(listed) == sum((vocab_size - 1) ** length for length in range(horizon + 1))
    assert listed == sorted(listed)
    whole = {text[: text.index(end) + 1] if end in text else text for text in product(range(vocab_size), repeat=horizon)}
    assert set(listed) == whole


def test_without_end_tokens_all_responses_have_the_same_length():
    responses = list_responses(3, 4)
    assert len(responses) == 3**4 and (responses.lengths == 4).all()


def test_only_allowed_tokens_are_listed():
    responses = list_responses(3, 3, end_ids=(2,), allowed=lambda prefix: [True, False, len(prefix) > 1])
    assert [responses.ids(number) for number in range(len(responses))] == [(0, 0, 0), (0, 0, 2)]


def test_prefixes_have_different_numbers_without_gaps():
    tokens = np.array(list(product(range(3), repeat=3)))
    numbers = prefix_numbers(tokens, 3)
    by_prefix = {
        tuple(row[:length].tolist()): int(number[length]) for row, number in zip(tokens, numbers, strict=True) for length in range(4)
    }
    assert sorted(by_prefix.values()) == list(range(1 + 3 + 9 + 27))
    assert by_prefix[()] == 0 and by_prefix[(2,)] == 3 and by_prefix[(1, 0)] == 1 + 2 * 3
    assert list_responses(3, 3).num_prefixes == 1 + 3 + 9


def test_the_probabilities_of_all_responses_sum_to_one():
    responses = list_responses(4, 3, end_ids=(3,))
    logprobs = response_logprobs(responses, random_table(responses.num_prefixes, 4))
    assert np.exp(logprobs).sum() == pytest.approx(1)


def test_values_are_expectations_over_what_may_still_be_written():
    responses = list_responses(3, 3, end_ids=(2,))
    table = random_table(responses.num_prefixes, 3)
    scores = np.random.default_rng(1).normal(size=len(responses))
    score_of = {responses.ids(number): scores[number] for number in range(len(responses))}

    def value(prefix):
        """Return the value of a prefix by recursion over its continuations."""
        if prefix in score_of:
            return score_of[prefix]
        row = table[prefix_numbers(np.array([prefix], dtype=np.int64).reshape(1, -1), 3)[0, -1]]
        return sum(np.exp(row[token]) * value((*prefix, token)) for token in range(3))

    values, quality = state_values(responses, table, scores), action_values(responses, table, scores)
    assert values[0] == pytest.approx(value(()))
    assert values[0] == pytest.approx(np.exp(response_logprobs(responses, table)) @ scores)
    assert values[1 + 1] == pytest.approx(value((1,)))
    assert quality[1 + 0, 1] == pytest.approx(value((0, 1)))
    assert quality[1 + 0, 2] == pytest.approx(score_of[(0, 2)])
    assert values[1 + 2] == 0  # nothing follows an end token


def test_no_distribution_beats_the_regularised_optimum():
    rng = np.random.default_rng(0)
    scores, reference = rng.normal(size=10), np.log(rng.dirichlet(np.ones(10)))

    def objective(probabilities):
        return probabilities @ (scores - 0.3 * (np.log(probabilities) - reference))

    best = kl_optimum(reference, scores, 0.3)
    assert best.sum() == pytest.approx(1)
    assert objective(best) == pytest.approx(0.3 * np.log(np.exp(reference + scores / 0.3).sum()))
    others = [best * np.exp(0.1 * rng.normal(size=10)) for _ in range(100)] + [np.exp(reference)]
    assert all(objective(other / other.sum()) < objective(best) for other in others)


def test_scores_far_from_zero_do_not_overflow():
    assert np.isfinite(kl_optimum(np.log([0.5, 0.5]), np.array([1e6, 2e6]), 0.1)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 0, "horizon": 2}, "must be at least 1, got 0 and 2"),
        ({"vocab_size": 3, "horizon": 0}, "must be at least 1, got 3 and 0"),
        ({"vocab_size": 3, "horizon": 2, "end_ids": (3,)}, r"below vocab_size 3, got \[3\]"),
        ({"vocab_size": 100, "horizon": 5}, "choose a smaller vocabulary or horizon"),
        ({"vocab_size": 2, "horizon": 2, "allowed": lambda prefix: [False, False]}, "must allow at least one of 2 tokens"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        list_responses(**arguments)


def test_an_optimum_without_a_penalty_is_refused():
    with pytest.raises(ValueError, match="kl_weight must be above 0, got 0"):
        kl_optimum(np.zeros(1), np.zeros(1), 0)
