"""Measure agreement: Krippendorff's published figures, its edges, and who in a study turns the scale round, drifts or guesses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from feedback.__main__ import main
from feedback.aggregation.agreement import alpha_interval, correlation_interval, krippendorff_alpha, share_interval
from feedback.study.quality import study_quality
from feedback.study.queueing import Mixing, Queue, Reply
from feedback.study.records import Interface, Kind, Outcome, Passage, Purpose, Question
from feedback.study.store import Store

NO = np.nan
PUBLISHED = [  # four people and twelve units: Krippendorff 2011, section C
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, 3],
    [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NO],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs_published_figure(level, alpha):
    assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_is_its_definition_by_pairs():
    ratings = np.where(np.random.default_rng(0).random((4, 15)) < 0.3, np.nan, np.random.default_rng(1).integers(1, 6, size=(4, 15)))
    units = [column[~np.isnan(column)] for column in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    everything = np.concatenate(units)
    within = sum(sum((a - b) ** 2 for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / len(everything)
    between = sum((a - b) ** 2 for a, b in itertools.permutations(everything, 2)) / (len(everything) * (len(everything) - 1))
    assert krippendorff_alpha(ratings, "interval") == pytest.approx(1 - within / between, rel=1e-12)


def test_the_ordinal_difference_counts_what_lies_between():
    ratings = [[1, 1, 2, 5], [1, 2, 2, 5]]
    counts = {1: 3, 2: 3, 5: 2}

    def difference(a, b):
        low, high = sorted((a, b))
        return (sum(counts[value] for value in counts if low <= value <= high) - (counts[low] + counts[high]) / 2) ** 2 if a != b else 0.0

    everything = [1, 1, 1, 2, 2, 2, 5, 5]
    within = 2 * difference(1, 2) / 8
    between = sum(difference(a, b) for a, b in itertools.permutations(everything, 2)) / (8 * 7)
    assert krippendorff_alpha(ratings, "ordinal") == pytest.approx(1 - within / between, rel=1e-12)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_perfect_agreement_is_one_and_constant_ratings_are_undefined(level):
    assert krippendorff_alpha([[1, 2, 3, 1], [1, 2, 3, 1]], level) == pytest.approx(1.0, abs=1e-12)
    assert krippendorff_alpha([[2, 2, 2], [2, 2, 2]], level) is None
    assert krippendorff_alpha([[1, NO], [NO, 2]], level) is None
    assert krippendorff_alpha(np.empty((3, 0)), level) is None


def test_chance_is_zero_and_contradiction_is_negative():
    generator = np.random.default_rng(0)
    assert abs(krippendorff_alpha(generator.integers(0, 2, size=(2, 20_000)), "nominal")) < 0.03
    assert krippendorff_alpha([[0, 1, 0, 1], [1, 0, 1, 0]], "nominal") < -0.5


def test_neither_the_order_of_people_nor_a_unit_with_one_rating_changes_alpha():
    table = np.array(PUBLISHED)
    with_single = np.hstack([table, [[5], [NO], [NO], [NO]]])
    assert krippendorff_alpha(table[::-1]) == pytest.approx(krippendorff_alpha(with_single), rel=1e-12)


def test_an_interval_holds_the_true_alpha_in_most_samples():
    generator = np.random.default_rng(3)

    def sample(size):
        truth = generator.normal(size=size)
        return truth + generator.normal(size=(3, size)) * 0.7

    true = krippendorff_alpha(sample(20_000))
    hits = 0
    for number in range(60):
        interval = alpha_interval(sample(60), resamples=100, seed=number)
        hits += interval.low <= true <= interval.high
    assert hits >= 49  # of 60 at a coverage of 0.95: fewer than 49 happen once in 10,000 times; the bootstrap's own is near 0.92


def test_few_units_have_no_interval():
    assert alpha_interval([[1, 2, 3], [1, 2, 2]])[1:] == (None, None)


@pytest.mark.parametrize(
    ("ratings", "level", "message"),
    [
        ([1, 2], "nominal", r"must be \[people, units\]"),
        ([[1, np.inf], [1, 2]], "nominal", "must be finite"),
        ([[1, 2], [1, 2]], "ratio", "level must be one of nominal, ordinal, interval, got 'ratio'"),
    ],
)
def test_what_is_no_table_of_ratings_is_refused(ratings, level, message):
    with pytest.raises(ValueError, match=message):
        krippendorff_alpha(ratings, level)


def test_wilsons_interval_solves_its_equation():
    interval = share_interval(7, 10)
    for bound in (interval.low, interval.high):
        assert abs(0.7 - bound) == pytest.approx(1.959963984540054 * np.sqrt(bound * (1 - bound) / 10), rel=1e-9)
    assert share_interval(0, 0).value is None and share_interval(0, 5).low == 0.0 and share_interval(5, 5).high == 1.0
    with pytest.raises(ValueError, match="got 6 of 5"):
        share_interval(6, 5)


def test_a_correlation_of_few_or_constant_numbers_is_undefined():
    assert correlation_interval([1, 2, 3], [1, 2, 3]).value is None
    assert correlation_interval([1, 1, 1, 1], [1, 2, 3, 4]).value is None
    assert correlation_interval([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]).value == pytest.approx(1.0)


TRUTH = {f" text {number}": 1 + number % 5 for number in range(60)}


class Clock:
    now = 1_000_000.0

    def __call__(self):
        self.now += 30.0
        return self.now


@pytest.fixture
def study(tmp_path):
    """Let five people rate sixty texts: two honest ones, one who turned the scale round, one who grows milder, one who guesses."""
    generator = np.random.default_rng(0)
    store = Store(tmp_path / "study.db", clock=Clock())
    passages = [Passage("", text) for text in TRUTH]
    gold = [Passage("", f" known {number}") for number in range(8)]
    asked = [Question(Kind.RATE, (passage.id,), wanted=5, most=5, instructions="Rate.") for passage in passages]
    asked += [Question(Kind.RATE, (each.id,), purpose=Purpose.GOLD, gold={"step": 4}, wanted=50, most=50) for each in gold]
    store.submit(asked, [*passages, *gold])
    queue = Queue(store, mixing=Mixing(gold_every=7, repeat_every=9, repeat_after=5))

    def noisy(truth):
        return int(np.clip(truth + generator.integers(-1, 2), 1, 5))

    people = {
        "ann": lambda truth, number: truth,
        "bob": lambda truth, number: noisy(truth),
        "inverted": lambda truth, number: 6 - noisy(truth),
        "milder": lambda truth, number: int(np.clip(truth + (2 if number > 30 else -1), 1, 5)),
        "guesser": lambda truth, number: int(generator.integers(1, 6)),
    }
    for name, says in people.items():
        person, number = store.enrol(name), 0
        while (showing := queue.next_for(person, Interface.SIMULATED)) is not None:
            truth = TRUTH.get(showing.passages[0].text, 4)
            queue.answer(person, showing.lease.id, showing.lease.id, Reply(Outcome.ANSWERED, {"step": says(truth, number)}))
            number += 1
    with store:
        yield store


def test_who_turned_the_scale_round_drifts_or_guesses_is_found_and_nobody_else(study):
    found = {person.handle: person for person in study_quality(study).people}
    assert [name for name, person in found.items() if person.is_inverted] == ["inverted"]
    assert [name for name, person in found.items() if person.is_drifting] == ["milder"]
    assert found["milder"].shift > 0.5
    assert found["guesser"].with_others.low < 0 < found["ann"].with_others.low
    assert found["ann"].gold.value == 1.0 and found["ann"].retest.value == 1.0
    assert found["guesser"].retest.value < 0.7
    assert all(person.num_repeated >= 5 and person.num_gold >= 6 for person in found.values())
    assert found["ann"].per_hour is not None and 1 < found["ann"].per_hour < 120


def test_one_who_turned_the_scale_round_makes_nobody_else_look_inverted_or_drifting(tmp_path):
    texts = [Passage("", f" text {number}") for number in range(25)]  # each better than the one before
    with Store(tmp_path / "study.db", clock=Clock()) as store:
        store.submit([Question(Kind.RATE, (text.id,), wanted=3, most=3) for text in texts], texts)
        queue = Queue(store, mixing=Mixing(0, 0, 0))
        for name in ("ann", "bob", "inverted"):
            person, number = store.enrol(name), 0
            while (showing := queue.next_for(person, Interface.SIMULATED)) is not None:
                step = min(5, 1 + number // 6 + (name == "bob" and number % 3 == 0))
                step = 6 - step if name == "inverted" else step
                queue.answer(person, showing.lease.id, showing.lease.id, Reply(Outcome.ANSWERED, {"step": step}))
                number += 1
        found = {person.handle: person for person in study_quality(store).people}
    assert [name for name, person in found.items() if person.is_inverted] == ["inverted"]
    assert not any(found[name].is_drifting for name in ("ann", "bob"))
    assert min(found[name].with_others.value for name in ("ann", "bob")) > 0.9


def test_a_repetition_is_compared_with_the_answer_before_and_counts_for_no_agreement(study):
    (kind,) = study_quality(study).kinds
    assert (kind.kind, kind.level) == (Kind.RATE, "ordinal")
    assert kind.num_units == 60 + 8
    assert -0.2 < kind.alpha.value < 0.6


@pytest.mark.draws_globally  # tyro does
def test_the_command_names_what_stands_out(study, capsys):
    assert main(["agreement", "--study", study.database.url.removeprefix("sqlite:///")]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "scale" in shown and "drifts" in shown
    assert lines["ann"] and "rate" in lines


@pytest.mark.draws_globally
def test_an_empty_study_has_nothing_to_agree_on(tmp_path, capsys):
    assert main(["agreement", "--study", str(tmp_path / "study.db")]) == 1
    assert "nobody has answered anything" in capsys.readouterr().out
