"""Test simulated annotators against closed forms, and that their noise depends on nothing but what is asked."""

from __future__ import annotations

import hashlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from feedback.simulated.annotator import Annotator
from feedback.simulated.answer_channels import Confusion, Delay, DropOut
from feedback.simulated.choices import Able, Attentive, Boltzmann, Oracle, Thurstone
from feedback.simulated.keyed_noise import Draws, content_keys, fold, normal_of, text_key, uniform_of
from feedback.simulated.misheard import Misheard
from feedback.simulated.presets import AGREEMENTS, PRESETS, preset
from feedback.simulated.rating_models import Percentile, Severity, anchored
from feedback.simulated.shown_sets import Features
from feedback.simulated.slips import Coin, Flip, Inverted, Spam, Tiring, flips_for_agreement
from feedback.simulated.utility_parts import (
    ChangingTaste,
    FormatBias,
    LastingNoise,
    LengthBias,
    Myopic,
    PositionBias,
    Taste,
    Troll,
    UtilityNoise,
    bias_for_share,
)
from feedback.simulated.withheld_answers import AllBad, DavidsonTie, Equal, Skip
from feedback.study.records import Outcome

N = 40_000
CONTENTS = np.arange(2 * N).reshape(N, 2)
QUANTILE = 3.2905  # of a normal distribution at 0.9995: a correct figure fails one test in a thousand, for fixed seeds never


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def chi_square_is_met(counts, probabilities):
    """Return whether counts go with probabilities, by the Wilson-Hilferty approximation of chi-square's 0.9995 quantile."""
    expected = np.asarray(probabilities) * np.sum(counts)
    is_possible = expected > 0
    assert not np.asarray(counts)[~is_possible].any()
    statistic = (((np.asarray(counts) - expected) ** 2)[is_possible] / expected[is_possible]).sum()
    freedom = is_possible.sum() - 1
    if freedom == 0:
        return True
    return bool(statistic < freedom * (1 - 2 / (9 * freedom) + QUANTILE * math.sqrt(2 / (9 * freedom))) ** 3)


def shares(annotator, difference, level=0.0, n=N, **options):
    """Return how often the first, the second, a tie, all bad, a skip and a timeout came out of n pairs of this difference."""
    utilities = np.broadcast_to([level + difference, level], (n, 2))
    said = annotator.compare(utilities, CONTENTS[:n], **options)
    assert np.array_equal(said.codes == 1, said.value == 0.5) and np.array_equal(said.codes > 1, np.isnan(said.value))
    return np.array([*[(said.value == value).sum() for value in (1.0, 0.0, 0.5)], *[(said.codes == code).sum() for code in (2, 4, 5)]])


def outcome_probabilities(first, tie=0.0, all_bad=0.0, skip=0.0, timeout=0.0):
    rest = 1.0 - tie - all_bad - skip - timeout
    return [rest * first, rest * (1 - first), tie, all_bad, skip, timeout]


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


CLOSED_FORMS = {
    "oracle": (Annotator(), 0.3, {}, outcome_probabilities(1.0)),
    "oracle of equals": (Annotator(), 0.0, {}, outcome_probabilities(0.5, tie=1.0)),
    "boltzmann": (Annotator(choice=Boltzmann(2.0)), 0.4, {}, outcome_probabilities(sigmoid(0.8))),
    "boltzmann of equals": (Annotator(choice=Boltzmann(2.0)), 0.0, {}, outcome_probabilities(0.5)),
    "coin by slope": (Annotator(choice=Boltzmann(0.0)), 5.0, {}, outcome_probabilities(0.5)),
    "nearly an oracle": (Annotator(choice=Boltzmann(1e6)), 1e-3, {}, outcome_probabilities(1.0)),
    "thurstone": (Annotator(choice=Thurstone(0.5)), 0.4, {}, outcome_probabilities(phi(0.4 / (0.5 * math.sqrt(2))))),
    "flip": (Annotator(slips=(Flip(0.1),)), 1.0, {}, outcome_probabilities(0.9)),
    "flip of half": (Annotator(slips=(Flip(0.5),)), 1.0, {}, outcome_probabilities(0.5)),
    "flip keeps ties": (Annotator(withholding=(Equal(0.2),), slips=(Flip(1.0),)), 0.1, {}, outcome_probabilities(0.5, tie=1.0)),
    "alpaca farm": (preset("alpaca-farm"), 1.0, {}, outcome_probabilities(0.75)),
    "noise after noise": (
        Annotator(choice=Boltzmann(1.0), slips=(Coin(0.2), Flip(0.1))),
        1.0,
        {},
        outcome_probabilities(0.1 + 0.8 * (0.8 * sigmoid(1.0) + 0.1)),
    ),
    "davidson": (
        Annotator(withholding=(DavidsonTie(0.7, slope=2.0),), choice=Boltzmann(2.0)),
        0.5,
        {},
        outcome_probabilities(sigmoid(1.0), tie=0.7 * math.sqrt(math.e) / (math.e + 1 + 0.7 * math.sqrt(math.e))),
    ),
    "skip": (Annotator(withholding=(Skip(0.0),)), -0.3, {}, outcome_probabilities(0.5, skip=1.0)),
    "all bad, whatever the difference": (
        Annotator(
            withholding=(
                Equal(9.0),
                AllBad(0.1),
            )
        ),
        -3.0,
        {},
        outcome_probabilities(0.5, all_bad=1.0),
    ),
    "position": (
        Annotator(utility=(PositionBias(0.3),), choice=Boltzmann(1.5)),
        0.2,
        {"shown_first": np.ones(N)},
        outcome_probabilities(sigmoid(1.5 * 0.5)),
    ),
    "position, second": (
        Annotator(utility=(PositionBias(0.3),), choice=Boltzmann(1.5)),
        0.2,
        {"shown_first": -np.ones(N)},
        outcome_probabilities(sigmoid(1.5 * -0.1)),
    ),
    "glad": (Annotator(choice=Able(0.8)), -0.01, {"features": Features(ease=np.full(N, 1.5))}, outcome_probabilities(1 - sigmoid(1.2))),
    "crowd bt": (
        Annotator(choice=Attentive(0.7, habit=0.9)),
        0.6,
        {"shown_first": -np.ones(N)},
        outcome_probabilities(0.7 * sigmoid(0.6) + 0.3 * sigmoid(-0.9)),
    ),
    "mace": (Annotator(slips=(Spam(0.4, first=0.8),)), 1.0, {"shown_first": -np.ones(N)}, outcome_probabilities(0.6 + 0.4 * 0.2)),
    "inverted": (Annotator(slips=(Inverted(1.0), Flip(0.1))), 1.0, {}, outcome_probabilities(0.1)),
    "troll": (Annotator(utility=(Troll(1.0),)), 1.0, {}, outcome_probabilities(0.0)),
    "fixed noise on nothing": (Annotator(utility=(UtilityNoise(fixed=0.3),)), 0.0, {}, outcome_probabilities(0.5)),
    "relative noise": (
        Annotator(utility=(UtilityNoise(relative=2.0),)),
        0.5,
        {},
        outcome_probabilities(phi(0.5)),  # u + N(0, 2u) against exactly 0
    ),
    "lasting noise": (Annotator(utility=(LastingNoise(0.5, 0.6),)), 0.4, {}, outcome_probabilities(phi(0.4 / (0.5 * math.sqrt(2))))),
    "tired": (Annotator(slips=(Tiring(0.05, 0.3, pace=50.0),)), 1.0, {"time": 50}, outcome_probabilities(1 - (0.3 - 0.25 / math.e))),
    "length": (
        Annotator(utility=(LengthBias(0.7),), choice=Boltzmann(1.0)),
        -0.2,
        {"features": Features(lengths=np.broadcast_to([99.0, 49.0], (N, 2)))},
        outcome_probabilities(sigmoid(-0.2 + 0.7 * math.log(2))),
    ),
    "format": (
        Annotator(utility=(FormatBias(0.4),), choice=Boltzmann(1.0)),
        0.1,
        {"features": Features(lists=np.broadcast_to([0.0, 2.0], (N, 2)))},
        outcome_probabilities(sigmoid(0.1 - 0.8)),
    ),
    "late": (
        Annotator(channel=(Delay(8.0, hesitation=0.5, spread=0.4, deadline=12.0),)),
        0.7,
        {},
        outcome_probabilities(1.0, timeout=1 - phi((math.log(1.5) - 0.5 * math.exp(-0.7)) / 0.4)),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_noise_model_comes_out_as_often_as_its_formula_says(name):
    annotator, difference, options, expected = CLOSED_FORMS[name]
    level = 0.0
    assert chi_square_is_met(shares(annotator, difference, level, **options), expected)


def test_the_chi_square_sees_a_difference_of_two_percent():
    assert not chi_square_is_met(shares(Annotator(slips=(Flip(0.12),)), 1.0), outcome_probabilities(0.9))


@pytest.mark.parametrize("name", ["boltzmann", "thurstone", "flip", "davidson", "lasting noise"])
def test_swapping_sides_changes_nothing_for_who_has_no_bias(name):
    annotator = CLOSED_FORMS[name][0]
    utilities = np.random.default_rng(0).normal(size=(N, 2))
    one = annotator.compare(utilities, CONTENTS, shown_first=np.ones(N))
    other = annotator.compare(utilities[:, ::-1], CONTENTS[:, ::-1], shown_first=-np.ones(N))
    assert np.array_equal(one.value, 1.0 - other.value)
    assert np.array_equal(one.codes, other.codes)
    assert np.array_equal(one.value, annotator.compare(utilities, CONTENTS, shown_first=-np.ones(N)).value)


def test_swapping_sides_shifts_a_biased_annotator_by_exactly_twice_half_its_shift():
    annotator = Annotator(utility=(PositionBias(0.25),), choice=Boltzmann(1.0))
    utilities = np.random.default_rng(0).normal(size=(N, 2))
    first, second = (annotator.compare(utilities, CONTENTS, shown_first=sign * np.ones(N)).felt for sign in (1, -1))
    moved = (first[:, 0] - first[:, 1]) - (second[:, 0] - second[:, 1])
    assert np.abs(moved - 0.5).max() < 1e-12  # +0.25 against -0.25


def test_batches_and_their_order_change_nothing():
    annotator = Annotator(
        withholding=(DavidsonTie(0.5),), choice=Boltzmann(2.0), slips=(Coin(0.1), Flip(0.1)), channel=(Delay(deadline=20.0),)
    )
    utilities = np.random.default_rng(0).normal(size=(N, 2))
    whole = annotator.compare(utilities, CONTENTS)
    order = np.random.default_rng(1).permutation(N)
    shuffled = annotator.compare(utilities[order], CONTENTS[order])
    alone = [annotator.compare(utilities[[row]], CONTENTS[[row]]) for row in range(50)]
    for name in ("codes", "value", "felt", "seconds"):
        assert np.array_equal(getattr(whole, name)[order], getattr(shuffled, name), equal_nan=True)
        assert np.array_equal(np.concatenate([getattr(one, name) for one in alone]), getattr(whole, name)[:50], equal_nan=True)


def test_another_process_draws_the_same():
    code = (
        "import hashlib, numpy as np\n"
        "from feedback.simulated.presets import preset\n"
        "u = np.random.default_rng(0).normal(size=(2000, 2))\n"
        "said = preset('vader-human', seed=3).compare(u, np.arange(4000).reshape(2000, 2))\n"
        "print(hashlib.sha256(said.value.tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    utilities = np.random.default_rng(0).normal(size=(2000, 2))
    here = preset("vader-human", seed=3).compare(utilities, np.arange(4000).reshape(2000, 2))
    assert there == hashlib.sha256(here.value.tobytes()).hexdigest()


def test_the_first_draws_are_these():
    """Numbers from an implementation of splitmix64's finaliser in whole numbers of any size: a study can be repeated in years."""

    def slow(*words):
        state = 0
        for word in words:
            state = (state ^ word) + 0x9E3779B97F4A7C15 & (2**64 - 1)
            state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
            state = (state ^ state >> 27) * 0x94D049BB133111EB & (2**64 - 1)
            state ^= state >> 31
        return state

    assert slow(0) == 0xE220A8397B1DCDAF  # the first output of splitmix64 from the state 0
    draws = Draws.of(5, "ann", np.array([[9, 4]]), 2)
    expected = slow(slow(5, text_key("ann")), text_key("choice"), 2, 4, 9)
    assert int(fold(draws.annotator, text_key("choice"), 2, np.array([4]), np.array([9]))[0]) == expected
    assert draws.uniform("choice")[0] == ((expected >> 11) + 0.5) / 2**53
    assert draws.uniforms("choice")[0, 1] == ((slow(expected, 4) >> 11) + 0.5) / 2**53


def test_uniform_and_normal_draws_are_distributed_so():
    hashes = fold(np.arange(1_000_000))
    assert chi_square_is_met(np.histogram(uniform_of(hashes), bins=100, range=(0, 1))[0], np.full(100, 0.01))
    edges = np.linspace(-3, 3, 25)
    inside = np.array([phi(high) - phi(low) for low, high in itertools.pairwise(edges)])
    counts = np.histogram(normal_of(hashes), bins=edges)[0]
    assert chi_square_is_met([*counts, 1_000_000 - counts.sum()], [*inside, 1 - inside.sum()])


@pytest.mark.parametrize("part", [{"slips": (Flip(0.5),)}, {"choice": Boltzmann(0.0)}, {"choice": Thurstone(1e6)}])
def test_pairs_of_one_prompt_are_judged_apart_even_where_they_share_a_response(part):
    annotator = Annotator(**part)
    number = 20_000
    pairs = np.array([[[3 * prompt, 3 * prompt + 1], [3 * prompt, 3 * prompt + 2]] for prompt in range(number)])
    one, other = (annotator.compare(np.broadcast_to([1.0, 0.0], (number, 2)), pairs[:, which]).value for which in (0, 1))
    assert chi_square_is_met(np.bincount((2 * one + other).astype(int), minlength=4), np.full(4, 0.25))


def test_the_same_repetition_is_the_same_and_another_is_drawn_anew():
    annotator = Annotator(slips=(Flip(0.5),))
    utilities = np.broadcast_to([1.0, 0.0], (N, 2))
    first, again, second = (annotator.compare(utilities, CONTENTS, repetition=number).value for number in (0, 0, 1))
    assert np.array_equal(first, again)
    assert chi_square_is_met(np.bincount((2 * first + second).astype(int), minlength=4), np.full(4, 0.25))


def test_annotators_of_other_names_and_seeds_err_apart():
    utilities = np.broadcast_to([1.0, 0.0], (N, 2))
    said = [
        Annotator(name, slips=(Flip(0.5),), seed=seed).compare(utilities, CONTENTS).value for name, seed in (("a", 0), ("b", 0), ("a", 1))
    ]
    assert chi_square_is_met(np.bincount((4 * said[0] + 2 * said[1] + said[2]).astype(int), minlength=8), np.full(8, 0.125))


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    preset("vader-human").rate(np.zeros(10), np.arange(10))
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("name", AGREEMENTS)
def test_two_annotators_of_a_preset_agree_as_often_as_its_name_says(name):
    utilities = np.random.default_rng(0).normal(size=(N, 2))
    one, other = (preset(name, seed=1, person=person).compare(utilities, CONTENTS).value for person in ("ann", "bob"))
    share, agreement = (one == other).mean(), AGREEMENTS[name]
    assert abs(share - agreement) < 3.3 * math.sqrt(agreement * (1 - agreement) / N)
    assert name.endswith(str(round(100 * agreement)))


@pytest.mark.parametrize(
    ("agreement", "flips"), [(0.657, 0.220), (0.726, 0.164), (0.773, 0.131), (0.81, 0.106), (0.847, 0.083), (0.5, 0.5), (1.0, 0.0)]
)
def test_flips_give_the_agreement_that_they_are_made_for(agreement, flips):
    share = flips_for_agreement(agreement)
    assert share == pytest.approx(flips, abs=5e-4)
    assert (1 - share) ** 2 + share**2 == pytest.approx(agreement, abs=1e-12)


def test_a_threshold_is_applied_once_and_scales_with_the_utilities():
    utilities = np.array([[0.0, 0.09], [0.0, 0.11]])
    for scale in (1.0, 10.0):
        said = Annotator(withholding=(Equal(0.1 * scale),)).compare(scale * utilities, CONTENTS[:2])
        assert said.outcomes == [Outcome.TIE, Outcome.ANSWERED]


def test_nothing_asked_is_nothing_answered():
    for name in PRESETS.keys() - {"bpref-myopic"}:
        assert len(preset(name).compare(np.zeros((0, 2)), np.zeros((0, 2), dtype=int)).value) == 0
        assert len(preset(name).rate(np.zeros(0), np.zeros(0, dtype=int)).value) == 0


def test_no_opinion_is_an_abstention_and_never_a_number():
    said = Annotator().compare([[np.nan, 1.0], [2.0, 1.0]], [[1, 2], [3, 4]])
    assert said.outcomes == [Outcome.ABSTAIN, Outcome.ANSWERED]
    assert np.isnan(said.value[0]) and said.value[1] == 1.0
    assert said.comparisons([0, 2], [1, 3], ("a", "b", "c", "d")).num_comparisons == 1
    assert Annotator().rate([np.nan, 1.0], [1, 2]).labels([0, 1], ("a", "b"), ("1", "2", "3", "4", "5"), low=1).label.tolist() == [4]


def test_equal_contents_are_a_tie_even_for_who_prefers_a_side():
    annotator = Annotator(utility=(PositionBias(1.0),), choice=Boltzmann(1.0), slips=(Flip(0.5),))
    assert annotator.compare([[0.3, 0.3]], [[7, 7]], shown_first=[1]).outcomes == [Outcome.TIE]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Annotator().compare([[np.inf, 0.0]], [[1, 2]]), "utilities must be finite, or NaN for no opinion"),
        (lambda: Annotator().compare([[1.0, 0.0]], [[1.5, 2.0]]), "contents must be whole numbers"),
        (lambda: Annotator().compare([[1.0, 0.0, 2.0]], [[1, 2, 3]]), "a comparison is of two contents"),
        (lambda: Annotator().compare([1.0, 0.0], [1, 2]), "one shape of two axes"),
        (lambda: Annotator().compare([[1.0, 0.0]], [[1, 2]], shown_first=[2]), "shown_first must be 1, -1 or 0"),
        (lambda: Annotator().compare([[1.0, 0.0]], [[1, 2]], time=-1), "time must be a whole number of at least 0"),
        (
            lambda: Annotator(utility=(PositionBias(1.0),)).compare([[1.0, 0.0]], [[1, 2]]),
            "PositionBias needs to know what was shown first",
        ),
        (lambda: Annotator(utility=(LengthBias(1.0),)).compare([[1.0, 0.0]], [[1, 2]]), r"give Features\(lengths=...\)"),
        (lambda: preset("bpref-myopic").compare([[1.0, 0.0]], [[1, 2]]), r"Myopic needs to know the steps"),
        (lambda: Annotator(withholding=(DavidsonTie(1.0),)).rank([[1.0, 0.0, 2.0]], [[1, 2, 3]]), "model of pairs"),
        (lambda: Annotator().rate([1.0], [1], steps=(3, 3)), "a scale has 2 to 101 steps"),
        (lambda: Annotator(seed=-1), "seed must be from 0"),
        (lambda: Boltzmann(math.inf), r"the choice is Oracle\(\)"),
        (lambda: Flip(1.5), "share must be from 0 to 1, got 1.5"),
        (lambda: flips_for_agreement(0.4), "agree in 0.5 to 1 of the cases"),
        (lambda: preset("nobody"), "there is no annotator 'nobody'; there are oracle, "),
        (lambda: Confusion(((0.5, 0.4), (0.0, 1.0))), "rows sum to 1"),
        (lambda: Misheard(0.9, 0.2), "shares with a sum of at most 1"),
        (lambda: Misheard(rows=((1.0,),)), r"K rows of K \+ 1 probabilities"),
        (lambda: Annotator(speech=Misheard()).rank([[1.0, 0.0]], [[1, 2]]), "rankings are not spoken"),
        (lambda: bias_for_share(0.6, [0.0, 0.0]), "pairs that differ"),
    ],
)
def test_wrong_input_is_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_a_ranking_of_boltzmann_is_luces():
    utilities = np.broadcast_to([1.0, 0.5, 0.0], (N, 3))
    said = Annotator(choice=Boltzmann(2.0)).rank(utilities, np.arange(3 * N).reshape(N, 3))
    weights = np.exp(2.0 * utilities[0])
    orders = [(a, b, 3 - a - b) for a in range(3) for b in range(3) if a != b]
    expected = [weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a]) for a, b, _ in orders]
    counts = [(np.argsort(said.value, axis=1) == order).all(axis=1).sum() for order in orders]
    assert chi_square_is_met(counts, expected)


def test_neighbours_within_the_threshold_share_a_place():
    said = Annotator(withholding=(Equal(0.2),)).rank([[0.0, 1.0, 0.9], [0.1, 0.0, 0.2]], [[1, 2, 3], [4, 5, 6]])
    assert said.value.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert said.outcomes == [Outcome.ANSWERED, Outcome.TIE]


def test_a_thumb_is_up_as_often_as_the_choice_says():
    for choice, expected in ((Boltzmann(2.0), sigmoid(0.6)), (Thurstone(0.5), phi(0.6)), (Oracle(), 1.0)):
        said = Annotator(choice=choice, cutoff=0.1).thumb(np.full(N, 0.4), np.arange(N)).value
        assert chi_square_is_met([said.sum(), N - said.sum()], [expected, 1 - expected])


def test_a_rating_is_distributed_as_severity_stretch_and_noise_say():
    said = Annotator(rating=Severity(0.2, 0.8, 0.4)).rate(np.full(N, 0.1), np.arange(N)).value
    edges = (np.array([1.5, 2.5, 3.5, 4.5]) - 3.0) / 2.0  # in halves of the scale
    below = np.array([0.0, *[phi((edge - 0.28) / 0.4) for edge in edges], 1.0])
    assert chi_square_is_met(np.bincount(said.astype(int), minlength=6)[1:], np.diff(below))


def test_a_percentile_is_the_share_of_what_is_no_better():
    annotator = Annotator(rating=Percentile((0.0, 1.0, 2.0, 3.0)))
    assert annotator.rate([-1.0, 0.0, 2.0, 9.0], np.arange(4)).felt[:, 0].tolist() == [-1.0, -0.5, 0.5, 1.0]


def test_a_coin_gives_every_step_alike_and_a_flip_the_opposite_one():
    tossed = Annotator(slips=(Coin(1.0),)).rate(np.ones(N), np.arange(N)).value
    assert chi_square_is_met(np.bincount(tossed.astype(int), minlength=6)[1:], np.full(5, 0.2))
    assert Annotator(slips=(Flip(1.0),)).rate([-1.0, -0.5, 0.0, 1.0], np.arange(4)).value.tolist() == [5.0, 4.0, 3.0, 1.0]


def test_who_spams_ratings_gives_each_step_as_often_as_the_habit_says():
    habit = (0.1, 0.0, 0.5, 0.0, 0.4)
    said = Annotator(slips=(Spam(0.5, steps=habit),)).rate(np.ones(N), np.arange(N)).value
    assert chi_square_is_met(np.bincount(said.astype(int), minlength=6)[1:], 0.5 * np.array(habit) + [0, 0, 0, 0, 0.5])


def test_a_confused_annotator_says_each_class_as_often_as_its_row():
    rows = ((0.7, 0.2, 0.1), (0.0, 0.5, 0.5), (0.25, 0.25, 0.5))
    said = Annotator(confusion=Confusion(rows)).rate(np.repeat([-1.0, 0.0, 1.0], N), np.arange(3 * N), steps=(1, 3)).value
    for meant, row in enumerate(rows):
        assert chi_square_is_met(np.bincount(said[meant * N : (meant + 1) * N].astype(int), minlength=4)[1:], row)


def test_an_anchor_is_the_recursion_that_its_formula_says():
    felt = np.random.default_rng(0).normal(size=300)
    for before in (None, 0.7):
        slow, last = [], felt[0] if before is None else before
        for each in felt:
            last = each + 0.6 * (last - each)
            slow.append(last)
        assert np.abs(anchored(felt, 0.6, before) - slow).max() < 1e-14


def test_a_lasting_error_comes_again_as_far_as_it_is_stable():
    annotator = Annotator(utility=(LastingNoise(1.0, 0.8),))
    one, two = (annotator.rate(np.zeros(N), np.arange(N), steps=(-50, 50), repetition=number).felt[:, 0] for number in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1] - 0.64) < 3.3 * (1 - 0.64**2) / math.sqrt(N)
    assert abs(one.std() - 1.0) < 3.3 / math.sqrt(2 * N)


def test_a_walk_of_three_tastes_goes_round_in_circles():
    """Three contents, each best in one way and worst in another: who looks at one way at a time prefers in a circle (2/3 of the time)."""
    aspects = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])  # [content, way]
    for one, other in ((0, 1), (1, 2), (2, 0)):
        features = Features(aspects=np.broadcast_to(aspects[[one, other]], (N, 2, 3)))
        said = Annotator(utility=(Taste((1.0, 1.0, 1.0), attended=1),)).compare(np.zeros((N, 2)), CONTENTS, features).value
        share = (aspects[one] > aspects[other]).mean()
        assert chi_square_is_met([said.sum(), N - said.sum()], [share, 1 - share])
        assert said.mean() > 0.6 or share == pytest.approx(1 / 3)


def test_a_taste_weighs_aspects_and_changes_with_time():
    aspects = np.array([[[1.0, 0.0], [0.0, 3.0]]])
    assert Annotator(utility=(Taste((2.0, 0.5)),)).compare([[0.0, 0.0]], [[1, 2]], Features(aspects=aspects)).felt.tolist() == [[2.0, 1.5]]
    changing = Annotator(utility=(ChangingTaste(2, "linear", 100),))
    many = Features(aspects=np.repeat(aspects, 3, axis=0))
    said = changing.compare(np.zeros((3, 2)), np.arange(6).reshape(3, 2), many, time=np.array([0, 50, 100]))
    assert np.abs(said.felt - [[1.0, 0.0], [0.5, 1.5], [0.0, 3.0]]).max() < 1e-12


def test_a_myopic_annotator_discounts_what_is_long_ago_and_one_with_primacy_what_is_new():
    steps = np.array([[[1.0, 2.0, 4.0], [1.0, 2.0, np.nan]]])
    for primacy, expected in ((False, [0.25 + 1.0 + 4.0, 0.5 + 2.0]), (True, [1.0 + 1.0 + 1.0, 1.0 + 1.0])):
        said = Annotator(utility=(Myopic(0.5, primacy),)).compare([[0.0, 0.0]], [[1, 2]], Features(steps=steps))
        assert said.felt[0].tolist() == expected


def test_a_bias_is_found_that_gives_the_share_it_is_asked_for():
    generator = np.random.default_rng(0)
    lengths = generator.integers(10, 200, size=(N, 2)).astype(float)
    utilities = generator.normal(size=(N, 2))
    difference = np.log1p(lengths[:, 0]) - np.log1p(lengths[:, 1])
    weight = bias_for_share(0.64, difference, utilities[:, 0] - utilities[:, 1], slope=2.0)
    said = Annotator(utility=(LengthBias(weight),), choice=Boltzmann(2.0)).compare(utilities, CONTENTS, Features(lengths=lengths))
    longer = np.where(difference > 0, said.value, 1 - said.value)[difference != 0]
    assert abs(longer.mean() - 0.64) < 3.3 * 0.48 / math.sqrt(len(longer))
    assert bias_for_share(0.52, 1.0) == pytest.approx(math.log(0.52 / 0.48), abs=1e-9)


def test_people_leave_after_as_many_answers_as_their_share_says_and_do_not_come_back():
    lifetimes = []
    for person in range(2000):
        annotator = Annotator(str(person), channel=(DropOut(0.1),))
        said = annotator.compare(np.tile([1.0, 0.0], (100, 1)), CONTENTS[:100], time=np.arange(100))
        gone = said.codes == 5
        assert (np.diff(gone.astype(int)) >= 0).all() and np.isnan(said.value[gone]).all()
        lifetimes.append(100 - gone.sum())
    expected = [0.1 * 0.9**n for n in range(20)]
    counts = np.bincount(np.minimum(lifetimes, 21), minlength=22)[1:]
    assert chi_square_is_met(counts, [*expected, 1 - sum(expected)])


def test_an_answer_takes_longer_the_nearer_the_contents_are():
    annotator = Annotator(channel=(Delay(8.0, hesitation=1.0, spread=0.3),))
    for difference in (0.0, 2.0):
        seconds = annotator.compare(np.tile([difference, 0.0], (N, 1)), CONTENTS).seconds
        expected = math.log(8.0) + math.exp(-difference)
        assert abs(np.log(seconds).mean() - expected) < 3.3 * 0.3 / math.sqrt(N)
        assert abs(np.log(seconds).std() - 0.3) < 3.3 * 0.3 / math.sqrt(2 * N)


def test_a_share_of_the_sessions_is_inverted_all_through():
    annotator = Annotator(slips=(Inverted(0.3),))
    sessions = np.arange(N) // 20
    said = annotator.compare(np.tile([1.0, 0.0], (N, 1)), CONTENTS, Features(session=sessions)).value.reshape(-1, 20)
    assert (said == said[:, :1]).all()
    assert chi_square_is_met(np.bincount(said[:, 0].astype(int), minlength=2), [0.3, 0.7])


def test_contents_have_keys_by_their_words_alone():
    keys = content_keys([("a", "bc"), ("ab", "c"), ("a", "bc"), ("", "\ud83d")])
    assert keys[0] == keys[2] and len(set(keys.tolist())) == 3


def test_spoken_answers_are_lost_and_mistaken_as_often_as_was_measured():
    said = Annotator(speech=Misheard(lost=0.3, wrong=0.1)).compare(np.tile([1.0, 0.0], (N, 1)), CONTENTS)
    counts = [(said.value == value).sum() for value in (1.0, 0.5, 0.0)]
    assert chi_square_is_met([*counts, np.isnan(said.value).sum()], [0.6, 0.05, 0.05, 0.3])
    assert np.array_equal(said.codes == 1, said.value == 0.5) and np.array_equal(said.codes == 3, np.isnan(said.value))
    rows = ((0.8, 0.1, 0.0, 0.1), (0.0, 1.0, 0.0, 0.0), (0.0, 0.5, 0.3, 0.2))
    rated = Annotator(speech=Misheard(rows=rows)).rate(np.repeat([-1.0, 0.0, 1.0], N), np.arange(3 * N), steps=(1, 3)).value
    for meant, row in enumerate(rows):
        heard = np.nan_to_num(rated[meant * N : (meant + 1) * N], nan=4.0).astype(int)
        assert chi_square_is_met(np.bincount(heard, minlength=5)[1:], row)


def test_what_was_not_said_is_not_heard_either():
    said = Annotator(withholding=(Skip(9.0),), speech=Misheard(lost=0.0, wrong=0.0)).compare([[1.0, 0.0]], [[1, 2]])
    assert said.outcomes == [Outcome.SKIP] and np.isnan(said.value[0])
