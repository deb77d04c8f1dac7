"""Test the report on ten real raters: what it says of each and together, against made raters and against a slow reference."""

import json
from itertools import combinations

import numpy as np
import pytest

from feedback.aggregation.__main__ import main
from feedback.aggregation.rater_report import gains, reliability
from feedback.aggregation.vader_raters import vader_ratings


def made(num_people, num_items, seed, noise=1.0):
    generator = np.random.default_rng(seed)
    return np.clip(np.round(1.5 * generator.normal(size=num_items) + noise * generator.normal(size=(num_people, num_items))), -4, 4)


def test_accuracy_is_the_share_of_pairs_in_the_others_order_with_half_for_ties():
    ratings = made(4, 40, 0)
    own, others = ratings[1], np.delete(ratings, 1, axis=0).sum(axis=0)
    credits = [
        0.5 if own[a] == own[b] else float((own[a] - own[b]) * (others[a] - others[b]) > 0)
        for a, b in combinations(range(40), 2)
        if others[a] != others[b]
    ]
    assert reliability(ratings).raters[1].accuracy.value == pytest.approx(np.mean(credits), rel=1e-12)


def test_more_raters_are_better_and_every_aggregation_is_better_than_one():
    found = gains(made(10, 300, 1), num_items=200, splits=2)
    means = [found[name].accuracy.value for name in ("one rater", "mean of 2", "mean of 3", "mean of 4", "mean of 5")]
    assert means == sorted(means)
    assert all(gain.gain.low > 0 for name, gain in found.items() if name != "one rater")
    assert found["one rater"].gain == (0.0, 0.0, 0.0)
    assert all(gain.gain.value == pytest.approx(gain.accuracy.value - means[0]) for gain in found.values())


def test_weighing_people_gains_where_one_of_them_turned_the_scale_round():
    ratings = made(6, 300, 2, noise=0.5)
    ratings[2] *= -1  # among the three who are asked in half of the splits
    found = gains(ratings, num_items=120, splits=6)
    assert found["annotator-aware"].accuracy.value > found["bradley-terry"].accuracy.value + 0.02


def test_the_same_seed_gives_the_same_figures_and_another_one_others():
    ratings = made(6, 120, 3)
    first, again, other = (gains(ratings, 60, 1, seed) for seed in (1, 1, 2))
    assert first == again and first != other


@pytest.mark.parametrize(("people", "items", "splits"), [(3, 50, 1), (6, 9, 1), (6, 50, 0)])
def test_too_few_to_split_are_refused(people, items, splits):
    with pytest.raises(ValueError, match=f"at least 4 raters, 10 items and 1 split, got {people}, {items} and {splits}"):
        gains(made(people, items, 4), splits=splits)


@pytest.mark.slow
def test_none_of_vaders_ten_raters_is_inverted_constant_or_careless():
    found = reliability(vader_ratings()[1].T)
    assert not any(each.finding.is_inverted or each.finding.is_constant or each.finding.is_careless for each in found.raters)
    assert all(0.78 < each.finding.with_others.value < 0.88 for each in found.raters)
    assert found.alpha.low < 0.726 < found.alpha.high


@pytest.mark.slow
@pytest.mark.draws_globally  # tyro does
def test_the_command_shows_and_writes_every_figure(tmp_path, capsys):
    assert main(["--items", "200", "--splits", "1", "--json", str(tmp_path / "figures.json")]) == 0
    shown = capsys.readouterr().out
    assert "annotator-aware" in shown and "best accuracy against one" in shown
    written = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert {"rater/10/accuracy", "pairs/ceiling", "mace/gain", "alpha"} <= written.keys()
    assert all(
        set(each) == {"value", "unit", "low", "high", "n"} and each["low"] <= each["value"] <= each["high"] for each in written.values()
    )


@pytest.mark.draws_globally
def test_the_command_names_what_is_wrong(capsys):
    assert main(["--error-rate", "2"]) == 1
    assert "error: error_rate must be above 0 and below 1, got 2.0" in capsys.readouterr().err
