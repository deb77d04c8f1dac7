"""Check the best of n: which response it is, what it costs, and how far it is from what the agent writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents import Reinforce, Uniform, best_of_n, collect
from agents.__main__ import main
from agents.learning.best_of_n import best_of_n_kl_bound
from tests.exact_task import Table, all_responses, make_env, random_logits, random_scores, table_policy
from tests.test_learning_exact import probabilities_of
from tests.tiny_sources import Length, LengthRank


class LengthUnlessShort(Length):
    """Score the length, and abstain on responses of one token."""

    def __call__(self, episodes):
        return [None if score < 2 else score for score in super().__call__(episodes)]


@pytest.mark.parametrize("agent", [Uniform(3), Reinforce(table_policy(random_logits(1)))])
def test_the_best_is_the_first_of_the_highest_score_of_each_group_and_no_abstention(agent):
    best = best_of_n(make_env(LengthUnlessShort(), num_envs=8, group_size=4), agent, 80, 4, seed=0)
    written = best.written
    expected = []
    for first in range(0, 80, 4):
        scores = [written.scores[row] if written.is_scored[row] else -1.0 for row in range(first, first + 4)]
        if max(scores) > 0:
            expected.append(first + scores.index(max(scores)))
    assert best.rollout.episode_index.tolist() == written.episode_index[expected].tolist()
    assert best.rollout.is_scored.all() and not written.is_scored.all()
    assert best.num_without == 20 - len(expected)
    assert best.num_tokens == written.lengths.sum() and best.num_questions == 80
    again = collect(make_env(LengthUnlessShort(), num_envs=8, group_size=4), agent, 80, seed=0)
    np.testing.assert_array_equal(again.tokens, written.tokens)


def test_a_group_without_any_score_has_no_best():
    best = best_of_n(make_env(Table({(token,): None for token in range(3)}), horizon=1, group_size=2), Uniform(3), 8, 2, seed=0)
    assert len(best.rollout) == 0 and best.num_without == 4 and best.num_questions == 8


def test_responses_that_are_cut_from_outside_cost_tokens_and_no_questions():
    best = best_of_n(make_env(Length(), group_size=2, max_episode_steps=2), Uniform(3), 40, 2, seed=0)
    cut = best.written.is_truncated
    assert 0 < cut.sum() < 40 and best.num_questions == 40 - cut.sum()
    assert best.num_tokens == best.written.lengths.sum() > best.written.lengths[~cut].sum()


def test_a_source_that_compares_the_responses_of_a_batch_can_choose():
    best = best_of_n(make_env(LengthRank(), group_size=4, scoring="deferred"), Uniform(3), 16, 4, seed=0)
    np.testing.assert_array_equal(best.rollout.lengths, best.written.lengths.reshape(4, 4).max(axis=1))


def test_the_best_of_n_comes_as_often_as_its_formula_says_and_stays_within_the_bound():
    """P(y) = F(y)^n - F'(y)^n, F(y) being the probability of scoring at most as y does, F'(y) of less."""
    responses = all_responses()
    scores, logits = random_scores(responses), random_logits(1)
    weights = probabilities_of(logits, responses)
    for n in (2, 4, 16):
        expected = np.array([weights[scores <= score].sum() ** n - weights[scores < score].sum() ** n for score in scores])
        divergence = (expected * np.log(np.maximum(expected, 1e-300) / weights)).sum()
        assert 0.1 < divergence < best_of_n_kl_bound(n)
    n = 4
    expected = np.array([weights[scores <= score].sum() ** n - weights[scores < score].sum() ** n for score in scores])
    source = Table({responses.ids(number): float(scores[number]) for number in range(len(responses))})
    best = best_of_n(make_env(source, num_envs=64, group_size=n), Reinforce(table_policy(logits)), 2000 * n, n, seed=0)
    number = {responses.ids(row): row for row in range(len(responses))}
    counts = np.bincount([number[tuple(episode.ids.tolist())] for episode in best.rollout.episodes], minlength=len(responses))
    assert (np.abs(counts - 2000 * expected) < 4 * np.sqrt(2000 * expected) + 4).all()
    assert best.rollout.scores.mean() == pytest.approx(expected @ scores, abs=0.1)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_the_bound_is_the_divergence_of_the_highest_of_n_uniform_numbers(n):
    """Where all responses differ in score and none is probable, the rank of one is uniform, and that of the best has density n u^(n-1)."""
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    density = n * u ** (n - 1)
    assert best_of_n_kl_bound(n) == pytest.approx((density * np.log(density)).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "n must be at least 1, got 0"),
        (4, "the best of 4 needs 4 responses to each prompt and the environment writes 2: .* group_size=4"),
    ],
)
def test_a_number_that_is_not_the_group_size_is_refused(n, message):
    with pytest.raises(ValueError, match=message):
        best_of_n(make_env(Length(), group_size=2), Uniform(3), 8, n)


WRITE = ["write", "The food was", "My dog", "--model", "tinylm", "--num", "2", "--max-new-tokens", "5", "--device", "cpu"]


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_command_shows_the_best_and_says_what_they_cost(capsys):
    assert main([*WRITE, "--best-of", "4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "best of 4: 16 responses with " in out and "the feedback was asked 16 times to show 4; at most 0.64 nats" in out
    assert main([*WRITE, "--best-of", "8", "--json"]) == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["prompt"] for line in lines] == ["The food was"] * 2 + ["My dog"] * 2
    assert "best of 8: 32 responses" in told.err
    assert main([*WRITE, "--json"]) == 0
    alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert np.mean([line["score"] for line in lines]) > np.mean([line["score"] for line in alone]) + 0.1
    assert main([*WRITE, "--best-of", "0"]) == 1
    assert "--best-of must be at least 1, got 0" in capsys.readouterr().err
