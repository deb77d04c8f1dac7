"""Test that a change of what people want is noticed soon, that chance is not taken for one, and that better foresight is none."""

import numpy as np
import pytest

from feedback.learned.change_detection import ChangeDetector

BATCH = 25


def _stream(shares, per_share, seed):
    generator = np.random.default_rng(seed)
    return np.concatenate([(generator.random(per_share) < share).astype(float) for share in shares])


def _cuts(errors, **settings):
    detector = ChangeDetector(**settings)
    return [detector.add(errors[start : start + BATCH]) for start in range(0, len(errors), BATCH)], detector


def test_errors_that_do_not_change_are_seldom_taken_for_a_change():
    alarms = sum(any(_cuts(_stream([0.3], 1000, seed), false_alarms=0.05)[0]) for seed in range(200))
    assert alarms <= 10  # of 200 streams of 40 batches each; 0.05 of them would be 10 if it held for a whole stream


def test_a_change_is_noticed_within_a_hundred_answers_and_the_window_begins_near_it():
    for seed in range(20):
        cuts, detector = _cuts(_stream([0.2, 0.8], 500, seed))
        first = next(place for place, cut in enumerate(cuts) if cut)
        assert 500 < (first + 1) * BATCH <= 600
        assert abs(cuts[first] - 500) <= 25
        assert 450 <= detector.size <= 525


def test_errors_that_fall_are_no_change():
    cuts, detector = _cuts(_stream([0.8, 0.2], 500, 0))
    assert not any(cuts)
    assert detector.size == 1000


def test_a_window_goes_on_from_its_state_as_if_it_had_not_been_left():
    errors = _stream([0.2, 0.8], 500, 3)
    whole, _ = _cuts(errors)
    first, other = ChangeDetector(), ChangeDetector()
    cuts = [first.add(errors[start : start + BATCH]) for start in range(0, 500, BATCH)]
    other.load_state_dict(first.state_dict())
    cuts += [other.add(errors[start : start + BATCH]) for start in range(500, 1000, BATCH)]
    assert cuts == whole


def test_nothing_and_answers_that_are_all_foreseen_change_nothing():
    detector = ChangeDetector()
    assert detector.add([]) == 0
    assert detector.add(np.zeros(500)) == 0
    assert detector.size == 500


@pytest.mark.parametrize("errors", [[1.5], [float("nan")], [-0.1]])
def test_an_error_out_of_range_is_refused_by_its_value(errors):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {errors[0]}"):
        ChangeDetector().add(errors)


@pytest.mark.parametrize("settings", [{"false_alarms": 0.0}, {"false_alarms": 1.0}, {"fewest": 0}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ChangeDetector(**settings)
