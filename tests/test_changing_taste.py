"""Test the experiment on tastes that change: its truth, and that each learner does what it is said to do."""

import numpy as np
import pytest

from benchmarks.changing_taste import LEARNERS, ChangingTasteOptions, follow, main, make_stream, run_course

OPTIONS = ChangingTasteOptions(num_answers=1200, num_seeds=2)


def test_the_tastes_are_at_right_angles_and_the_step_comes_in_the_middle():
    stream = make_stream("step", 0, OPTIONS)
    assert stream.tastes @ stream.tastes.T == pytest.approx(4.0 * np.eye(2), abs=1e-9)
    assert stream.share[:600].tolist() == [[1.0, 0.0]] * 600
    assert stream.share[600:].tolist() == [[0.0, 1.0]] * 600


def test_answers_follow_what_is_wanted_when_they_are_asked():
    stream = make_stream("step", 0, OPTIONS)
    difference = stream.features[0::2] - stream.features[1::2]
    for part, taste in ((slice(0, 600), 0), (slice(600, 1200), 1)):
        agrees = [(np.sign(difference[part] @ stream.tastes[which]) > 0) == (stream.target[part] > 0.5) for which in (taste, 1 - taste)]
        assert agrees[0].mean() > 0.75
        assert abs(agrees[1].mean() - 0.5) < 0.07


def test_the_same_share_of_clear_answers_is_turned_round_on_either_side():
    options = ChangingTasteOptions(num_answers=20_000, noise=0.2)
    stream = make_stream("none", 0, options)
    wanted = (stream.features[0::2] - stream.features[1::2]) @ stream.tastes[0]
    for sign in (1, -1):
        clear = sign * wanted > 5  # of these fewer than 0.7 % are uncertain by themselves
        assert np.mean((stream.target[clear] > 0.5) != (sign > 0)) == pytest.approx(0.2, abs=0.03)


def test_the_truth_examines_itself_without_error():
    stream = make_stream("none", 0, OPTIONS)
    assert stream.accuracy(stream.tastes[0], stream.share[0]) == 1.0
    assert stream.accuracy(-stream.tastes[0], stream.share[0]) == 0.0


def test_after_a_step_whoever_forgets_recovers_sooner_than_whoever_takes_all_alike():
    found = {learner: run_course("step", learner, 0, OPTIONS) for learner in LEARNERS}
    alike, recent, noticing = (found[learner] for learner in LEARNERS)
    assert alike["share recovered"] == 0.0
    for careful in (recent, noticing):
        assert careful["accuracy at the end"] > alike["accuracy at the end"] + 0.05
        assert careful["forgotten"] > alike["forgotten"]


def test_where_nothing_changes_nothing_is_forgotten_by_the_one_who_looks_for_changes():
    stream = make_stream("none", 1, OPTIONS)
    assert np.array_equal(follow(stream, "since the last change", OPTIONS)[0], follow(stream, "all alike", OPTIONS)[0])


@pytest.mark.draws_globally
def test_the_command_reports_every_learner(tmp_path, capsys):
    arguments = ["--courses", "step", "--num-seeds", "2", "--num-answers", "400", "--json", str(tmp_path / "found.json")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(learner.split()[0] in shown for learner in LEARNERS)
    assert (tmp_path / "found.json").read_text().count("forgotten") == 3
