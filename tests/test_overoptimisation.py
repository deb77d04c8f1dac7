"""Test the experiment on over-optimisation: its noise, exact sums and verdicts, and that nothing but labels comes from the truth."""

import json
from dataclasses import replace

import numpy as np
import pytest

from agents.learning.best_of_n import best_of_n_kl_bound
from benchmarks.overoptimisation import __main__ as command
from benchmarks.overoptimisation.exact_world import KL_WEIGHTS, SIZES, make_exact_world, run_exact, standardised
from benchmarks.overoptimisation.noisy_labels import noisy_comparisons, random_pairs
from benchmarks.overoptimisation.points import Point, by_weight, curves, judge
from benchmarks.overoptimisation.proxies import WAYS, fit_proxies
from benchmarks.overoptimisation.report import draw_curves, figures, tables

SETTINGS = {"num_comparisons": 100, "num_heads": 3, "variance_weight": 0.5}


# Labels.


def test_the_stated_share_of_answers_is_wrong_and_more_noise_turns_further_ones_round():
    gold = np.arange(200.0)
    pairs = random_pairs(np.zeros(200, dtype=np.int64), 20_000, seed=0)
    wrong = {}
    for noise in (0.0, 0.1, 0.25):
        labels = noisy_comparisons(gold, pairs, noise, seed=3)
        wrong[noise] = labels.target != (gold[labels.first] > gold[labels.second])
        assert wrong[noise].mean() == pytest.approx(noise, abs=0.01)  # three standard errors
    assert not (wrong[0.1] & ~wrong[0.25]).any()


def test_equal_responses_are_a_tie_however_noisy():
    labels = noisy_comparisons(np.zeros(4), np.array([[0, 1], [2, 3]]), 0.5, seed=0)
    assert labels.target.tolist() == [0.5, 0.5]


def test_pairs_are_of_one_prompt_and_never_of_a_response_with_itself():
    group = np.array([2, 0, 1, 0, 2, 1, 1])
    pairs = random_pairs(group, 5000, seed=0)
    assert (group[pairs[:, 0]] == group[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == {(1, 3), (0, 4), (2, 5), (2, 6), (5, 6)}
    with pytest.raises(ValueError, match="two responses"):
        random_pairs(np.array([0, 0, 1]), 3, seed=0)


@pytest.mark.parametrize("noise", [-0.1, 0.6, float("nan")])
def test_a_noise_that_is_none_is_refused(noise):
    with pytest.raises(ValueError, match=r"from 0 to 0\.5"):
        noisy_comparisons(np.zeros(2), np.array([[0, 1]]), noise, seed=0)


# The enumerable task.


def test_the_reference_sums_to_one_and_the_true_score_has_its_units():
    world = make_exact_world(seed=1)
    assert world.reference.sum() == pytest.approx(1.0, abs=1e-12)
    assert world.gold @ world.reference == pytest.approx(0.0, abs=1e-12)
    assert world.gold**2 @ world.reference == pytest.approx(1.0, abs=1e-12)
    assert (world.features.sum(axis=1) >= 1).all()


def test_the_reference_is_the_markov_chain_of_its_own_transitions():
    world = make_exact_world(seed=1, vocab_size=3, horizon=3)
    letters = np.flatnonzero(world.features.sum(axis=1) == 3)  # of full length: their last token need not end
    singles = np.flatnonzero(world.features.sum(axis=1) == 1)
    assert len(singles) == 1  # the end alone
    first_ends = world.reference[singles].sum()
    assert 0 < first_ends < 1
    assert world.reference[letters].sum() < 1


def test_a_score_that_tells_nothing_apart_has_no_units():
    with pytest.raises(ValueError, match="tells none apart"):
        standardised(np.ones(4), np.full(4, 0.25))


def test_the_farther_a_policy_goes_the_higher_is_what_it_is_chosen_by_and_the_distance_follows_the_formula():
    points = run_exact(0, noises=(0.25,), **SETTINGS)
    for (part, *_), curve in curves(points).items():
        assert (np.diff(curve.proxy[0]) > 0).all()
        assert (np.diff(curve.kl[0]) > 0).all()
        if part == "exact best of n":
            assert curve.steps.tolist() == list(map(float, SIZES))
            assert (curve.kl[0] <= [best_of_n_kl_bound(n) + 1e-9 for n in SIZES]).all()
        else:
            assert len(curve.steps) == len(KL_WEIGHTS)


def test_one_response_is_the_reference_by_either_score():
    points = [point for point in run_exact(2, noises=(0.0,), **SETTINGS) if point.part == "exact best of n" and point.step == 1]
    for point in points:
        assert (point.kl, point.gold) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert next(point.proxy for point in points if point.way == "mean") == pytest.approx(0.0, abs=1e-9)
    assert next(point.proxy for point in points if point.way == "min") < 0  # of members that disagree


def test_the_learned_score_depends_on_the_truth_through_the_labels_alone():
    """Two truths that give the same labels give the same learned scores, however else they differ."""
    world = make_exact_world(seed=3)
    pairs = random_pairs(np.zeros(len(world.gold), dtype=np.int64), 100, seed=0)
    stretched = np.exp(3 * world.gold)  # the same order
    one, other = (
        fit_proxies(world.features, noisy_comparisons(gold, pairs, 0.1, 0), 3, 0, 0.5, 1.0, world.features)
        for gold in (world.gold, stretched)
    )
    for way in WAYS:
        assert np.array_equal(one[way].scores(world.features), other[way].scores(world.features))


def test_the_ways_of_combining_are_ordered_from_bold_to_careful():
    world = make_exact_world(seed=3)
    comparisons = noisy_comparisons(world.gold, random_pairs(np.zeros(len(world.gold), dtype=np.int64), 100, seed=0), 0.25, 0)
    scores = {
        way: proxy.scores(world.features) for way, proxy in fit_proxies(world.features, comparisons, 4, 0, 0.5, 1.0, world.features).items()
    }
    assert (scores["min"] <= scores["mean"]).all()
    assert (scores["mean - variance"] <= scores["mean"]).all()
    assert not np.allclose(scores["single"], scores["mean"])


# Verdicts.


def _points(gold, proxy, way="single"):
    """Make points of seeds by steps; the distance is the step."""
    return [
        Point("rl", 0.25, way, 0.1, seed, float(step), float(step), float(gold[seed][step]), float(proxy[seed][step]))
        for seed in range(len(gold))
        for step in range(len(gold[0]))
    ]


def test_a_true_score_that_falls_while_the_learned_one_rises_is_called_so():
    gold = [[0, 1.0, 0.2], [0, 1.1, 0.1], [0, 0.9, 0.3]]
    proxy = [[0, 1, 2.0], [0, 1, 2.2], [0, 1, 1.9]]
    (curve,) = curves(_points(gold, proxy)).values()
    verdict = judge(curve)
    assert verdict.turns_down
    assert (verdict.peak.value, verdict.kl_at_peak.value, verdict.end.value) == pytest.approx((1.0, 1.0, 0.2))
    assert verdict.fall.value == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("gold", "proxy"),
    [
        ([[0, 1, 2.0], [0, 1, 2.1], [0, 1, 1.9]], [[0, 1, 2.0], [0, 1, 2.2], [0, 1, 1.9]]),  # it does not fall
        ([[0, 1, 0.0], [0, 1, 2.5], [0, 1, 0.3]], [[0, 1, 2.0], [0, 1, 2.2], [0, 1, 1.9]]),  # it falls by chance
        ([[0, 1, 0.2], [0, 1, 0.1], [0, 1, 0.3]], [[0, 1, 0.0], [0, 1, 0.2], [0, 1, 0.9]]),  # both fall: the training failed
    ],
)
def test_nothing_else_is_called_so(gold, proxy):
    (curve,) = curves(_points(gold, proxy)).values()
    assert not judge(curve).turns_down


def test_of_a_single_seed_nothing_is_claimed_and_everything_is_shown(tmp_path):
    found = curves(_points([[0, 1.0, 0.2]], [[0, 1, 2.0]]))
    assert not judge(next(iter(found.values()))).turns_down
    assert draw_curves(found, tmp_path / "picture.png").exists()
    assert len(list(tables(found))) == 1


def test_the_distance_to_stop_at_is_chosen_by_the_learned_score_alone():
    gold = [[0.0, 5.0, 1.0, 0.0]] * 2
    proxy = [[0.0, 1.0, 1.9, 2.7]] * 2
    (curve,) = curves(_points(gold, proxy)).values()
    chosen = by_weight(curve, (0.0, 0.85, 2.0))
    assert [found[1].value for found in chosen.values()] == [3.0, 2.0, 0.0]  # nats; at 0.85: 0, 0.15, 0.2, 0.15
    assert [found[0].value for found in chosen.values()] == [0.0, 1.0, 0.0]


def test_a_seed_without_some_step_is_refused():
    points = _points([[0, 1.0], [0, 1.0]], [[0, 1.0], [0, 1.0]])
    with pytest.raises(ValueError, match="different steps"):
        curves(points[:-1])


# The command.


@pytest.mark.draws_globally
def test_the_command_reports_goes_on_where_it_was_left_and_refuses_other_settings(tmp_path, capsys):
    arguments = [
        "--parts",
        "exact",
        "--exact-seeds",
        "2",
        "--jobs",
        "1",
        "--num-comparisons",
        "60",
        "--num-heads",
        "2",
        "--folder",
        str(tmp_path),
    ]
    assert command.main([*arguments, "--json", str(tmp_path / "figures.json")]) == 0
    first = json.loads((tmp_path / "figures.json").read_text())
    assert "exact optimum/0.25/single/0/fall" in first
    assert (tmp_path / "overoptimisation.png").stat().st_size > 10_000
    lines = (tmp_path / "points.jsonl").read_text().splitlines()
    (tmp_path / "points.jsonl").write_text("\n".join([*lines[:-1], lines[-1][: len(lines[-1]) // 2]]))  # killed while writing
    capsys.readouterr()
    assert command.main([*arguments, "--json", str(tmp_path / "again.json")]) == 0
    assert capsys.readouterr().err.count("of 1:") == 1  # only what was lost
    assert json.loads((tmp_path / "again.json").read_text()) == first
    with pytest.raises(ValueError, match="give another --folder"):
        command.main([*arguments, "--variance-weight", "2"])


@pytest.mark.parametrize("cut", ["", "{", '{"cell": {"seed": 1}', '{"cell": {"seed": 1}, "points": [{"kl": 1.0}'])
def test_a_line_that_was_not_written_to_its_end_is_left_out_wherever_it_was_cut(cut):
    whole = '{"cell": {}, "points": []}'
    assert len(list(command._whole_entries([whole, cut]))) == 1


def test_the_picture_names_axes_seeds_and_what_was_not_run(tmp_path):
    points = [replace(point, seed=seed) for seed in (0, 1) for point in run_exact(seed, noises=(0.0,), **SETTINGS)]
    found = curves(points)
    assert draw_curves(found, tmp_path / "picture.png").exists()
    titles = [table.title for table in tables(found)]
    assert len(titles) == 2 and "exact optimum" in titles[0]
    assert all(np.isfinite(figure.value) for figure in figures(found).values())
