"""Test simulated people as they are used: fitted to real raters, in a study, as feedback sources, in populations, in words."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import text_env
from agents import OnlineDPO, OnlineDPOConfig, collect
from feedback.aggregation.agreement import krippendorff_alpha
from feedback.aggregation.vader_raters import vader_ratings
from feedback.check import check_feedback
from feedback.compared import Compared
from feedback.encoding import CritiqueRules
from feedback.example_episodes import byte_episode, example_episodes
from feedback.people import HumanFeedback
from feedback.simulated.annotator import Annotator
from feedback.simulated.answer_channels import Delay
from feedback.simulated.choices import Boltzmann, Thurstone
from feedback.simulated.critique_writing import CritiqueWriting
from feedback.simulated.empirical_people import RealPeople, latent_means, real_people
from feedback.simulated.keyed_noise import Draws
from feedback.simulated.panel_figures import panel_figures
from feedback.simulated.population import Population
from feedback.simulated.presets import PRESETS, preset
from feedback.simulated.rating_models import Severity
from feedback.simulated.shown_sets import Features
from feedback.simulated.slips import Coin, Flip, Tiring
from feedback.simulated.study_rater import SimulatedRater
from feedback.simulated.utility_parts import Leaning, LengthBias, PositionBias
from feedback.simulated.vader_constants import COUNTS, FIGURES, MEANS
from feedback.simulated.withheld_answers import AllBad, Equal, Skip
from feedback.simulated_person import SimulatedPerson
from feedback.study.queueing import Mixing, Queue
from feedback.study.records import Kind, Outcome, Passage, Purpose, Question
from feedback.study.store import Store
from feedback.text import text_feedback
from scripts.fit_vader_annotator import counted, written
from text_env.episode import Ending
from text_env.scoring import Judge

assert text_env


@text_feedback(low=0, high=10, unit="letters")
def likes_a(prompt, response):
    return float(min(response.count("a"), 10))


def episode(text, prompt=None, index=0):
    return byte_episode(example_episodes()[0].prompt if prompt is None else prompt, text, Ending.EOS, index)


def simulated_panel(seed=0, tokens=None):
    """Let ten simulated people rate VADER's words: [words, 10]."""
    worth = latent_means(vader_ratings()[1].mean(axis=1), FIGURES.alpha)[:tokens]
    people = [preset("vader-human", seed, f"person {number}") for number in range(10)]
    return np.stack([person.rate(worth, np.arange(len(worth)), steps=(-4, 4)).value for person in people], axis=1)


def test_what_vader_human_draws_from_is_what_the_lexicon_holds():
    means, counts = counted()
    assert tuple(means) == MEANS
    assert tuple(map(tuple, counts)) == COUNTS
    assert np.sum(COUNTS) == vader_ratings()[1].size


def test_the_figures_it_was_fitted_to_are_those_of_the_real_raters():
    figures = panel_figures(vader_ratings()[1])
    assert {name: np.round(value, 4).tolist() for name, value in vars(figures).items()} == {
        name: np.asarray(value).tolist() for name, value in vars(FIGURES).items()
    }
    assert FIGURES.alpha == pytest.approx(0.726, abs=1e-3)
    assert FIGURES.agreement == pytest.approx(0.847, abs=2e-3)  # measured before, on other pairs
    assert FIGURES.slope == pytest.approx(1.29, abs=1.5e-2)
    assert FIGURES.lapse <= 0.005


def test_a_panel_of_vader_human_agrees_as_the_real_raters_do():
    figures = panel_figures(simulated_panel())
    assert figures.alpha == pytest.approx(FIGURES.alpha, abs=0.005)
    assert figures.agreement == pytest.approx(FIGURES.agreement, abs=0.006)
    assert figures.slope == pytest.approx(FIGURES.slope, abs=0.03)
    assert figures.lapse <= 0.005
    assert np.abs(np.subtract(figures.ties, FIGURES.ties)).max() < 0.025
    assert np.abs(np.subtract(figures.correct, FIGURES.correct)).max() < 0.015


def test_two_of_vader_human_agree_on_pairs_as_often_as_two_real_raters():
    worth = latent_means(vader_ratings()[1].mean(axis=1), FIGURES.alpha)
    pairs = np.random.default_rng(0).integers(len(worth), size=(60_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    one, other = (preset("vader-human", 0, person).compare(worth[pairs], pairs).value for person in ("ann", "bob"))
    clear = (one != 0.5) & (other != 0.5)
    assert (one == other)[clear].mean() == pytest.approx(FIGURES.agreement, abs=0.01)
    assert (one == 0.5).mean() == pytest.approx(0.1428, abs=0.01)  # of real raters


def test_a_rating_of_real_people_is_right_on_average_and_as_wide_as_theirs():
    people = real_people()
    for worth in (-2.0, 0.0, 1.25):
        said = preset("vader-human").rate(np.full(40_000, worth), np.arange(40_000), steps=(-4, 4)).value
        sd = np.interp(worth, people.means, people.sds) * math.sqrt(10)
        assert abs(said.mean() - worth) < 3.3 * sd / 200
        assert said.std() == pytest.approx(sd, rel=0.05)


def test_the_table_of_what_was_fitted_is_written_as_the_file_has_it(tmp_path):
    names = {}
    exec(written(*counted(), FIGURES), names)
    assert (names["MEANS"], names["COUNTS"], names["FIGURES"]) == (MEANS, COUNTS, FIGURES)


@pytest.mark.parametrize("ratings", [np.ones((5, 3)), np.ones((5, 2)), [[1.0, np.nan, 2.0]] * 3])
def test_a_panel_that_says_nothing_has_no_figures(ratings):
    with pytest.raises(ValueError, match="ratings"):
        panel_figures(ratings)


# In a study


@pytest.fixture
def queue(tmp_path):
    with Store(tmp_path / "study.db") as store:
        yield Queue(store, mixing=Mixing(0, 0, 0))


def asked(queue, kind, texts, allows=("tie", "all_bad", "abstain", "skip"), purpose=Purpose.TRAIN):
    passages = [Passage("A pet:", text) for text in texts]
    question = Question(kind, tuple(passage.id for passage in passages), allows=allows, purpose=purpose)
    queue.store.submit([question], passages)
    return queue.next_for(queue.store.enrol("ann"), "simulated"), [passage.id for passage in passages]


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        (Kind.BINARY, [" aaaaaaaa"], {"good": True}),
        (Kind.RATE, [" aaaaaaaaaa"], {"step": 5}),
        (Kind.COMPARE, [" a", " aaa"], {"groups": [[1], [0]]}),
        (Kind.RANK, [" a", " aaa", " ", " aaa!"], {"groups": [[1, 3], [0], [2]]}),
    ],
)
def test_an_oracle_answers_every_kind_rightly(queue, kind, texts, expected):
    showing, names = asked(queue, kind, texts)
    said = SimulatedRater(likes_a, "oracle").reply(showing, queue.store.enrol("ann"))
    if "groups" in expected:
        given = [sorted(group) for group in said.payload["groups"]]
        assert given == [sorted(names[number] for number in group) for group in expected["groups"]]
    else:
        assert said.payload == expected
    assert queue.answer(queue.store.enrol("ann"), showing.lease.id, "key", said).outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("part", "offered", "outcome"),
    [
        ({"withholding": (Equal(9.0),)}, ("tie",), Outcome.TIE),
        ({"withholding": (Equal(9.0),)}, (), Outcome.ANSWERED),
        ({"withholding": (AllBad(9.0),)}, ("all_bad",), Outcome.ALL_BAD),
        ({"withholding": (AllBad(9.0),)}, ("tie",), Outcome.ANSWERED),
        ({"withholding": (Skip(9.0),)}, ("skip", "abstain"), Outcome.SKIP),
        ({"withholding": (Skip(9.0),)}, ("abstain",), Outcome.ABSTAIN),
        ({"withholding": (Skip(9.0),)}, (), Outcome.TIMEOUT),
        ({"channel": (Delay(deadline=0.1),)}, ("abstain",), Outcome.TIMEOUT),
    ],
)
def test_an_outcome_that_is_not_offered_becomes_one_that_is(queue, part, offered, outcome):
    showing, _ = asked(queue, Kind.COMPARE, [" a", " aaa"], allows=offered)
    said = SimulatedRater(likes_a, Annotator(**part)).reply(showing, queue.store.enrol("ann"))
    assert said.outcome is outcome
    queue.answer(queue.store.enrol("ann"), showing.lease.id, "key", said)


def test_a_person_asked_again_errs_anew_and_a_resumed_one_goes_on(queue):
    showings = [asked(queue, Kind.RATE, [f" {'a' * number}"])[0] for number in range(1)]
    ann, annotator = queue.store.enrol("ann"), Annotator(rating=Severity(sd=1.0), anchor=0.3, slips=(Tiring(0.0, 0.5, 5.0),))
    whole = SimulatedRater(likes_a, annotator)
    said = [whole.reply(showings[0], ann).payload["step"] for _ in range(30)]
    assert len(set(said)) > 1
    before = SimulatedRater(likes_a, annotator)
    first = [before.reply(showings[0], ann).payload["step"] for _ in range(11)]
    after = SimulatedRater(likes_a, annotator)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert first + [after.reply(showings[0], ann).payload["step"] for _ in range(19)] == said


def test_what_is_shown_first_sways_a_biased_rater(queue):
    showing, names = asked(queue, Kind.COMPARE, [" aa", " aaa"])
    ann = queue.store.enrol("ann")
    for shift, place in ((5.0, 0), (-5.0, 1)):
        said = SimulatedRater(likes_a, Annotator(utility=(PositionBias(shift),))).reply(showing, ann)
        assert said.payload["groups"][0] == [showing.lease.order[place]]
    longer = SimulatedRater(lambda prompt, response: 0.0, Annotator(utility=(LengthBias(-1.0),)))
    showing, names = asked_again(queue, showing, [" one two three", " one"])
    assert longer.reply(showing, ann).payload["groups"][0] == [names[1]]


def asked_again(queue, showing, texts):
    ann = queue.store.enrol("ann")
    queue.answer(ann, showing.lease.id, "passed over", SimulatedRater(likes_a, "oracle").reply(showing, ann))
    return asked(queue, Kind.COMPARE, texts)


def test_who_skips_leaves_an_episode_without_a_score(tmp_path):
    feedback = HumanFeedback(tmp_path / "study.db", wait=0.0, rehearsal=SimulatedRater(likes_a, "bpref-skip"))
    good, bad = Judge(feedback).ask([episode(" aaaaaaa"), episode(" zzz", index=1)])
    assert good.score == pytest.approx(0.5)  # 0.4 on the scale from -1 to 1 is step 4 of 5
    assert bad.score is None


# As feedback sources


@pytest.mark.parametrize("name", sorted(PRESETS.keys() - {"bpref-myopic"}))
def test_every_preset_is_a_feedback_source_and_a_comparative_one(name):
    check_feedback(SimulatedPerson(preset=name))
    check_feedback(Compared(preset=name))


def test_a_myopic_person_judges_by_the_scores_of_tokens():
    from feedback import WordCredit

    check_feedback(SimulatedPerson(WordCredit(tokenizer="bytes", max_spans=8), "bpref-myopic"))
    with pytest.raises(Exception, match="Myopic needs to know the steps"):
        Judge(SimulatedPerson(preset="bpref-myopic")).ask([episode(" good")])


def test_an_oracle_says_what_its_taste_says_to_a_step():
    said = SimulatedPerson(likes_a, "oracle", steps=11)([episode(" " + "a" * number) for number in range(11)])
    assert [judgement.score for judgement in said] == pytest.approx(np.linspace(-1, 1, 11).tolist(), abs=1e-12)
    assert said[3].parts["taste"] == pytest.approx(-0.4)


def test_a_person_who_skips_or_is_late_abstains():
    assert SimulatedPerson(likes_a, "bpref-skip")([episode(" zzz")])[0].score is None
    assert SimulatedPerson(likes_a, Annotator(channel=(Delay(deadline=0.01),)))([episode(" aaa")])[0].score is None


def test_a_person_who_rates_anew_does_and_another_does_not():
    texts = [episode(" " + "a" * (number % 9), index=number) for number in range(9)]
    steady, anew = SimulatedPerson(likes_a), SimulatedPerson(likes_a, rates_anew=True)
    once, again = ([judgement.score for judgement in steady(texts)] for _ in range(2))
    assert once == again == [judgement.score for judgement in anew(texts)]
    assert once != [judgement.score for judgement in anew(texts)]


def test_a_person_who_was_resumed_goes_on_as_if_not_interrupted():
    annotator = Annotator(utility=(Leaning(0.0, slide=-20.0),), rating=Severity(sd=0.3), slips=(Tiring(0.0, 0.5, 9.0),))
    texts = [episode(" " + "a" * (number % 9), index=number) for number in range(40)]
    for make in (lambda: SimulatedPerson(likes_a, annotator, rates_anew=True), lambda: Compared(likes_a, annotator)):
        whole, before, after = make(), make(), make()
        expected = [judgement.score for number in range(0, 40, 4) for judgement in whole(texts[number : number + 4])]
        for number in range(0, 20, 4):
            before(texts[number : number + 4])
        after.load_state_dict(json.loads(json.dumps(before.state_dict())))
        given = [judgement.score for number in range(20, 40, 4) for judgement in after(texts[number : number + 4])]
        assert given == expected[20:]
        fresh = [judgement.score for number in range(20, 40, 4) for judgement in make()(texts[number : number + 4])]
        assert fresh != expected[20:]  # or time would do nothing


def test_time_stands_still_for_a_frozen_source():
    person = SimulatedPerson(likes_a, Annotator(utility=(Leaning(0.0, slide=-1000.0),)))
    person.is_frozen = True
    assert person([episode(" aaaaa")])[0].score == person([episode(" aaaaa")])[0].score == 0.0
    person.is_frozen = False
    person([episode(" aaaaa")])
    assert person([episode(" aaaaa")])[0].score == -1.0


def test_shares_of_wins_are_counted_within_each_prompt():
    first, second = example_episodes()[0].prompt, example_episodes()[9].prompt
    batch = [
        episode(text, prompt, number)
        for number, (text, prompt) in enumerate(
            [(" a", first), (" aa", second), (" aaa", first), (" aaa ", first), ("", second), (" ab", first)]
        )
    ]
    source = Compared(likes_a, "oracle")
    assert [judgement.score for judgement in source(batch)] == pytest.approx([0.5 / 3, 1.0, 2.5 / 3, 2.5 / 3, 0.0, 0.5 / 3])
    assert source.num_comparisons == 6 + 1


def test_a_response_without_a_verdict_abstains():
    source = Compared(likes_a, Annotator(withholding=(Skip(-0.75),)))
    alone = episode(" aaaa", example_episodes()[9].prompt)
    said = source([episode(" a"), episode("", index=1), episode(" aaaa", index=2), alone])
    assert [judgement.score for judgement in said] == [0.0, 0.0, 1.0, None]  # nobody judged the first two against each other
    assert [judgement.parts["pairs"] for judgement in said] == [1.0, 1.0, 2.0, 0.0]


def test_equal_texts_are_a_tie_that_nobody_is_asked_about():
    source = Compared(likes_a, Annotator(choice=Boltzmann(1.0), utility=(PositionBias(2.0),)))
    assert [judgement.score for judgement in source([episode(" a"), episode(" a", index=1)])] == [0.5, 0.5]
    assert source.num_comparisons == 0


def test_only_so_many_pairs_are_asked_about_whatever_the_order():
    texts = [episode(" " + "a" * number, index=number) for number in range(8)]
    source = Compared(likes_a, "crowd-66", pairs_per_group=5)
    scores = [judgement.score for judgement in source(texts)]
    assert source.num_comparisons == 5
    assert sum(judgement.parts["pairs"] for judgement in source(texts)) == 10
    assert [judgement.score for judgement in source(texts[::-1])] == scores[::-1]
    assert [judgement.score for judgement in copy.deepcopy(source)(texts)] == scores


def test_a_noisy_annotator_ranks_a_group_as_its_wins_say():
    """With flips at rate e the expected share of wins of the best of n is 1 - e, of the worst e."""
    groups = [[episode(f" {'a' * (2 * place)}{number}", index=place) for place in range(4)] for number in range(500)]
    source = Compared(likes_a, Annotator(slips=(Flip(0.2),)))
    scores = np.array([[judgement.score for judgement in source(group)] for group in groups])
    expected = np.array([0.2, 0.4, 0.6, 0.8])
    assert np.abs(scores.mean(axis=0) - expected).max() < 3.5 * math.sqrt(0.16 / 3 / 500)


def test_an_agent_learns_from_comparisons_through_the_environment():
    from tests.exact_task import make_env, table_policy

    @text_feedback(low=0, high=3)
    def likes_b(prompt, response):
        return float(min(response.split().count("b"), 3))

    source = Compared(likes_b, "expert-81", group_size=4)
    env = make_env(source, num_envs=16, group_size=4, scoring="deferred")
    agent = OnlineDPO(table_policy(np.zeros((13, 3))), OnlineDPOConfig(learning_rate=0.1, kl_weight=0.1, labels="hard"))

    def truth():
        return float(collect(make_env(likes_b), agent, 128, seed=9).scores.mean())

    before = truth()
    for number in range(15):
        agent.update(collect(env, agent, 32, seed=number))
    assert truth() > before + 0.3
    assert 0 < source.num_comparisons <= 15 * 8 * 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SimulatedPerson(text_feedback(lambda prompt, response: 1.0)), "needs a source with a bounded scale, got -inf to inf"),
        (lambda: SimulatedPerson(Compared()), "compares the members of a batch"),
        (lambda: SimulatedPerson(steps=1), "a rating has 2 to 101 steps"),
        (lambda: SimulatedPerson(preset=Annotator(anchor=0.5)), "an anchor needs the rating before"),
        (lambda: Compared(pairs_per_group=0), "pairs_per_group must be at least 1"),
        (lambda: Population(errors=0.7, fatigue=0.7), "at most 1 together"),
        (lambda: Population(tastes=((1.0,), (1.0, 2.0))), "weights of the same aspects"),
        (lambda: Population().annotators(0), "at least 1 person"),
        (lambda: Population().compare(np.zeros((2, 2)), np.arange(4).reshape(2, 2), 3, 4), "needs 1 to 3 judges, got 4"),
        (lambda: CritiqueWriting(aspects=("smell",)), "aspects must be among overall, .*, got smell"),
    ],
)
def test_wrong_settings_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# Populations


def test_a_larger_population_begins_with_the_same_people_and_a_seed_makes_others():
    population = Population(strictness=0.5, errors=0.1, inverted=0.2, trolls=0.1, fatigue=0.2, seed=4)
    assert population.annotators(30)[:5] == population.annotators(5)
    leans = [{person.utility[0].shift for person in replace(population, seed=seed).annotators(30)} for seed in (4, 5)]
    assert len(leans[0]) == 30 and not leans[0] & leans[1]


def test_one_trait_more_changes_no_other():
    plain, more = (Population("oracle", strictness=1.0, inverted=share, seed=1).annotators(50) for share in (0.0, 0.5))
    assert [person.utility for person in plain] == [person.utility for person in more]


def test_a_population_has_the_traits_it_was_drawn_with():
    people = Population("oracle", strictness=0.5, errors=0.2, inverted=0.3, trolls=0.1, seed=0).annotators(2000)
    parts = [{type(part).__name__: part for part in (*person.utility, *person.slips)} for person in people]
    leans = [each["Leaning"].shift for each in parts]
    assert abs(np.std(leans) - 0.5) < 3.3 * 0.5 / math.sqrt(4000)
    errors = [each["Flip"].share for each in parts]
    assert abs(np.mean(errors) - 0.2) < 3.3 * math.sqrt(0.2 * 0.8 / 11 / 2000)
    for name, share in (("Inverted", 0.3), ("Troll", 0.1)):
        assert abs(np.mean([name in each for each in parts]) - share) < 3.3 * math.sqrt(share * (1 - share) / 2000)


def test_each_item_is_judged_by_as_many_people_as_it_should_be_and_none_twice():
    number, judges = 300, 4
    panel = Population("expert-81", seed=2).compare(np.tile([1.0, 0.0], (number, 1)), np.arange(2 * number).reshape(number, 2), 9, judges)
    assert (np.bincount(panel.item, minlength=number) == judges).all()
    assert len({*zip(panel.annotator.tolist(), panel.item.tolist(), strict=True)}) == number * judges
    assert np.bincount(panel.annotator, minlength=9).min() > 0.7 * number * judges / 9
    comparisons = panel.comparisons(np.arange(0, 2 * number, 2), np.arange(1, 2 * number, 2), tuple(map(str, range(2 * number))))
    error = 1 - comparisons.target.mean()
    assert abs(error - 0.106) < 3.3 * math.sqrt(0.106 * 0.894 / (number * judges))
    assert set(comparisons.shown_first.tolist()) == {-1, 1}


def test_strict_and_mild_people_lower_agreement_on_ratings_as_far_as_they_differ_and_not_on_pairs():
    worth = np.random.default_rng(0).uniform(-0.5, 0.5, size=400)
    population = Population("oracle", strictness=0.1, seed=1)
    panel = population.rate(worth, np.arange(400), 40, 40, steps=(-50, 50))
    labels = panel.labels(tuple(map(str, range(400))), tuple(map(str, range(-50, 51))), low=-50)
    table = np.empty((40, 400))
    table[labels.annotator, labels.unit] = labels.label
    leans = [person.utility[0].shift for person in population.annotators(40)]
    rounding = 0.02**2 / 12
    expected = (worth.var() + rounding) / (worth.var() + np.var(leans, ddof=1) + rounding)
    assert krippendorff_alpha(table) == pytest.approx(expected, abs=0.002)
    pairs = np.arange(400).reshape(200, 2)
    noisy = Annotator(choice=Thurstone(0.5))
    plain, spread = (Population(noisy, strictness=each).compare(worth[pairs], pairs, 3, 3).replies.value for each in (0.0, 0.1))
    assert np.array_equal(plain, spread)


def test_people_of_two_tastes_want_two_things():
    aspects = np.broadcast_to(np.array([[1.0, 0.0], [0.0, 1.0]]), (200, 2, 2))
    population = Population("oracle", tastes=((1.0, 0.0), (0.0, 1.0)), seed=1)
    panel = population.compare(np.zeros((200, 2)), np.arange(400).reshape(200, 2), 20, 20, Features(aspects=aspects))
    by_person = [panel.replies.value[panel.annotator == person] for person in range(20)]
    assert all(len(set(values.tolist())) == 1 for values in by_person)
    assert {float(values[0]) for values in by_person} == {0.0, 1.0}


# In words


def read(writing, values):
    draws = Draws.of(0, "ann", np.arange(len(values))[:, None])
    texts = writing.write(np.asarray(values), draws)
    return texts, [CritiqueRules()(text).value for text in texts]


def test_plain_critiques_are_read_as_they_were_meant():
    values = np.concatenate([np.linspace(-1, -0.15, 200), np.linspace(0.15, 1, 200)])
    aspects = ("overall", "length", "fluency", "faithfulness", "relevance", "repetition")
    _, read_values = read(CritiqueWriting(aspects), values)
    right = np.mean([value is not None and value * meant > 0 for value, meant in zip(read_values, values, strict=True)])
    assert right == 1.0
    assert np.corrcoef(values, [value or 0.0 for value in read_values])[0, 1] > 0.9


def test_a_channel_that_is_bad_is_read_worse():
    values = np.concatenate([np.linspace(-1, -0.15, 200), np.linspace(0.15, 1, 200)])
    plain, _ = read(CritiqueWriting(), values)
    for setting, share in (("digressing", 1.0), ("mistyped", 1.0), ("hedged", 1.0), ("sarcastic", 1.0)):
        texts, _ = read(CritiqueWriting(**{setting: share}), values)
        changed = np.mean([one != other for one, other in zip(plain, texts, strict=True)])
        assert changed >= (0.49 if setting == "sarcastic" else 0.6)
    texts, said = read(CritiqueWriting(digressing=1.0), values)
    assert all(value is None or abs(value) < 0.2 for value in said)
    assert all(sorted(one) == sorted(other) for one, other in zip(plain, read(CritiqueWriting(mistyped=1.0), values)[0], strict=True))


def test_a_real_person_is_a_choice_and_a_rating_of_one_mind():
    annotator = Annotator(choice=RealPeople(), rating=RealPeople(), slips=(Coin(0.0),), points=4.0)
    same = preset("vader-human")
    worth = np.linspace(-4, 4, 50)
    assert np.array_equal(annotator.rate(worth, np.arange(50)).value, same.rate(worth, np.arange(50)).value)


def test_an_environment_takes_a_simulated_person_by_name():
    env = gym.make(
        "TextGen-v0", tokenizer="bytes", prompts=["My pet"], feedback="feedback.simulated_person:SimulatedPerson", max_new_tokens=2
    )
    env.reset(seed=0)
    env.step(ord("!"))
    *_, info = env.step(ord("!"))
    assert info["scored"] and -1.0 <= info["score"] <= 1.0
