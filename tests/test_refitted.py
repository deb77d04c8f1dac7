"""Train against a reward model that is fitted again while people answer: nobody is waited for, and the true score rises."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from agents import Reinforce, ReinforceConfig, collect, train
from agents.learning.drift import drifting_sources
from feedback.learned.evidence import Gathering, NothingToLearnError
from feedback.refitted import LearnedReward, Refitted
from feedback.reward_model import RewardModel
from feedback.simulated.annotator import Annotator
from feedback.simulated.study_rater import SimulatedRater
from feedback.simulated.utility_parts import UtilityNoise
from feedback.study.queueing import Mixing, Queue
from feedback.study.store import Store
from tests.exact_task import HORIZON, make_env, random_logits, table_policy
from tests.test_learning_train import numbers
from text_env.episode import Ending, Episode, Prompt

PROMPT = Prompt("a b", np.array([0, 1]))


class ShareOfB:
    """Like responses for how many of their words are b; what the agent never sees."""

    low, high, unit = 0.0, 1.0, "share"

    def __call__(self, episodes):
        return [each.response.split().count("b") / HORIZON for each in episodes]


class Majority:
    """Learn how often each text was preferred: as small as a learned reward can be."""

    low, high, unit = 0.0, 1.0, "share"

    def __init__(self):
        self.shares, self.fits = {}, []

    def fit(self, evidence):
        evidence.check_says_something()
        pairs = evidence.pairs()[0]
        text = [passage.text for passage in evidence.passages]
        won, met = dict.fromkeys(text, 0.0), dict.fromkeys(text, 0.0)
        for one, other, target, weight in zip(pairs.first, pairs.second, pairs.target, pairs.weight, strict=True):
            for item, share in ((one, target), (other, 1 - target)):
                won[text[item]] += share * weight
                met[text[item]] += weight
        self.shares = {name: won[name] / met[name] for name in text if met[name]}
        self.fits.append(evidence)

    def __call__(self, episodes):
        return [self.shares.get(each.response, 0.5) for each in episodes]


def episodes(*responses, start=0):
    return [
        Episode(PROMPT, np.array([0]), np.ones(1, dtype=bool), response, Ending.LENGTH, start + number)
        for number, response in enumerate(responses)
    ]


def simulated_answers(path, limit=None, seed=0, noise=0.0):
    """Let a simulated person answer what waits; return how many questions that was."""
    with Store(path) as store:
        rater = SimulatedRater(ShareOfB(), Annotator(utility=(UtilityNoise(fixed=noise),)), seed=seed)
        return rater.answer_all(Queue(store, mixing=Mixing(0, 0, 0)), store.enrol("simulated"), limit)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def test_it_abstains_until_enough_people_have_answered_and_then_judges_by_what_they_said(path):
    feedback = Refitted(path, Majority(), every=2)
    asked = episodes("a a", "b b", "a b", "b a a")
    assert [each.score for each in feedback(asked)] == [None] * 4
    assert simulated_answers(path, 1) == 1
    assert [each.score for each in feedback(asked)] == [None] * 4 and feedback.num_fits == 0
    assert simulated_answers(path) >= 1
    scores = dict(zip(("a a", "b b", "a b", "b a a"), [each.score for each in feedback(asked)], strict=True))
    assert feedback.num_fits == 1 and scores["b b"] > scores["a a"]


def test_a_prior_source_judges_until_the_first_fit(path):
    feedback = Refitted(path, Majority(), every=1, prior=ShareOfB())
    assert [each.score for each in feedback(episodes("b b b", "a"))] == [1.0, 0.0]
    simulated_answers(path)
    assert [each.score for each in feedback(episodes("b b b", "a b"))] == [1.0, 0.5]  # the second one is unknown to the model
    assert feedback.num_fits == 1


def test_the_model_is_fitted_whenever_enough_more_answers_have_come_and_not_else(path):
    model = Majority()
    feedback = Refitted(path, model, every=3, most_waiting=100)
    for number in range(6):
        feedback(episodes(*(f"{'b ' * count}{number}" for count in range(2)), start=2 * number))
        simulated_answers(path)
    feedback(episodes("x"))
    assert [fit.num_judgements for fit in model.fits] == [3, 6]


def test_pairs_are_made_within_a_prompt_also_across_calls_and_never_of_equal_texts(path):
    feedback = Refitted(path, Majority())
    feedback(episodes("a"))
    feedback(episodes("a"))
    other = Episode(Prompt("c", np.array([2])), np.array([0]), np.ones(1, dtype=bool), "z", Ending.LENGTH, 9)
    feedback([other])
    with Store(path) as store:
        assert not [entry for entry in store.entries() if entry.record.name == "question"]
        feedback(episodes("b"))
        (question,) = [entry.record for entry in store.entries() if entry.record.name == "question"]
        texts = {entry.record.id: entry.record.text for entry in store.entries() if entry.record.name == "passage"}
    assert sorted(texts[name] for name in question.passages) == ["a", "b"]


@pytest.mark.parametrize("kind", ["compare", "rate"])
def test_people_are_never_left_with_more_questions_than_may_wait(path, kind):
    feedback = Refitted(path, Majority(), kind=kind, most_waiting=5)
    for start in range(0, 60, 20):
        feedback(episodes(*(f"t{number}" for number in range(start, start + 20)), start=start))
        with Store(path) as store:
            assert len([entry for entry in store.entries() if entry.record.name == "question"]) == 5
    assert simulated_answers(path) == 5
    feedback(episodes(*(f"u{number}" for number in range(20)), start=60))
    assert simulated_answers(path) == 5


def test_answers_that_prefer_nothing_leave_the_model_as_it_is(path):
    model = Majority()
    feedback = Refitted(path, model, every=1)
    feedback(episodes("a x", "a y"))
    simulated_answers(path)  # a tie
    assert [each.score for each in feedback(episodes("a x"))] == [None] and feedback.num_fits == 0
    feedback(episodes("b b"))
    simulated_answers(path)
    assert feedback(episodes("b b"))[0].score == 1.0 and feedback.num_fits == 1


def test_old_answers_count_less_with_a_half_life(path):
    model = Majority()
    feedback = Refitted(path, model, every=4, half_life=1.0, most_waiting=100)
    feedback(episodes(*(f"{'b ' * (number % 3)}{number}" for number in range(10))))
    simulated_answers(path, 4)
    feedback(episodes("x"))
    weights = np.sort(model.fits[0].comparisons.weight)
    assert weights.tolist() == [0.125, 0.25, 0.5, 1.0]


def test_while_it_is_frozen_it_neither_asks_nor_fits_nor_moves_its_time(path):
    feedback = Refitted(path, Majority(), every=1)
    feedback(episodes("a", "b"))
    simulated_answers(path)
    feedback.is_frozen = True
    assert [each.score for each in feedback(episodes("c", "d"))] == [None, None]
    assert (feedback.time, feedback.num_fits) == (2, 0) and simulated_answers(path) == 0
    assert drifting_sources(make_env(feedback)) == [feedback]


def test_a_state_brings_back_the_model_that_was_fitted_then_and_not_what_was_said_since(path):
    feedback = Refitted(path, Majority(), every=1, most_waiting=100)
    feedback(episodes("a", "b b", "b", "a a a"))
    simulated_answers(path, 1)
    feedback(episodes("x"))
    state, shares = feedback.state_dict(), dict(feedback.model.shares)
    simulated_answers(path)
    feedback(episodes("x"))
    assert feedback.model.shares != shares
    resumed = Refitted(path, Majority(), every=1, most_waiting=100)
    resumed.load_state_dict(state)
    assert resumed.model.shares == shares and resumed.state_dict() == state
    empty = Refitted(path.with_name("empty.db"), Majority())
    with pytest.raises(ValueError, match=r"the model was fitted to 1 answers, which .* does not hold"):
        empty.load_state_dict(state)


def test_copies_and_pickles_judge_alike_and_open_the_study_anew(path):
    feedback = Refitted(path, RewardModel(), every=1)
    feedback(episodes("a", "b b b"))
    simulated_answers(path)
    scores = [each.score for each in feedback(episodes("a", "b b b"))]
    twin = pickle.loads(pickle.dumps(feedback))
    twin.is_frozen = True
    assert [each.score for each in twin(episodes("a", "b b b"))] == pytest.approx(scores, abs=1e-5) and scores[1] > scores[0]


def true_score(policy, seed=99):
    return float(np.mean(ShareOfB()([each for each in collect(make_env(ShareOfB()), Reinforce(policy), 200, seed=seed).episodes])))


def gain_of_true_score(feedback, path, num_updates):
    """Train while a noisy person answers 8 questions an update; the agent sees the model's scores alone."""
    policy = table_policy(np.zeros_like(random_logits(1)))
    env, agent = make_env(feedback, num_envs=8), Reinforce(policy, ReinforceConfig(learning_rate=0.1))
    before = true_score(policy)
    for number in range(num_updates):
        agent.update(collect(env, agent, 16, seed=number))
        simulated_answers(path, 8, noise=0.3)
    return true_score(policy) - before


def test_an_agents_true_score_rises_while_a_noisy_person_answers(path):
    feedback = Refitted(path, Majority(), every=8, most_waiting=16)
    assert gain_of_true_score(feedback, path, 20) > 0.2
    assert feedback.num_fits >= 3


@pytest.mark.slow
def test_an_agents_true_score_rises_by_a_reward_model_of_a_noisy_persons_answers(path):
    feedback = Refitted(path, RewardModel(), every=16, most_waiting=16)
    assert gain_of_true_score(feedback, path, 20) > 0.3
    assert feedback.num_fits >= 3


@pytest.mark.slow
def test_a_run_that_is_resumed_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    def run(folder, num_updates, resume=False):
        study = folder.with_suffix(".db")
        feedback = Refitted(study, Majority(), every=4)
        if not resume:
            feedback(episodes("b b", "a", "b b b", "a a", "b a", "a b b", "b", "a a a"))
            simulated_answers(study)
        agent = Reinforce(table_policy(random_logits(1)), ReinforceConfig(learning_rate=0.1))
        return train(make_env(feedback), agent, num_updates, 8, folder=folder, resume=resume, show=False, seed=3)

    whole, first = run(tmp_path / "whole", 4), run(tmp_path / "parts", 2)
    assert simulated_answers(tmp_path / "parts.db", 3) == 3  # too few for the next fit
    second = run(tmp_path / "parts", 4, resume=True)
    assert numbers(first.metrics + second.metrics) == numbers(whole.metrics)
    assert all(line["score"] > 0 for line in whole.metrics)


def test_what_makes_no_sense_is_refused(path):
    for settings, message in (
        ({"kind": "rank"}, 'kind must be "compare" or "rate"'),
        ({"every": 0}, "every and most_waiting must be at least 1"),
        ({"half_life": 0.0}, "half_life above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Refitted(path, Majority(), **settings)
    with pytest.raises(TypeError, match=r"model must learn by fit\(evidence\)"):
        Refitted(path, ShareOfB())
    assert isinstance(RewardModel(), LearnedReward) and isinstance(Majority(), LearnedReward)
    with pytest.raises(NothingToLearnError):
        Majority().fit(Gathering().evidence())
