"""Test what is chosen to be asked: what is worth asking, spread, repeatable, and never what is kept for evaluation."""

from itertools import combinations

import numpy as np
import pytest

from feedback.aggregation.bradley_terry import sigmoid
from feedback.selection.candidate_pairs import kept_for_evaluation, pairs_within
from feedback.selection.informativeness import closeness, ensemble_variance, information_gain
from feedback.selection.question_choice import choose_pairs

ALL = np.array(list(combinations(range(30), 2)))


def test_pairs_are_those_of_one_prompt_each_once():
    prompt = np.array(["b", "a", "b", "c", "a", "b"])
    assert pairs_within(prompt).tolist() == [[0, 2], [0, 5], [1, 4], [2, 5]]
    assert pairs_within([]).shape == (0, 2) and pairs_within([1, 2, 3]).shape == (0, 2)
    few = pairs_within(np.repeat([7, 8], 10), most_each=5, seed=1)
    assert len(few) == 10 and (few // 10).tolist() == [[0, 0]] * 5 + [[1, 1]] * 5
    assert np.array_equal(few, pairs_within(np.repeat([7, 8], 10), most_each=5, seed=1))
    assert not np.array_equal(few, pairs_within(np.repeat([7, 8], 10), most_each=5, seed=2))


def test_members_that_are_the_same_can_be_told_nothing():
    scores = np.tile(np.random.default_rng(0).normal(size=30), (4, 1))
    assert ensemble_variance(scores, ALL).max() < 1e-30
    assert information_gain(scores, ALL).max() < 1e-15


def test_a_tie_on_which_all_agree_is_worth_nothing_and_one_on_which_they_differ_is():
    scores = np.array([[0.0, 0.0, 4.0, -4.0], [0.0, 0.0, -4.0, 4.0]])
    pairs = np.array([[0, 1], [2, 3]])  # both are ties in the mean
    assert information_gain(scores, pairs) == pytest.approx([0.0, np.log(2)], abs=0.004)
    assert ensemble_variance(scores, pairs) == pytest.approx([0.0, 0.25], abs=0.001)
    assert closeness(scores, pairs) == pytest.approx([0.5, 0.5])
    assert choose_pairs(pairs, 1, information_gain(scores, pairs), evaluation_share=0.0).chosen.tolist() == [1]


def test_information_is_the_mutual_information_of_the_answer_and_the_member():
    scores = np.random.default_rng(1).normal(size=(3, 30)) * 2
    chances = sigmoid(scores[:, ALL[:, 0]] - scores[:, ALL[:, 1]])
    joint = np.stack([chances, 1 - chances]) / 3  # [answer, member, N]
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    assert information_gain(scores, ALL) == pytest.approx((joint * np.log(joint / apart)).sum(axis=(0, 1)), abs=1e-12)


def test_scores_far_apart_do_not_overflow():
    scores = np.array([[1e4, -1e4], [1e4, -1e4]])
    pairs = np.array([[0, 1], [1, 0]])
    assert information_gain(scores, pairs).tolist() == [0.0, 0.0]


def test_what_is_worth_most_is_asked_first():
    worth = np.random.default_rng(2).random(len(ALL))
    found = choose_pairs(ALL, 20, worth, evaluation_share=0.0)
    assert found.chosen.tolist() == np.argsort(-worth)[:20].tolist()
    assert not found.is_random


def test_some_pairs_are_kept_for_evaluation_in_every_round_and_never_chosen():
    pairs = np.array(list(combinations(range(200), 2)))
    kept = kept_for_evaluation(pairs, 0.2, seed=3)
    assert abs(kept.mean() - 0.2) < 4 * np.sqrt(0.16 / len(pairs))
    order = np.random.default_rng(4).permutation(len(pairs))[:500]
    assert np.array_equal(kept_for_evaluation(pairs[order, ::-1], 0.2, seed=3), kept[order])
    assert not np.array_equal(kept_for_evaluation(pairs, 0.2, seed=5), kept)
    found = choose_pairs(pairs, len(pairs), worth=kept.astype(float), evaluation_share=0.2, seed=3)
    assert np.array_equal(found.evaluation, np.flatnonzero(kept))
    assert sorted([*found.chosen, *found.evaluation]) == list(range(len(pairs)))


def test_what_is_kept_is_even_over_items():
    pairs = np.array(list(combinations(range(200), 2)))
    kept = kept_for_evaluation(pairs, 0.3, seed=6)
    each = np.bincount(pairs[kept].ravel(), minlength=200)
    assert np.abs(each - 0.3 * 199).max() < 4.5 * np.sqrt(0.21 * 199)  # the largest of 200 is rarely beyond four errors


@pytest.mark.parametrize("measure", [ensemble_variance, information_gain])
def test_an_ensemble_that_agrees_leaves_the_choice_to_lots(measure):
    scores = np.tile(np.random.default_rng(7).normal(size=30), (5, 1))
    found = [choose_pairs(ALL, 40, measure(scores, ALL), seed=seed) for seed in range(40)]
    assert all(each.is_random for each in found)
    asked = np.bincount(np.concatenate([each.chosen for each in found]), minlength=len(ALL))
    assert asked.max() <= 14  # each pair 3.7 times on average; more than 14 of 40 is beyond five errors
    assert choose_pairs(ALL, 40, seed=1).chosen.tolist() == found[1].chosen.tolist()


def test_no_item_is_paired_with_itself_and_no_pair_is_asked_twice():
    pairs = np.array([[0, 0], [0, 1], [1, 0], [2, 1], [2, 2], [0, 1]])
    for seed in range(10):
        found = choose_pairs(pairs, 6, worth=np.array([9.0, 1, 1, 1, 9, 1]), evaluation_share=0.0, seed=seed)
        assert sorted(tuple(sorted(pairs[number])) for number in found.chosen) == [(0, 1), (1, 2)]


def test_a_diverse_choice_takes_one_of_each_kind_before_a_second_of_any():
    generator = np.random.default_rng(8)
    kinds = np.repeat(np.eye(6) * 10, [50, 50, 50, 2, 2, 2], axis=0)
    features = np.concatenate([np.zeros((1, 6)), kinds + 0.01 * generator.normal(size=kinds.shape)])
    pairs = np.array([[0, number] if number % 2 else [number, 0] for number in range(1, len(features))])  # turned round: the same kind
    kind_of = np.repeat(np.arange(6), [50, 50, 50, 2, 2, 2])
    for seed in range(10):
        found = choose_pairs(pairs, 6, features=features, evaluation_share=0.0, seed=seed)
        assert sorted(kind_of[found.chosen]) == [0, 1, 2, 3, 4, 5]
    lots = [len(set(kind_of[choose_pairs(pairs, 6, evaluation_share=0.0, seed=seed).chosen])) for seed in range(10)]
    assert max(lots) < 6


def test_a_diverse_choice_takes_only_what_is_worth_asking():
    generator = np.random.default_rng(9)
    worth, features = generator.random(len(ALL)), generator.normal(size=(30, 3))
    found = choose_pairs(ALL, 10, worth, features, evaluation_share=0.0, shortlist=2)
    assert set(found.chosen) <= set(np.argsort(-worth)[:20]) and len(set(found.chosen)) == 10
    alone = choose_pairs(ALL, 10, worth, features, evaluation_share=0.0, shortlist=1)
    assert set(alone.chosen) == set(np.argsort(-worth)[:10])


def test_the_same_seed_chooses_the_same_and_another_one_other_pairs():
    features = np.random.default_rng(10).normal(size=(30, 3))
    for options in ({}, {"features": features}):
        one, again, other = (choose_pairs(ALL, 15, seed=seed, **options).chosen.tolist() for seed in (1, 1, 2))
        assert one == again != other


def test_a_budget_of_nothing_and_no_candidates_choose_nothing():
    assert choose_pairs(ALL, 0).chosen.tolist() == []
    assert choose_pairs([], 5).chosen.tolist() == [] and choose_pairs([], 5, features=np.empty((0, 2))).chosen.tolist() == []
    assert choose_pairs([[1, 1]], 5, evaluation_share=0.9).evaluation.tolist() == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose_pairs(ALL, -1), "budget must be at least 0 and shortlist at least 1, got -1 and 4"),
        (lambda: choose_pairs(ALL, 1, worth=np.ones(3)), r"worth must be one finite number for each of 435 pairs, got the shape \(3,\)"),
        (lambda: choose_pairs(ALL, 1, features=np.ones((5, 2))), r"for all items up to 29, got \(5, 2\)"),
        (lambda: choose_pairs([[-1, 0]], 1), "pairs must be numbers of items, from 0, got -1"),
        (lambda: choose_pairs(ALL, 1, evaluation_share=1.0), "must be at least 0 and below 1, got 1.0"),
        (lambda: information_gain(np.ones((0, 30)), ALL), "at least one member's"),
        (lambda: ensemble_variance(np.ones((2, 5)), ALL), "pairs must be numbers of the 5 items, got 0 to 29"),
        (lambda: pairs_within([1, 1], most_each=0), "most_each must be at least 1, or None for all, got 0"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
