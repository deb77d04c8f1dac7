"""Test the experiment on what is asked: its worlds, what is kept from asking, and the arithmetic of its curves."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.asking import AskingOptions, answers_of, ask, main, run_curve
from benchmarks.asking_curves import Curve, answers_needed, area, figures, summary
from benchmarks.asking_worlds import Items, linear_world
from feedback.selection.candidate_pairs import kept_for_evaluation

OPTIONS = AskingOptions(worlds=("linear",), annotators=("oracle",), budgets=(20, 60), linear_seeds=2)
WAYS = ("random", *OPTIONS.ways)


@pytest.fixture(scope="module")
def world():
    return linear_world(0)


@pytest.fixture(scope="module")
def asked(world):
    return {way: ask(world, way, "oracle", 0, OPTIONS) for way in WAYS}


# The worlds.


def test_the_true_worth_examines_itself_without_error_and_turned_round_it_is_always_wrong(world):
    for items in (world.known, world.new):
        assert items.accuracy(items.gold) == 1.0
        assert items.accuracy(-items.gold) == 0.0
        assert items.accuracy(np.zeros(len(items.gold))) == 0.5


def test_true_ties_are_not_examined_and_ties_of_the_scores_are_half_right():
    items = Items(np.zeros((4, 1)), np.array([0.0, 0.0, 1.0, 2.0]), np.array([[0, 1], [0, 2], [2, 3]]))
    assert items.accuracy(np.array([0.0, 5.0, 1.0, 1.0])) == 0.75
    with pytest.raises(ValueError, match="no pair of 1"):
        items.accuracy(items.gold, np.array([0]))


def test_an_oracle_answers_as_the_worth_is_and_a_crowd_errs_at_its_rate_whatever_the_gap(world):
    truth = world.known.gap > 0
    assert (answers_of(world, "oracle", 0) == truth).all()
    wrong = answers_of(world, "crowd-66", 0) != truth
    assert wrong.mean() == pytest.approx(0.22, abs=0.025)  # three standard errors of 2700 pairs


def test_people_err_more_where_the_gap_is_small(world):
    near = np.abs(world.known.gap) < 0.5
    wrong = (answers_of(world, "vader-human", 0) - 0.5) * world.known.gap < 0
    assert wrong[near].mean() > wrong[~near].mean() + 0.1


# What is asked.


@pytest.mark.parametrize("way", WAYS)
def test_what_is_kept_for_evaluation_is_never_asked_and_nothing_is_asked_twice(asked, world, way):
    run = asked[way]
    assert len(np.unique(run.chosen)) == 60
    assert not np.isin(run.chosen, run.kept).any()
    assert np.array_equal(run.kept, np.flatnonzero(kept_for_evaluation(world.known.pairs, 0.2, 0)))


def test_every_way_begins_with_the_same_questions_and_goes_on_with_its_own(asked):
    assert all(np.array_equal(asked[way].chosen[:20], asked["random"].chosen[:20]) for way in WAYS)
    assert len({tuple(asked[way].chosen[20:40]) for way in WAYS}) == len(WAYS)


def test_an_answer_is_the_same_whoever_asks_and_another_with_another_seed(world):
    again = answers_of(world, "vader-human", 0)
    assert np.array_equal(again, answers_of(world, "vader-human", 0))
    assert not np.array_equal(again, answers_of(world, "vader-human", 1))


def test_nothing_of_the_choice_depends_on_answers_that_were_not_asked_for(world, monkeypatch):
    def hidden(*_):
        target = answers_of(world, "oracle", 0)
        return np.where(np.isin(np.arange(len(target)), told.chosen), target, 1 - target)

    told = ask(world, "information gain", "oracle", 0, OPTIONS)
    monkeypatch.setattr("benchmarks.asking.answers_of", hidden)
    assert np.array_equal(ask(world, "information gain", "oracle", 0, OPTIONS).chosen, told.chosen)


def test_who_asks_for_what_is_close_asks_for_smaller_gaps_and_who_asks_for_what_differs_for_larger_ones(world):
    longer = replace(OPTIONS, budgets=(20, 240))
    chosen = {way: ask(world, way, "oracle", 0, longer).chosen[80:] for way in ("random", "closeness", "diversity")}
    gaps = {way: np.abs(world.known.gap[pairs]).mean() for way, pairs in chosen.items()}
    assert gaps["closeness"] < 0.8 * gaps["random"]
    assert gaps["diversity"] > 1.1 * gaps["random"]


def test_more_answers_are_learned_from(asked):
    assert all(run.accuracy[1] > run.accuracy[0] > 0.6 and run.new[1] > run.new[0] > 0.6 for run in asked.values())


def test_more_questions_than_there_are_pairs_are_refused(world):
    with pytest.raises(ValueError, match="pairs can be asked about, not 5000"):
        ask(world, "random", "oracle", 0, replace(OPTIONS, budgets=(20, 5000)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"linear_seeds": 1}, "linear_seeds must be at least 2"),
        ({"budgets": (40, 20)}, "budgets must rise"),
        ({"budgets": (10, 20)}, "at least a batch of 20"),
        ({"budgets": (20,)}, "at least two budgets"),
        ({"num_heads": 1}, "one head never disagrees"),
        ({"growth": 1.0}, "growth must be"),
        ({"evaluation_share": 0.0}, "evaluation_share must be"),
    ],
)
def test_options_that_measure_nothing_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        AskingOptions(**wrong)


# The arithmetic of curves.


def test_the_area_is_the_mean_over_doublings():
    assert area((20, 40, 160), np.array([[0.5, 0.7, 0.9]])) == pytest.approx([(0.6 + 2 * 0.8) / 3], abs=1e-12)


def test_the_answers_needed_lie_between_budgets_and_are_the_largest_where_the_goal_is_never_reached():
    curves = np.array([[0.5, 0.7, 0.9], [0.8, 0.9, 0.9], [0.5, 0.6, 0.7]])
    assert answers_needed((20, 40, 80), curves, 0.8) == pytest.approx([40 * 2**0.5, 20, 80], rel=1e-12)


def test_differences_are_paired_by_seed():
    rest = {"wrong": np.array([0.1, 0.2, 0.3]), "ties": np.zeros(3), "gap": np.ones(3)}
    spread = np.array([[0.5, 0.6], [0.7, 0.8], [0.8, 0.95]])
    chance = Curve("linear", "oracle", "random", (20, 40), spread, spread, **rest)
    better = Curve("linear", "oracle", "closeness", (20, 40), spread + 0.01, spread - 0.02, **rest)
    found = summary(better, chance)
    for name, value in {"area less random's": 0.01, "accuracy less random's": 0.01, "area on new items less random's": -0.02}.items():
        assert (found[name].low, found[name].high) == pytest.approx((value, value), abs=1e-9)
    assert figures([chance, better])["linear/oracle/closeness/accuracy at 20 less random's"].value == pytest.approx(0.01, abs=1e-12)


def test_wrong_answers_are_counted_among_what_was_asked(world):
    curve = run_curve("linear", "crowd-66", "random", [world, world], OPTIONS)
    expected = []
    for seed in range(2):
        run = ask(world, "random", "crowd-66", seed, OPTIONS)
        expected.append(np.mean([run.target[pair] != (world.known.gap[pair] > 0) for pair in run.chosen]))
    assert curve.wrong.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.draws_globally
def test_the_command_reports_every_way_and_draws_a_picture(tmp_path, capsys):
    arguments = ["--worlds", "linear", "--annotators", "oracle", "--budgets", "20", "40", "--linear-seeds", "2"]
    assert main([*arguments, "--folder", str(tmp_path), "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name.split("/")[2] for name in found} == set(WAYS)
    assert found["linear/oracle/random/area less random's"]["value"] == 0.0
    assert (tmp_path / "asking.png").read_bytes().startswith(b"\x89PNG")
    assert "area" in capsys.readouterr().out


@pytest.mark.slow
def test_responses_of_the_language_model_are_learned_from_too(tmp_path):
    from benchmarks.asking_worlds import text_world

    made = text_world(tmp_path, 6)
    run = ask(made, "random", "oracle", 0, replace(OPTIONS, budgets=(20, 640)))
    assert run.accuracy[1] > max(run.accuracy[0], 0.6)
    assert np.array_equal(text_world(tmp_path, 6).known.gold, made.known.gold)
