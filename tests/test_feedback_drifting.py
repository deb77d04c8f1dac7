"""Let what is wanted change with time: how the weights move, what holds still, what is kept, and what recency is worth."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from agents import Frozen, Reinforce, ReinforceConfig, SoftQ, SoftQConfig, evaluate, train
from agents.learning.drift import drifting_sources, load_feedback_state
from feedback import Cached, Drifting, Sentiment, Shaped
from feedback.check import check_feedback
from feedback.example_episodes import example_episodes
from tests.exact_task import Table, all_responses, make_env, random_logits, random_scores, table_policy, write_all
from tests.test_learning_exact import probabilities_of
from tests.test_learning_train import Interrupt, numbers

RESPONSES = all_responses()
SCORES = random_scores(RESPONSES)
TEXTS = [RESPONSES.ids(number) for number in range(len(RESPONSES))]
EPISODES = example_episodes()


class Constant:
    """Score every episode alike, and count how many it was asked about."""

    low, high, unit = -10.0, 10.0, "points"

    def __init__(self, score):
        self.score, self.num_asked = score, 0

    def __call__(self, episodes):
        self.num_asked += len(episodes)
        return [self.score] * len(episodes)


def tables(scores=SCORES):
    """Return a source of these scores, and one of the opposite."""
    return [Table({text: float(sign * score) for text, score in zip(TEXTS, scores, strict=True)}) for sign in (1, -1)]


@pytest.mark.parametrize(
    ("course", "time", "expected"),
    [
        ("step", 0, [1, 0, 0]),
        ("step", 9, [1, 0, 0]),
        ("step", 10, [0, 1, 0]),
        ("step", 1000, [0, 0, 1]),
        ("linear", 0, [1, 0, 0]),
        ("linear", 4, [0.6, 0.4, 0]),
        ("linear", 15, [0, 0.5, 0.5]),
        ("linear", 1000, [0, 0, 1]),
        ("seasonal", 0, [1, 0, 0]),
        ("seasonal", 5, [0, 0.5, 0.5]),  # halfway round three places: place 1.5
        ("seasonal", 1, [(1 + np.cos(0.3 * np.pi)) / 2, (1 - np.cos(0.3 * np.pi)) / 2, 0]),
        ("seasonal", 9, [(1 + np.cos(0.3 * np.pi)) / 2, 0, (1 - np.cos(0.3 * np.pi)) / 2]),
        ("seasonal", 20, [1, 0, 0]),
        ("walk", 0, [1 / 3, 1 / 3, 1 / 3]),
        ("walk", 9, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_weights_follow_their_course(course, time, expected):
    source = Drifting([Constant(1.0), Constant(2.0), Constant(3.0)], course, period=10)
    np.testing.assert_allclose(source.weights(time), expected, atol=1e-12)


@pytest.mark.parametrize("course", ["step", "linear", "seasonal", "walk"])
def test_weights_are_never_negative_and_sum_to_one(course):
    for num_sources in (2, 5):
        source = Drifting([Constant(0.0)] * num_sources, course, period=7)
        weights = np.array([source.weights(time) for time in range(60)])
        assert (weights >= 0).all() and np.ptp(weights) > 0.3
        np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)


def test_a_walk_takes_the_same_steps_for_the_same_seed_and_others_for_another():
    one, same, other = (Drifting([Constant(0.0)] * 2, "walk", period=5, seed=seed) for seed in (1, 1, 2))
    steps = np.random.default_rng(1).normal(size=(3, 2)).sum(axis=0)
    np.testing.assert_allclose(one.weights(15), np.exp(steps) / np.exp(steps).sum(), atol=1e-12)
    assert (one.weights(15) == same.weights(15)).all() and (one.weights(15) != other.weights(15)).any()


def test_time_goes_on_by_the_episodes_judged_and_those_of_one_call_are_judged_alike():
    first, second = Constant(1.0), Constant(3.0)
    source = Drifting([first, second], "linear", period=4)
    said = [[judgement.score for judgement in source(EPISODES[:count])] for count in (2, 3, 1)]
    assert said == [[1.0, 1.0], [2.0, 2.0, 2.0], [3.0]]
    assert source.time == 6
    assert (first.num_asked, second.num_asked) == (5, 4), "a source without weight is not asked"


def test_a_source_of_one_time_stays_there_and_moves_nothing():
    source = Drifting([Constant(1.0), Constant(3.0)], "linear", period=4)
    frozen = source.at(3)
    assert [frozen(EPISODES[:4])[0].score for _ in range(3)] == [2.5, 2.5, 2.5]
    assert (frozen.time, source.time) == (3, 0)
    check_feedback(frozen)
    with pytest.raises(ValueError, match="time must be at least 0 judged episodes, got -1"):
        source.at(-1)


def test_a_copy_goes_on_at_the_time_of_the_original():
    source = Drifting([Constant(1.0), Constant(3.0)], "linear", period=4)
    source(EPISODES[:2])
    copy = pickle.loads(pickle.dumps(source))
    assert [source(EPISODES[:1])[0].score, copy(EPISODES[:1])[0].score] == [2.0, 2.0]
    fresh = Drifting([Constant(1.0), Constant(3.0)], "linear", period=4)
    fresh.load_state_dict(source.state_dict())
    assert fresh.time == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([Constant(0.0)],), "at least two sources to move between, got 1"),
        (([Constant(0.0)] * 2, "sudden"), "course must be one of step, linear, seasonal, walk, got 'sudden'"),
        (([Constant(0.0)] * 2, "step", 0), "period must be at least 1 episode, got 0"),
    ],
)
def test_a_drift_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Drifting(*arguments)


def test_scores_that_drift_are_not_cached_and_those_of_one_time_may_be():
    source = Drifting([Constant(1.0), Constant(3.0)])
    with pytest.raises(ValueError, match="Drifting judges otherwise as time goes on, so its scores cannot be cached"):
        Cached(source)
    Cached(source.at(3))


def test_drift_is_found_inside_compositions():
    source, other = Drifting(tables()), Drifting(tables(), "linear")
    composed = (0.5 * source + Sentiment()).clip(-5, 5).otherwise(0.0) - 2.0 * other
    assert drifting_sources(make_env(composed)) == [source, other]
    assert drifting_sources(make_env(Shaped(source, Sentiment()))) == [source]
    assert drifting_sources(make_env(tables()[0])) == []


def test_an_evaluation_says_at_which_time_it_judged_and_moves_no_clock():
    source = Drifting(tables(), "linear", period=10)
    source.time = 4
    agent = Frozen(table_policy(random_logits(1), random_logits(1)))
    measured, rollout = evaluate(make_env(source), agent, 16)
    assert measured["feedback_time"] == 4.0 and source.time == 4 and not source.is_frozen
    rows = [TEXTS.index(tuple(episode.ids.tolist())) for episode in rollout.episodes]
    np.testing.assert_allclose(rollout.scores, (0.6 - 0.4) * SCORES[rows], atol=1e-12)
    pinned, _ = evaluate(make_env(source.at(9)), agent, 16)
    assert pinned["feedback_time"] == 9.0 and pinned["score"] == pytest.approx(measured["score"] * (0.1 - 0.9) / 0.2)
    assert "feedback_time" not in evaluate(make_env(tables()[0]), agent, 16)[0]


def run(folder, num_updates, resume=False, at_act=None, source=None):
    source = Drifting(tables(), "linear", period=30) if source is None else source
    agent = Reinforce(table_policy(random_logits(1), random_logits(1)), ReinforceConfig(learning_rate=0.1))
    writer = agent if at_act is None else Interrupt(agent, at_act=at_act)
    options = {"evaluation_env": make_env(source), "evaluate_every": 2, "show": False, "seed": 3}
    return train(make_env(source), writer, num_updates, 8, folder=folder, resume=resume, **options)


def test_a_run_that_is_resumed_in_the_middle_of_the_drift_is_like_one_that_was_not_interrupted(tmp_path):
    whole = run(tmp_path / "whole", 4)
    first, second = run(tmp_path / "parts", 2), run(tmp_path / "parts", 4, resume=True)
    assert numbers(first.metrics + second.metrics) == numbers(whole.metrics)
    assert [line["held_out/feedback_time"] for line in whole.metrics if "held_out/feedback_time" in line] == [0.0, 16.0, 32.0]


def test_episodes_that_were_judged_in_an_update_that_was_cut_do_not_count(tmp_path):
    source, cut_after, at_act = Drifting(tables(), "linear", period=30), 0, 6
    while not 8 < cut_after < 16:  # until it is the second update that is cut, after some of its episodes were judged
        source.time, at_act = 0, at_act + 1
        first = run(tmp_path / f"{at_act}", 2, at_act=at_act, source=source)
        cut_after = source.time
    assert (first.stopped_by, first.num_updates) == ("interrupted", 1)
    kept = torch.load(tmp_path / f"{at_act}/checkpoints/last/agent.pt", weights_only=True)["extra"]
    assert kept["feedback"] == [{"time": 8}]


def test_a_run_is_not_resumed_with_other_feedback_than_it_was_kept_with():
    with pytest.raises(ValueError, match="kept with 1 feedback sources that drift, the environment has 0: make it with the feedback"):
        load_feedback_state(make_env(tables()[0]), [{"time": 3}])


def test_an_earlier_rollout_moves_the_values_by_its_age():
    """With a policy that stays at the reference each target is the score, so one step of plain descent is known exactly.

    V <- V + rate * share * weight * (mean score - V) for the newest rollout, weight 1, and then for those of age 2 and 1.
    """
    rate, recency, share = 0.5, 0.3, len(RESPONSES) / RESPONSES.lengths.sum()
    offsets = (5.0, -2.0, 1.0)  # of the scores, oldest rollout first
    config = SoftQConfig(recency=recency, replay_rollouts=2, max_grad_norm=float("inf"))
    agent = SoftQ(table_policy(random_logits(1), random_logits(1), value_head=True), config)
    groups = [{"params": list(agent.policy.parameters()), "lr": 0.0}, {"params": list(agent.policy.value_parameters()), "lr": rate}]
    agent.optimizer = torch.optim.SGD(groups)
    expected, met = 0.0, []
    for offset in offsets:
        agent.update(write_all(RESPONSES, (SCORES + offset).tolist(), agent.policy))
        mean = SCORES.mean() + offset
        for other, weight in [(mean, 1.0), *[(earlier, recency**age) for age, earlier in zip(range(len(met), 0, -1), met, strict=True)]]:
            expected += rate * share * weight * (other - expected)
        met = [*met, mean][-2:]
    assert float(agent.policy.values.detach()[0]) == pytest.approx(expected, rel=1e-9)


def test_after_a_change_of_mind_a_learner_that_forgets_is_ahead_of_one_that_does_not():
    """Half of the updates are judged by one table and half by its opposite; the second is what both are measured by."""

    def score_after(recency, seed):
        policy = table_policy(np.zeros_like(random_logits(1)), np.zeros_like(random_logits(1)), value_head=True, seed=seed)
        options = {"learning_rate": 0.1, "critic_learning_rate": 0.1, "kl_weight": 0.3, "replay_rollouts": 6}
        agent = SoftQ(policy, SoftQConfig(recency=recency, **options))
        train(make_env(Drifting(tables(), period=96)), agent, 9, 16, keep=False, show=False, seed=seed)
        return float(probabilities_of(policy.logits.detach().numpy(), RESPONSES) @ -SCORES)

    gains = [score_after(0.3, seed) - score_after(1.0, seed) for seed in range(3)]
    assert min(gains) > 0.1
