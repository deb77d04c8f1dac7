"""Gather what reward models learn from: nothing that was not said, every ranking one judgement, and no prompt on both sides of a split."""

from __future__ import annotations

import json

import numpy as np
import pytest

from feedback.learned.evidence import Gathering, Ranking
from feedback.learned.evidence_sources import evidence_in, evidence_of
from feedback.study.exporting import Selection, kto_lines, log_lines, preference_lines
from feedback.study.queueing import Mixing, Queue, Reply
from feedback.study.records import Answer, Interface, Kind, Outcome, Passage, Purpose, Question
from tests.tiny_study import busy_study, new_store


def asked_and_answered(store, kind, texts, *replies, prompt="The film was", **options):
    """Ask one question and let one person after the other reply; a reply is made of the passages by name."""
    passages = [Passage(prompt, text) for text in texts]
    question = Question(kind, tuple(each.id for each in passages), wanted=max(1, len(replies)), most=max(1, len(replies)), **options)
    store.submit([question], passages)
    queue = Queue(store, mixing=Mixing(0, 0, 0))
    for number, reply in enumerate(replies):
        person = store.enrol(f"rater-{number}")
        showing = queue.next_for(person, Interface.SIMULATED)
        queue.answer(person, showing.lease.id, f"{question.id} {number}", reply([each.id for each in passages]))
    return passages


def groups(*order):
    return lambda names: Reply(Outcome.ANSWERED, {"groups": [[names[place] for place in group] for group in order]})


def plainly(outcome):
    return lambda names: Reply(outcome, reason="no idea" if outcome is Outcome.SKIP else "")


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "study.db") as opened:
        yield opened


def test_comparisons_ties_and_confidences_become_targets_and_weights(store):
    sure = lambda names: Reply(Outcome.ANSWERED, {"groups": [[names[1]], [names[0]]]}, confidence=0.25)  # noqa: E731
    asked_and_answered(store, Kind.COMPARE, [" a", " b"], groups([0], [1]), plainly(Outcome.TIE), sure)
    found = evidence_of(store)
    said = found.comparisons
    text = [passage.text for passage in found.passages]
    told = [(text[a], text[b], t, w) for a, b, t, w in zip(said.first, said.second, said.target, said.weight, strict=True)]
    assert sorted(told) == [(" a", " b", 0.5, 1.0), (" a", " b", 1.0, 1.0), (" b", " a", 1.0, 0.25)]
    assert said.annotators == ("rater-0", "rater-1", "rater-2") and set(said.shown_first) <= {-1, 1}
    assert not len(found.ratings.item) and not found.rankings and found.num_judgements == 3


def test_what_was_not_said_is_left_out_and_counted_and_never_a_zero(store):
    asked_and_answered(store, Kind.COMPARE, [" a", " b"], *(plainly(each) for each in (Outcome.ABSTAIN, Outcome.SKIP)))
    asked_and_answered(store, Kind.RATE, [" c"], plainly(Outcome.ABSTAIN), lambda names: Reply(Outcome.ANSWERED, {"step": 5}))
    asked_and_answered(store, Kind.CRITIQUE, [" d"], lambda names: Reply(Outcome.ANSWERED, {"text": "zxcv qwer"}))
    asked_and_answered(store, Kind.RATE, [" e"], lambda names: Reply(Outcome.ANSWERED, {"step": 3}, confidence=0.0))
    found = evidence_of(store)
    assert found.left_out == {"abstain": 2, "skip": 1, "critique without a verdict": 1, "without confidence": 1}
    assert found.num_judgements == 1 and found.ratings.value.tolist() == [1.0]
    assert [passage.text for passage in found.passages] == [" c"]


def test_an_answer_that_was_revised_or_taken_back_counts_once_or_not_at_all(store):
    asked_and_answered(store, Kind.RATE, [" a"], lambda names: Reply(Outcome.ANSWERED, {"step": 1}))
    asked_and_answered(store, Kind.RATE, [" b"], lambda names: Reply(Outcome.ANSWERED, {"step": 1}))
    queue, person = Queue(store, mixing=Mixing(0, 0, 0)), store.enrol("rater-0")
    queue.undo(person, "undo", Interface.SIMULATED)
    (first,) = [answer for answer in queue.history(person)]
    showing = queue.revise(person, first.id, Interface.SIMULATED)
    queue.answer(person, showing.lease.id, "revised", Reply(Outcome.ANSWERED, {"step": 5}))
    found = evidence_of(store)
    assert found.ratings.value.tolist() == [1.0]
    assert sum(found.left_out.values()) == 3 and set(found.left_out) == {"superseded", "withdrawn"}


def test_both_bad_is_no_tie_but_two_bad_ratings(store):
    asked_and_answered(store, Kind.COMPARE, [" a", " b"], plainly(Outcome.ALL_BAD))
    found = evidence_of(store)
    assert found.comparisons.num_comparisons == 0
    assert found.ratings.value.tolist() == [-1.0, -1.0]


def test_a_ranking_weighs_one_judgement_whatever_its_length(store):
    asked_and_answered(store, Kind.RANK, [" a", " b", " c", " d"], groups([2], [0, 1], [3]))
    asked_and_answered(store, Kind.RANK, [" e", " f", " g"], groups([0], [1]))
    found = evidence_of(store)
    pairs, times = found.pairs()
    assert found.num_judgements == 2 and len(times) == pairs.num_comparisons == 7
    in_first = pairs.first < 4
    assert in_first.sum() == 6 and pairs.weight[in_first].sum() == pytest.approx(1.0) and pairs.weight[~in_first].tolist() == [1.0]
    texts = [passage.text for passage in found.passages]
    ties = {frozenset((texts[a], texts[b])) for a, b, t in zip(pairs.first, pairs.second, pairs.target, strict=True) if t == 0.5}
    assert ties == {frozenset((" a", " b"))}
    assert (texts[pairs.first[-1]], texts[pairs.second[-1]]) == (" e", " f")  # who was left out of a ranking takes no part


def test_a_correction_is_preferred_to_what_it_corrects(store):
    asked_and_answered(store, Kind.CORRECT, [" a badd film"], lambda names: Reply(Outcome.ANSWERED, {"text": " a bad film"}))
    asked_and_answered(store, Kind.CORRECT, [" fine"], lambda names: Reply(Outcome.ANSWERED, {"text": " fine"}))
    found = evidence_of(store)
    (one,), (other,) = found.comparisons.first, found.comparisons.second
    assert (found.passages[one].text, found.passages[other].text) == (" a bad film", " a badd film")
    assert found.left_out == {"equal texts": 1}


def test_questions_that_test_people_are_not_learned_from(store):
    passage, person = Passage("The film was", " a"), store.enrol("rater-0")
    gold = Question(Kind.RATE, (passage.id,), purpose=Purpose.GOLD, gold={"step": 5})
    store.submit([gold], [passage])
    with store.database.writing() as connection:
        store.append(connection, [Answer(gold.id, person.id, "", "key", Outcome.ANSWERED, 1.0, {"step": 5})])
    assert evidence_of(store).num_judgements == 0
    assert evidence_of(store, Selection((Purpose.GOLD,))).num_judgements == 1


def test_a_log_is_the_same_evidence_as_its_study_and_preferences_keep_their_sides(tmp_path):
    with busy_study(tmp_path / "study.db", num=150) as busy:
        from_store = evidence_of(busy)
        for name, lines in (("log", log_lines(busy)), ("preferences", preference_lines(busy, Selection()))):
            (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        (tmp_path / "kto.jsonl").write_text("".join(kto_lines(busy, Selection(), good_from=4)), encoding="utf-8")
    from_log, from_study = evidence_in(tmp_path / "log.jsonl"), evidence_in(tmp_path / "study.db")
    for other in (from_log, from_study):
        assert other.passages == from_store.passages and other.left_out == from_store.left_out and other.rankings == from_store.rankings
        for name in ("first", "second", "target", "annotator", "weight", "shown_first"):
            assert np.array_equal(getattr(other.comparisons, name), getattr(from_store.comparisons, name))
        assert np.array_equal(other.ratings.value, from_store.ratings.value)
    preferred = evidence_in(tmp_path / "preferences.jsonl")
    first = json.loads((tmp_path / "preferences.jsonl").read_text("utf-8").splitlines()[0])
    assert preferred.passages[preferred.comparisons.first[0]].text == first["chosen"] and (preferred.comparisons.target == 1).all()
    judged = evidence_in(tmp_path / "kto.jsonl")
    assert set(judged.ratings.value) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n', "must be objects with prompt, chosen, rejected, .* got a"),
        ("", "got nothing"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b"}\n{"prompt": "p", "chosen": 3, "rejected": "b"}\n', "line 2: chosen must be of"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_was_expected(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        evidence_in(tmp_path / "x.jsonl")


def test_what_is_not_there_is_refused_and_not_made(tmp_path):
    with pytest.raises(ValueError, match="there is no study and no export"):
        evidence_in(tmp_path / "nothing.db")
    assert not list(tmp_path.iterdir())


def many_prompts(num=60, seed=0):
    gathering, generator = Gathering(), np.random.default_rng(seed)
    for number in range(num):
        prompt = f"prompt {number % 12}"
        one, other = (Passage(prompt, f" {generator.integers(1000)}") for _ in range(2))
        gathering.compare(one, other, 1.0, "ann", time=100.0 * number)
        gathering.rate(one, 0.5, "bob", time=100.0 * number)
    gathering.rank([[Passage("prompt 0", " x")], [Passage("prompt 0", " y"), Passage("prompt 1", " z")]], "ann")
    return gathering.evidence()


def prompts_of(part):
    numbers = {*part.comparisons.first, *part.comparisons.second, *part.ratings.item}
    numbers |= {item for ranking in part.rankings for group in ranking.groups for item in group}
    return {part.passages[number].prompt for number in numbers}


@pytest.mark.parametrize("seed", range(8))
def test_a_prompt_and_what_it_was_compared_with_are_on_one_side_of_a_split(seed):
    whole = many_prompts()
    learn, held = whole.split(0.3, seed)
    assert not prompts_of(learn) & prompts_of(held)
    assert learn.num_judgements + held.num_judgements == whole.num_judgements and held.num_judgements >= 0.3 * whole.num_judgements
    assert ("prompt 0" in prompts_of(learn)) == ("prompt 1" in prompts_of(learn))  # a ranking binds them


def test_a_split_is_decided_by_its_seed_and_leaves_something_to_learn_from():
    whole = many_prompts()
    assert prompts_of(whole.split(0.3, 1)[1]) == prompts_of(whole.split(0.3, 1)[1])
    assert len({frozenset(prompts_of(whole.split(0.3, seed)[1])) for seed in range(8)}) > 1
    assert whole.split(0.99, 0)[0].num_judgements > 0 and whole.split(0.0, 0)[1].num_judgements == 0
    alone = Gathering()
    alone.compare(Passage("p", "a"), Passage("p", "b"), 1.0, "ann")
    learn, held = alone.evidence().split(0.5, 0)
    assert (learn.num_judgements, held.num_judgements) == (1, 0)
    with pytest.raises(ValueError, match="share must be from 0 to below 1"):
        whole.split(1.0, 0)


def test_weights_halve_with_every_half_life_and_no_clock_decides_it():
    gathering = Gathering()
    for time in (0.0, 100.0, 200.0):
        gathering.compare(Passage("p", f"a{time}"), Passage("p", "b"), 1.0, "ann", time=time, weight=2.0)
    gathering.rate(Passage("p", "c"), 1.0, "ann", time=100.0)
    gathering.rank([[Passage("p", "d")], [Passage("p", "e")]], "ann", time=0.0)
    aged = gathering.evidence().aged(100.0)
    assert aged.comparisons.weight.tolist() == [0.5, 1.0, 2.0] and aged.ratings.weight.tolist() == [0.5]
    assert aged.rankings == (Ranking(((5,), (6,)), 0, 0.25, 0.0),)
    assert gathering.evidence().aged(np.inf).comparisons.weight.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="half_life must be above 0 seconds"):
        gathering.evidence().aged(0.0)


def test_weights_halve_with_every_half_life_of_later_answers():
    gathering = Gathering()
    for time in (0.0, 7.0, 7.5):
        gathering.compare(Passage("p", f"a{time}"), Passage("p", "b"), 1.0, "ann", time=time)
    gathering.rate(Passage("p", "c"), 1.0, "ann", time=8.0)
    aged = gathering.evidence().aged_by_answers(1.0)
    assert aged.comparisons.weight.tolist() == [0.125, 0.25, 0.5] and aged.ratings.weight.tolist() == [1.0]
    with pytest.raises(ValueError, match="half_life must be above 0 answers"):
        gathering.evidence().aged_by_answers(-1.0)


def test_the_first_answers_alone_can_be_read_again(store):
    asked_and_answered(store, Kind.RATE, [" a"], *[lambda names, step=step: Reply(Outcome.ANSWERED, {"step": step}) for step in (5, 1, 3)])
    assert evidence_of(store, num_answers=2).ratings.value.tolist() == [1.0, -1.0]


def test_equal_texts_to_equal_prompts_are_one_passage_and_no_comparison():
    gathering = Gathering()
    gathering.compare(Passage("p", "a"), Passage("p", "a", ids=(1, 2)), 1.0, "ann")
    gathering.rank([[Passage("p", "a")], [Passage("p", "a", ids=(1, 2))]], "ann")
    gathering.compare(Passage("p", "a"), Passage("q", "a"), 1.0, "ann")
    found = gathering.evidence()
    assert [(each.prompt, each.ids) for each in found.passages] == [("p", (1, 2)), ("q", ())]
    assert found.left_out == {"equal texts": 2} and found.num_judgements == 1
