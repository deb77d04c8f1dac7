"""What a study keeps: records go into JSON and come back equal, and what is no record is refused."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from enum import StrEnum
from itertools import permutations

import pytest

from feedback.study.payloads import CHECKS, check_payload
from feedback.study.queueing import gold_is_met
from feedback.study.records import (
    RECORDS,
    Answer,
    Closing,
    Interface,
    Kind,
    Lease,
    Outcome,
    Passage,
    Person,
    Purpose,
    Question,
    RecordError,
    Return,
    Scale,
    canonical,
)
from tests.tiny_study import asked, payload, written

P, Q = "a" * 32, "b" * 32
PASSAGE = Passage("Once", " upon\na\ttime \u05d0\U0001f600\x00", (1, 2), (0, 5), "tinylm", 7, {"temperature": 0.5, "stop": ["."]}, 3, "eos")
EXAMPLES = [
    PASSAGE,
    Passage("", ""),
    Question(Kind.COMPARE, (P, Q), "Which?", "2", ("tone",), ("tie",), priority=-3, selected_by="random", ticket="7"),
    Question(Kind.RATE, (P,), scale=Scale(0, 10, ("bad", "good")), purpose=Purpose.GOLD, gold={"step": 3}, least=2, wanted=3, most=4),
    Question(Kind.RANK, (P, Q), purpose=Purpose.REPEAT, repeats=P, only_for=Q, seconds_to_live=0.5),
    Person("rater-3"),
    Person("Zo\u00eb \u05d0", "owner"),
    Lease(P, Q, (Q, P), Interface.TERMINAL, 1.5, 2.5, 3, "session"),
    Answer(P, Q, P, "key", Outcome.ANSWERED, 2.25, {"groups": [[P], [Q]]}, 1.5, 0.25, "well", "", "recording", Q),
    Answer(P, Q, "", "other", Outcome.SKIP, 3, reason="unreadable"),
    Closing(P, "cancelled", 9.0),
    Return(P, 9.5),
]
GOOD = {type(example): example for example in reversed(EXAMPLES)}
INSTEAD = [5, True, 1.5, "text", ["a"], [1], {"a": 1}, None]  # one of each type of JSON


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.name)
def test_a_record_comes_back_from_json_equal_and_with_its_id(record):
    back = RECORDS[record.name].of(json.loads(canonical(record.body())))
    assert back == record and back.id == record.id and len(back.id) == 32
    assert canonical(back.body()) == canonical(record.body())


def test_every_record_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(RECORDS.values())


@pytest.mark.parametrize("kind", RECORDS.values(), ids=list(RECORDS))
def test_unknown_and_missing_fields_are_refused_by_name(kind):
    body = GOOD[kind].body()
    with pytest.raises(RecordError, match=rf"an? {kind.name} has no field 'colour'; it has .*"):
        kind.of(body | {"colour": "red"})
    needed = next(each.name for each in fields(kind))
    with pytest.raises(RecordError, match=rf"an? {kind.name} needs the field '{needed}'"):
        kind.of({name: value for name, value in body.items() if name != needed})
    with pytest.raises(RecordError, match=rf"an? {kind.name} must be a JSON object, got list"):
        kind.of([1])


@pytest.mark.parametrize("kind", RECORDS.values(), ids=list(RECORDS))
def test_a_value_of_another_type_is_refused_by_the_name_of_its_field_or_kept_as_it_is(kind):
    for each in fields(kind):
        for value in INSTEAD:
            body = GOOD[kind].body() | {each.name: value}
            try:
                kept = kind.of(body).body()
            except RecordError as error:
                assert each.name.removesuffix("s") in str(error), (each.name, value, str(error))
            else:
                assert (type(kept[each.name]), kept[each.name]) == (type(value), value), (each.name, value)  # nothing is coerced


def test_wrong_types_are_refused_in_every_field_that_has_one_type():
    wrong = {
        Passage: {"prompt": 1, "text": None, "ids": "12", "judged": ["a", "b"], "version": "1", "sampling": [], "seed": "x", "ending": 0},
        Question: {"kind": 1, "passages": "a", "aspects": [1], "allows": "tie", "scale": 5, "gold": [1], "only_for": 3, "priority": 1.5}
        | {"seconds_to_live": "9", "ticket": 7, "repeats": None, "wanted": True, "instructions": ["a"]},
        Person: {"handle": 7, "role": 1},
        Lease: {"order": "ab", "issued": "now", "expires": None, "attempt": 1.5, "interface": "phone", "session": 1, "question": 5},
        Answer: {"payload": [], "seconds": "1", "confidence": True, "comment": None, "key": 5, "given": "x", "outcome": "yes", "lease": 3},
        Closing: {"question": 4, "reason": None, "at": "now"},
        Return: {"lease": 4, "at": True},
    }
    for kind, changes in wrong.items():
        for name, value in changes.items():
            with pytest.raises(RecordError, match=name if name != "passages" else "passage"):
                kind.of(GOOD[kind].body() | {name: value})


@pytest.mark.parametrize("members", [Kind, Purpose, Outcome, Interface])
def test_no_two_members_have_one_value_and_each_comes_back_as_itself(members: type[StrEnum]):
    assert len({member.value for member in members}) == len(members.__members__)
    assert all(members(json.loads(json.dumps(member))) is member for member in members)
    assert set(members) == set(members.__members__.values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Question(Kind.COMPARE, (P, P)), "2 to 2 different passages"),
        (lambda: Question(Kind.COMPARE, (P,)), "2 to 2 different passages"),
        (lambda: Question(Kind.RANK, tuple("abcdefg")), "2 to 6 different passages"),
        (lambda: Question(Kind.BINARY, (P, Q)), "1 to 1 different passages"),
        (lambda: Question(Kind.BINARY, (1,)), "passages of a question must be text, got 1"),
        (lambda: Question(Kind.BINARY, ("x" * 33,)), "an id of at most 32 characters"),
        (lambda: Question(Kind.BINARY, (P,), allows=("maybe",)), "got 'maybe'"),
        (lambda: Question(Kind.BINARY, (P,), least=2), "1 <= least <= wanted <= most answers, got 2, 1, 1"),
        (lambda: Question(Kind.BINARY, (P,), priority=2**40), "priority of a question must be a whole number"),
        (lambda: Question(Kind.BINARY, (P,), seconds_to_live=0), "seconds_to_live must be above 0"),
        (lambda: Question(Kind.BINARY, (P,), seconds_to_live=math.inf), "seconds_to_live of a question must be a finite number"),
        (lambda: Question(Kind.BINARY, (P,), purpose=Purpose.GOLD), "needs gold: the payload that is right"),
        (lambda: Scale(3, 3), "2 to 101 steps"),
        (lambda: Scale(1, 3, ("a", "b", "c", "d")), "a word for each"),
        (lambda: Passage("", "abc", judged=(2, 4)), "within the 3 characters"),
        (lambda: Passage("", "abc", judged=(2, 2)), "within the 3 characters"),
        (lambda: Passage("", "\ud800"), "text of a passage holds half a character"),
        (lambda: Person(" "), "1 to 100 characters"),
        (lambda: Person("a\x00b"), "that can be printed"),
        (lambda: Person("a", "boss"), '"rater" or "owner", got .boss.'),
        (lambda: Answer(P, Q, P, "", Outcome.TIE, 1.0), "key has 1 to 100 characters, got 0"),
        (lambda: Answer(P, Q, P, "k", Outcome.TIE, math.nan), "given of an answer must be a finite number, got nan"),
        (lambda: Answer(P, Q, P, "k", Outcome.TIE, 10**400), "given of an answer must be a finite number"),
        (lambda: Answer(P, Q, P, "k", Outcome.TIE, 1.0, confidence=1.5), "between 0 and 1"),
        (lambda: Answer(P, Q, P, "k", Outcome.TIE, 1.0, comment="a" * 200_001), "at most 200000 characters"),
        (lambda: canonical({"a": math.nan}), "plain JSON"),
        (lambda: canonical({1: "a"}), "the keys of an object must be text"),
        (lambda: canonical({"a": {"b": "\udfff"}}), "plain JSON"),
        (lambda: canonical({"a": {1}}), "plain JSON"),
    ],
)
def test_a_record_out_of_range_is_refused_with_the_reason(make, message):
    with pytest.raises(RecordError, match=message):
        make()


def test_equal_records_have_one_id_and_different_ones_have_two():
    assert Question(Kind.COMPARE, (P, Q), seconds_to_live=60).id == Question(Kind.COMPARE, (P, Q), seconds_to_live=60.0).id
    assert Passage("", "a", sampling={"a": 1, "b": [2.0]}).id == Passage("", "a", sampling={"b": [2], "a": 1.0}).id
    assert Question(Kind.COMPARE, (P, Q)).id != Question(Kind.COMPARE, (Q, P)).id
    assert Passage("a", "b").id != Passage("ab", "").id and Passage("a", "b", version=1).content == Passage("a", "b").content
    assert Answer(P, Q, "", "k", Outcome.TIE, 1.0).id == Answer(Q, Q, "", "k", Outcome.SKIP, 2.0).id  # person and key
    assert Person("a").id == Person("a", "owner").id != Person("A").id


def test_missing_is_not_zero():
    said = Answer.of({"question": P, "person": Q, "lease": P, "key": "k", "outcome": "abstain", "given": 0})
    assert said.payload == {} and said.seconds is None and said.confidence is None and said.given == 0
    assert Answer.of(said.body() | {"seconds": 0, "confidence": 0}) != said
    assert canonical(said.body()) == canonical(json.loads(canonical(said.body())))


def test_each_kind_takes_what_it_asks_for():
    assert set(CHECKS) == set(Kind)
    for kind in Kind:
        question, passages = asked(kind)
        check_payload(question, Outcome.ANSWERED, payload(question), {passage.id: passage for passage in passages})


A, B, C = (passage.id for passage in asked(Kind.RANK)[1])
ONE, OTHER = (passage.id for passage in asked(Kind.COMPARE)[1])


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        (Kind.BINARY, {}, "exactly good; got nothing"),
        (Kind.BINARY, {"good": 1}, "good must be true or false, got 1"),
        (Kind.BINARY, {"good": True, "bad": False}, "exactly good; got bad, good"),
        (Kind.RATE, {"step": 6}, "a whole number from 1 to 5, got 6"),
        (Kind.RATE, {"step": 0}, "a whole number from 1 to 5, got 0"),
        (Kind.RATE, {"step": 3.0}, "a whole number from 1 to 5, got 3.0"),
        (Kind.RATE, {"step": "3"}, "a whole number from 1 to 5, got '3'"),
        (Kind.RATE, {"step": True}, "a whole number from 1 to 5, got True"),
        (Kind.COMPARE, {"groups": [[ONE, OTHER]]}, "an answer prefers something"),
        (Kind.COMPARE, {"groups": [[ONE]]}, "a comparison names both passages"),
        (Kind.COMPARE, {"groups": [[ONE], [ONE]]}, "each at most once"),
        (Kind.COMPARE, {"groups": [[ONE], [A]]}, "name passages of the question"),
        (Kind.COMPARE, {"groups": [ONE, OTHER]}, "a list of lists"),
        (Kind.COMPARE, {"groups": [[ONE], []]}, "a list of lists"),
        (Kind.COMPARE, {"left": ONE}, "exactly groups; got left"),
        (Kind.RANK, {"groups": [[A]]}, "at least two passages, got one"),
        (Kind.RANK, {"groups": []}, "groups must hold the ids"),
        (Kind.RANK, {"groups": [[A], [1]]}, "the ids of passages, which are text"),
        (Kind.RANK, {"groups": [[A], [{}]]}, "the ids of passages, which are text"),
        (Kind.RANK, {"groups": [[A, B, C]]}, "an answer prefers something"),
        (Kind.RANK, {"groups": [[A], [B, A]]}, "each at most once"),
        (Kind.CRITIQUE, {"text": " \n"}, "a critique needs words"),
        (Kind.CRITIQUE, {"text": 5}, "at most 200000 characters, got 5"),
        (Kind.CRITIQUE, {"text": "a" * 200_001}, "got 200001 characters"),
        (Kind.CORRECT, {"text": None}, "at most 200000 characters, got None"),
        (Kind.SPAN, {"spans": []}, "at least one span"),
        (Kind.SPAN, {"spans": [{"start": 0, "end": 1}]}, "a span has start, end and good"),
        (Kind.SPAN, {"spans": [{"start": 0, "end": 99, "good": True}]}, "lie within the 9 characters"),
        (Kind.SPAN, {"spans": [{"start": 1, "end": 1, "good": True}]}, "must be in order"),
        (Kind.SPAN, {"spans": [{"start": True, "end": 2, "good": True}]}, "must be in order"),
        (Kind.SPAN, {"spans": [{"start": 1, "end": 3, "good": True}, {"start": 2, "end": 4, "good": True}]}, "not overlap"),
        (Kind.SPAN, {"spans": [{"start": -1, "end": 3, "good": True}]}, "must be in order"),
    ],
)
def test_what_a_kind_does_not_take_is_refused_with_the_reason(kind, said, message):
    question, passages = asked(kind)
    with pytest.raises(RecordError, match=message):
        check_payload(question, Outcome.ANSWERED, said, {passage.id: passage for passage in passages})


def test_a_passage_that_is_named_by_a_number_is_not_the_one_whose_name_looks_like_it():
    question = Question(Kind.COMPARE, ("1", "2"))
    with pytest.raises(RecordError, match="which are text"):
        check_payload(question, Outcome.ANSWERED, {"groups": [[1], [2]]}, {})


def test_every_ranking_of_up_to_four_passages_is_taken_and_so_are_partial_and_tied_ones():
    for size in (2, 3, 4):
        question, passages = asked(Kind.RANK, size=size)
        known = {passage.id: passage for passage in passages}
        for order in permutations(question.passages):
            check_payload(question, Outcome.ANSWERED, {"groups": [[name] for name in order]}, known)
    for groups in ([[A], [B]], [[A, B], [C]], [[C], [A, B]]):
        check_payload(asked(Kind.RANK)[0], Outcome.ANSWERED, {"groups": groups}, {})


def test_all_bad_may_say_which_was_better_and_a_tie_says_nothing_more():
    question, _ = asked(Kind.COMPARE)
    check_payload(question, Outcome.ALL_BAD, {}, {})
    check_payload(question, Outcome.ALL_BAD, {"groups": [[ONE], [OTHER]]}, {})
    check_payload(question, Outcome.TIE, {}, {})
    for outcome in (Outcome.TIE, Outcome.ABSTAIN, Outcome.SKIP, Outcome.TIMEOUT):
        with pytest.raises(RecordError, match=f"the outcome {outcome} has no payload"):
            check_payload(question, outcome, {"groups": [[ONE], [OTHER]]}, {})
    assert Outcome.ALL_BAD is not Outcome.TIE


def test_an_outcome_that_is_not_offered_is_refused():
    question, _ = asked(Kind.COMPARE, allows=("skip",))
    with pytest.raises(RecordError, match="the outcome tie is not offered by this compare question; it offers answered"):
        check_payload(question, Outcome.TIE, {}, {})
    assert Outcome.TIE not in asked(Kind.RATE)[0].allowed  # one passage is equal to nothing


def test_an_outcome_that_is_given_as_text_is_checked_like_the_member():
    question, _ = asked(Kind.BINARY)
    with pytest.raises(RecordError, match="exactly good; got nothing"):
        check_payload(question, "answered", {}, {})


def test_gold_is_met_by_the_same_ranking_in_whatever_order_ties_are_named():
    question, _ = asked(Kind.RANK, purpose=Purpose.GOLD, gold={"groups": [[A, B], [C]]})

    def met(outcome, said=None):
        return gold_is_met(question, Answer(question.id, Q, P, "k", outcome, 1.0, said or {}))

    assert met(Outcome.ANSWERED, {"groups": [[A, B], [C]]}) is True
    assert met(Outcome.ANSWERED, {"groups": [[B, A], [C]]}) is True
    assert met(Outcome.ANSWERED, {"groups": [[C], [A, B]]}) is False
    assert met(Outcome.TIE) is False
    assert gold_is_met(asked(Kind.RANK)[0], Answer(P, Q, P, "k", Outcome.TIE, 1.0)) is None


def test_a_scale_names_its_steps():
    assert [Scale().word(step) for step in (1, 5)] == ["very bad", "very good"]
    assert [Scale(0, 10, ("bad", "good")).word(step) for step in (0, 5, 10)] == ["bad", "", "good"]
    assert Scale(0, 1, ("no", "yes")).word(1) == "yes" and Scale(1, 3, ()).word(2) == ""
    assert Question(Kind.RATE, (written("a").id,)).scale == Scale()
