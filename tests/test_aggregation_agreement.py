"""Test the kappas against published figures, the agreement on pairs against counting them, and the ceiling against drawing people."""

from itertools import combinations

import numpy as np
import pytest

from feedback.aggregation.kappas import cohen_kappa, fleiss_kappa, percent_agreement, retest_agreement
from feedback.aggregation.pair_agreement import agreement_ceiling, lapse_rate, pair_agreement
from feedback.aggregation.vader_raters import vader_ratings

NO = np.nan
FLEISS = [  # ten units, five classes, fourteen people: an example in many textbooks
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_is_the_published_figure():
    ratings = np.array([np.repeat(np.arange(5), row) for row in FLEISS]).T
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)
    assert percent_agreement(ratings) == pytest.approx(0.378, abs=5e-4)


def test_cohens_kappa_is_its_definition():
    one, other = np.repeat([1, 1, 0, 0], [20, 5, 10, 15]), np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(one, other) == pytest.approx((0.7 - 0.5) / (1 - 0.5))  # chance: 0.5 * 0.6 + 0.5 * 0.4
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 4, 50), generator.integers(0, 4, 50)
    for distance, gap in (("linear", lambda a, b: abs(a - b)), ("quadratic", lambda a, b: (a - b) ** 2)):
        observed = np.mean([gap(a, b) for a, b in zip(one, other, strict=True)])
        expected = np.mean([gap(a, b) for a in one for b in other])
        assert cohen_kappa(one, other, distance) == pytest.approx(1 - observed / expected, rel=1e-12)


def test_what_nobody_shares_and_what_cannot_differ_is_undefined():
    assert cohen_kappa([1, NO], [NO, 2]) is None and cohen_kappa([1, 1], [1, 1]) is None
    assert fleiss_kappa([[1, 1], [1, 1]]) is None and fleiss_kappa(np.empty((2, 0))) is None
    assert percent_agreement([[1, NO], [NO, 1]]) is None and percent_agreement([[1, 1], [1, 2], [NO, 1]]) == pytest.approx((1 + 1 / 3) / 2)
    assert cohen_kappa([1, 2, NO], [1, 2, 2]) == pytest.approx(1.0) and cohen_kappa([0, 1], [1, 0]) == pytest.approx(-1.0)
    empty = pair_agreement([[1, 1, 1], [1, 2, 3]])
    assert (empty.agreement.value, empty.tied, empty.ceiling.value) == (None, 1.0, None)


def test_who_answers_as_before_is_counted_with_an_interval():
    before = np.arange(40) % 4
    after = np.where(np.arange(40) < 30, before, (before + 1) % 4).astype(float)
    after[39] = NO
    found = retest_agreement(before, after)
    assert (found.share.value, found.num_answers) == (pytest.approx(30 / 39), 39)
    assert found.share.low < 30 / 39 < found.share.high and found.kappa.low < found.kappa.value < found.kappa.high
    assert found.kappa.value == pytest.approx(cohen_kappa(before, after))


def test_agreement_on_pairs_is_what_counting_them_gives():
    ratings = np.where(np.random.default_rng(1).random((3, 14)) < 0.2, NO, np.random.default_rng(2).integers(0, 4, (3, 14)))
    same = other = tied = 0
    for a, b in combinations(ratings, 2):
        for u, v in combinations(range(14), 2):
            steps = (a[u] - a[v]) * (b[u] - b[v])
            same, other, tied = same + (steps > 0), other + (steps < 0), tied + (steps == 0)
    found = pair_agreement(ratings, resamples=50)
    assert found.agreement.value == pytest.approx(same / (same + other), rel=1e-12)
    assert found.tied == pytest.approx(tied / (same + other + tied), rel=1e-12)


def test_two_of_ten_people_agree_on_vaders_words_as_was_measured_before():
    ratings = vader_ratings()[1].T
    found = pair_agreement(ratings, resamples=20)
    assert found.agreement.value == pytest.approx(0.847, abs=2e-3)  # then by drawing pairs
    assert found.agreement.low < found.agreement.value < found.agreement.high < found.agreement.low + 0.02
    assert found.lapse.value == pytest.approx(0.083, abs=2e-3)
    assert found.ceiling.low < found.ceiling.value == 1 - found.lapse.value < found.ceiling.high


def test_an_interval_of_agreement_holds_the_true_one_in_most_samples():
    generator = np.random.default_rng(3)

    def sample(size):
        return np.round(generator.normal(size=size) + 0.7 * generator.normal(size=(3, size)), 1)

    true = pair_agreement(sample(3000), resamples=1).agreement.value
    intervals = [pair_agreement(sample(60), resamples=100, seed=number).agreement for number in range(60)]
    assert sum(each.low <= true <= each.high for each in intervals) >= 49  # of 60: fewer happen once in 10,000 times


def test_who_knows_the_truth_is_confirmed_as_often_as_the_ceiling_says():
    generator = np.random.default_rng(4)
    truth, lapse = generator.random(200_000) < 0.5, 0.164
    one, other = (truth ^ (generator.random(200_000) < lapse) for _ in range(2))
    assert lapse_rate((one == other).mean()) == pytest.approx(lapse, abs=0.005)  # three standard errors
    assert (truth == one).mean() == pytest.approx(agreement_ceiling((one == other).mean()), abs=0.006)


@pytest.mark.parametrize(("agreement", "lapse"), [(0.657, 0.220), (0.726, 0.164), (0.773, 0.131), (0.81, 0.106), (0.5, 0.5), (1.0, 0.0)])
def test_agreement_and_lapse_belong_together(agreement, lapse):
    assert lapse_rate(agreement) == pytest.approx(lapse, abs=5e-4)
    eps = lapse_rate(agreement)
    assert (1 - eps) ** 2 + eps**2 == pytest.approx(agreement, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lapse_rate(0.4), "agreement must be from 0.5 to 1, got 0.4"),
        (lambda: cohen_kappa([1, 2], [1]), "both must rate the same units"),
        (lambda: cohen_kappa([1], [1], "cubic"), "distance must be one of nominal, linear, quadratic, got 'cubic'"),
        (lambda: fleiss_kappa([[1, 1], [2, 1], [NO, 1]]), "equally many ratings of each unit, got 2 to 3: take Krippendorff's alpha"),
        (lambda: percent_agreement([1, 2]), r"ratings must be \[people, units\], got the shape \(2,\)"),
        (lambda: pair_agreement([[np.inf, 1]]), r"ratings must be \[people, units\] and finite"),
    ],
)
def test_what_is_no_table_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
