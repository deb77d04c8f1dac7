"""Who is asked what, and what becomes of what they say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations
from math import comb

import numpy as np
import pytest
from sqlalchemy import text

from feedback.study import queueing
from feedback.study.queueing import Mixing, NotYoursError, Queue, Reply, shown_order
from feedback.study.records import Answer, Kind, Lease, Outcome, Person, Purpose, Question, RecordError
from feedback.study.store import Store
from tests.tiny_study import UNTESTED, WEB, act, answer_next, asked, first_is_better, new_store, submit

TIE = Reply(Outcome.TIE)


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "study.db") as made:
        yield made


@pytest.fixture
def queue(store):
    return Queue(store, 100.0, UNTESTED)


@pytest.fixture
def people(store):
    return [store.enrol(f"rater-{number}") for number in range(5)]


def answers(store: Store) -> list[Answer]:
    return [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]


def standing(store: Store, ticket: str) -> tuple[Answer, ...]:
    return store.standings([ticket])[ticket].answers


def test_two_people_are_not_asked_the_same_unless_two_answers_are_wanted(store, queue, people):
    one, two = submit(store, 2)
    assert [queue.next_for(person, WEB).question.id for person in people[:2]] == [one, two]
    assert queue.next_for(people[2], WEB) is None
    (both,) = submit(store, 1, start=10, wanted=2, most=2)
    assert [queue.next_for(person, WEB).question.id for person in people[2:4]] == [both, both]
    assert queue.next_for(people[4], WEB) is None


def test_as_many_people_answer_as_are_wanted_and_nobody_twice(store, queue, people):
    tickets = submit(store, 7, wanted=3, most=3)
    generator = np.random.default_rng(1)
    for number in range(200):
        answer_next(queue, people[int(generator.integers(5))], f"key {number}")
    for ticket in tickets:
        given = standing(store, ticket)
        assert len(given) == len({answer.person for answer in given}) == 3
    assert len(answers(store)) == 21
    assert all(queue.next_for(person, WEB) is None for person in people)


def test_who_comes_back_gets_what_they_left_with(store, queue, people):
    submit(store, 2)
    first = queue.next_for(people[0], WEB)
    store.clock.now += 99
    assert queue.next_for(people[0], WEB, "another page") == first
    assert first.lease.attempt == 0 and first.lease.expires - first.lease.issued == 100


def test_a_question_whose_lease_is_over_goes_to_somebody_else(store, queue, people):
    (ticket,) = submit(store, 1)
    queue.next_for(people[0], WEB)
    store.clock.now += 99.9
    assert queue.next_for(people[1], WEB) is None
    store.clock.now += 0.1
    assert queue.next_for(people[1], WEB).question.id == ticket


def test_an_answer_that_comes_late_is_counted_once(store, queue, people):
    (ticket,) = submit(store, 1, wanted=2, most=2)
    late = queue.next_for(people[0], WEB)
    store.clock.now += 500
    queue.answer(people[0], late.lease.id, "late", first_is_better(late))
    queue.answer(people[0], late.lease.id, "late", first_is_better(late))
    assert len(standing(store, ticket)) == 1 and queue.next_for(people[0], WEB) is None
    assert answer_next(queue, people[1], "in time").question == ticket
    assert len(standing(store, ticket)) == 2 and queue.next_for(people[2], WEB) is None


def test_a_late_answer_to_a_question_that_has_enough_is_kept_and_not_used(store, queue, people):
    (ticket,) = submit(store, 1)
    late = queue.next_for(people[0], WEB)
    store.clock.now += 500
    in_time = answer_next(queue, people[1], "in time")
    queue.answer(people[0], late.lease.id, "late", first_is_better(late))
    assert standing(store, ticket) == (in_time,)
    assert len(answers(store)) == 2


def test_who_gives_a_question_back_lets_somebody_else_have_it(store, queue, people):
    (ticket,) = submit(store, 1)
    showing = queue.next_for(people[0], WEB)
    with pytest.raises(NotYoursError, match="shown to somebody else, not to 'rater-1'"):
        queue.give_back(people[1], showing.lease.id)
    queue.give_back(people[0], showing.lease.id)
    assert queue.next_for(people[1], WEB).question.id == ticket


def test_a_skip_keeps_its_reason_is_no_label_and_sends_the_question_to_somebody_else(store, queue, people):
    (ticket,) = submit(store, 1)
    skipped = answer_next(queue, people[0], "key", lambda showing: Reply(Outcome.SKIP, reason="in another language"))
    assert store.record(Answer, skipped.id).reason == "in another language"
    assert standing(store, ticket) == () and not store.standings([ticket])[ticket].is_usable
    assert queue.progress(people[0])[:2] == (0, 0) and queue.next_for(people[0], WEB) is None
    assert queue.next_for(people[1], WEB).question.id == ticket


def test_an_abstention_counts_as_an_answer_without_an_opinion(store, queue, people):
    (ticket,) = submit(store, 1)
    answer_next(queue, people[0], "key", lambda showing: Reply(Outcome.ABSTAIN))
    assert [answer.payload for answer in standing(store, ticket)] == [{}]
    assert store.standings([ticket])[ticket].is_settled


def test_undo_shows_the_question_again_with_what_was_said_and_opens_it(store, queue, people):
    one, two = submit(store, 2)
    said = answer_next(queue, people[0], "key")
    queue.next_for(people[0], WEB)
    showing = queue.undo(people[0], "undo", WEB)
    assert (showing.question.id, showing.earlier, showing.lease.attempt) == (one, said, 1)
    assert standing(store, one) == () and not store.standings([one])[one].is_settled
    assert queue.next_for(people[1], WEB).question.id == two  # was given back
    again = queue.answer(people[0], showing.lease.id, "again", TIE)
    assert standing(store, one) == (again,) and again.supersedes == ""
    assert [answer.outcome for answer in answers(store)] == [Outcome.ANSWERED, Outcome.WITHDRAWN, Outcome.TIE]


def test_undo_of_what_was_taken_back_goes_further_back_and_ends(store, queue, people):
    tickets = submit(store, 2)
    for number in range(2):
        answer_next(queue, people[0], f"key {number}")
    assert [queue.undo(people[0], f"undo {number}", WEB).question.id for number in range(2)] == tickets[::-1]
    assert queue.undo(people[0], "undo 3", WEB) is None and queue.history(people[0]) == []
    assert queue.undo(people[1], "undo 1", WEB) is None


def test_an_undo_that_is_sent_twice_takes_back_one_answer(store, queue, people):
    tickets = submit(store, 2)
    given = [answer_next(queue, people[0], f"key {number}") for number in range(2)]
    first = queue.undo(people[0], "undo", WEB)
    before = list(store.entries())
    assert queue.undo(people[0], "undo", WEB) == first and first.earlier == given[1]
    assert list(store.entries()) == before and queue.history(people[0]) == given[:1]
    queue.answer(people[0], first.lease.id, "again", TIE)
    with pytest.raises(RecordError, match="the key 'undo' was used before: every undo needs a new one"):
        queue.undo(people[0], "undo", WEB)
    with pytest.raises(RecordError, match="the key 'again' was used before"):
        queue.undo(people[0], "again", WEB)
    assert len(standing(store, tickets[1])) == 1


def test_an_edited_answer_takes_the_place_of_the_earlier_one_which_is_kept(store, queue, people):
    tickets = submit(store, 2)
    first, other = (answer_next(queue, people[0], f"key {number}") for number in range(2))
    showing = queue.revise(people[0], first.id, WEB)
    assert showing.earlier == first and standing(store, tickets[0]) == (first,)  # stands until another takes its place
    edited = queue.answer(people[0], showing.lease.id, "edited", TIE)
    assert edited.supersedes == first.id and store.record(Answer, first.id) == first
    assert standing(store, tickets[0]) == (edited,) and standing(store, tickets[1]) == (other,)
    assert queue.history(people[0]) == [edited, other] and queue.progress(people[0])[:2] == (2, 0)
    third = queue.answer(people[0], queue.revise(people[0], first.id, WEB).lease.id, "third", TIE)
    assert third.supersedes == edited.id
    with pytest.raises(NotYoursError, match="this answer is somebody else's, not one of 'rater-1'"):
        queue.revise(people[1], first.id, WEB)
    with pytest.raises(KeyError, match="this study has no answer 'nowhere'"):
        queue.revise(people[1], "nowhere", WEB)


def test_two_comparisons_that_share_a_passage_both_stay(store, queue, people):
    question, (left, right) = asked(Kind.COMPARE)
    _, (third, _) = asked(Kind.COMPARE, 1)
    shared = Question(Kind.COMPARE, (left.id, third.id))
    store.submit([question, shared], [left, right, third])
    given = [answer_next(queue, people[0], f"key {number}") for number in range(2)]
    assert [standing(store, ticket) for ticket in (question.id, shared.id)] == [(given[0],), (given[1],)]


def test_the_same_key_is_one_answer_and_a_changed_answer_under_it_is_refused(store, queue, people):
    (ticket,) = submit(store, 1)
    showing = queue.next_for(people[0], WEB)
    said = queue.answer(people[0], showing.lease.id, "key", TIE)
    store.clock.now += 10
    assert queue.answer(people[0], showing.lease.id, "key", Reply(Outcome.TIE, seconds=3.0)) == said
    with pytest.raises(
        RecordError, match="the key 'key' was used for another answer, which is stored: send a changed answer with a new key"
    ):
        queue.answer(people[0], showing.lease.id, "key", Reply(Outcome.ALL_BAD))
    assert standing(store, ticket) == (said,) and answers(store) == [said]
    changed = queue.answer(people[0], showing.lease.id, "new", Reply(Outcome.ALL_BAD))
    assert changed.supersedes == said.id and standing(store, ticket) == (changed,)


def test_two_people_may_use_one_key(store, queue, people):
    submit(store, 2)
    assert len({answer_next(queue, person, "key").id for person in people[:2]}) == 2


def test_somebody_elses_lease_and_an_unknown_one_are_refused(store, queue, people):
    submit(store, 1)
    showing = queue.next_for(people[0], WEB)
    with pytest.raises(NotYoursError, match="shown to somebody else, not to 'rater-1'"):
        queue.answer(people[1], showing.lease.id, "key", TIE)
    with pytest.raises(KeyError, match="this study has no lease 'nowhere'"):
        queue.answer(people[1], "nowhere", "key", TIE)
    with pytest.raises(RecordError, match="at most 1000 characters, got 1001"):
        queue.answer(people[0], showing.lease.id, "key", Reply(Outcome.SKIP, reason="a" * 1001))
    assert answers(store) == []


def test_what_does_not_fit_is_not_stored_and_the_lease_stays(store, queue, people):
    submit(store, 1, Kind.RATE)
    showing = queue.next_for(people[0], WEB)
    for said in ({"step": 9}, {"step": "4"}, {}):
        with pytest.raises(RecordError):
            queue.answer(people[0], showing.lease.id, "key", Reply(Outcome.ANSWERED, said))
    assert answers(store) == [] and queue.next_for(people[0], WEB) == showing
    assert queue.answer(people[0], showing.lease.id, "key", Reply(Outcome.ANSWERED, {"step": 4})).payload == {"step": 4}


def test_both_bad_is_not_a_tie_and_comes_back_as_itself(store, queue, people):
    submit(store, 2)
    for number, outcome in enumerate((Outcome.TIE, Outcome.ALL_BAD)):
        answer_next(queue, people[0], f"key {number}", lambda showing, outcome=outcome: Reply(outcome))
    assert [answer.outcome for answer in answers(store)] == [Outcome.TIE, Outcome.ALL_BAD]
    assert Outcome.TIE != Outcome.ALL_BAD


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_ranking_is_saved_as_it_was_said(size, store, queue, people):
    orders = list(permutations(range(size)))
    tickets = submit_rankings(store, len(orders), size)
    for number, order in enumerate(orders):
        answer_next(queue, people[0], f"key {number}", lambda showing, order=order: ranked(showing, order))
    for ticket, order in zip(tickets, orders, strict=True):
        (answer,) = standing(store, ticket)
        shown = store.record(Lease, answer.lease).order
        assert answer.payload == {"groups": [[shown[place]] for place in order]}
        assert set(shown) == set(store.record(Question, ticket).passages)


def submit_rankings(store: Store, num: int, size: int) -> list[str]:
    made = [asked(Kind.RANK, number, size) for number in range(num)]
    return store.submit([question for question, _ in made], [passage for _, passages in made for passage in passages])


def ranked(showing, order) -> Reply:
    return Reply(Outcome.ANSWERED, {"groups": [[showing.passages[place].id] for place in order]})


def test_partial_and_tied_rankings_are_saved_as_they_were_said(store, queue, people):
    (ticket,) = submit_rankings(store, 1, 4)
    a, b, c, d = store.record(Question, ticket).passages
    showing = queue.next_for(people[0], WEB)
    for number, groups in enumerate(([[c], [a]], [[b, a], [d, c]], [[d], [a, b, c]])):
        queue.answer(people[0], showing.lease.id, f"key {number}", Reply(Outcome.ANSWERED, {"groups": groups}))
        assert standing(store, ticket)[0].payload == {"groups": groups}


def test_gold_and_repeats_come_as_often_as_was_said(store, people):
    submit(store, 60)
    submit(store, 20, start=100, purpose=Purpose.GOLD, gold={}, wanted=5, most=5)
    queue, purposes = Queue(store, mixing=Mixing(gold_every=4, repeat_every=6, repeat_after=3)), []
    for number in range(50):
        answer = answer_next(queue, people[0], f"key {number}")
        purposes.append(store.record(Question, answer.question).purpose)
    assert gaps(purposes, Purpose.REPEAT) == {6}
    assert gaps(purposes, Purpose.GOLD) <= {4, 5} and 4 in gaps(purposes, Purpose.GOLD)  # one later where both are due


def test_gold_alone_comes_exactly_as_often_as_was_said(store, people):
    submit(store, 30)
    submit(store, 9, start=100, purpose=Purpose.GOLD, gold={})
    queue = Queue(store, mixing=Mixing(gold_every=4, repeat_every=0))
    purposes = [store.record(Question, answer_next(queue, people[0], f"key {number}").question).purpose for number in range(30)]
    assert gaps(purposes, Purpose.GOLD) == {4} and Counter(purposes)[Purpose.GOLD] == 6


def gaps(purposes: list[Purpose], of: Purpose) -> set[int]:
    """Return how many others lie before the first and between two of a purpose."""
    places = [-1, *[place for place, purpose in enumerate(purposes) if purpose is of]]
    return {later - earlier - 1 for earlier, later in pairwise(places)}


def test_gold_comes_although_a_repeat_is_due_at_the_same_time(store, people):
    submit(store, 40)
    submit(store, 9, start=100, purpose=Purpose.GOLD, gold={})
    queue = Queue(store, mixing=Mixing(gold_every=5, repeat_every=5, repeat_after=2))
    purposes = [store.record(Question, answer_next(queue, people[0], f"key {number}").question).purpose for number in range(30)]
    assert Counter(purposes)[Purpose.GOLD] >= 4 and Counter(purposes)[Purpose.REPEAT] >= 4


def test_no_tests_come_where_none_are_wanted_and_gold_alone_is_not_handed_out(store, queue, people):
    submit(store, 3)
    submit(store, 3, start=100, purpose=Purpose.GOLD, gold={})
    given = [answer_next(queue, people[0], f"key {number}") for number in range(4)]
    assert [store.record(Question, answer.question).purpose for answer in given[:3]] == [Purpose.TRAIN] * 3 and given[3] is None


def test_a_repeat_asks_the_same_person_what_they_answered_long_enough_ago_and_once(store, people):
    tickets = submit(store, 40, wanted=2, most=2)
    queue = Queue(store, mixing=Mixing(gold_every=0, repeat_every=2, repeat_after=5))
    given = [answer_next(queue, people[0], f"key {number}") for number in range(40)]
    asked_of = [store.record(Question, answer.question) for answer in given]
    repeats = [(place, question) for place, question in enumerate(asked_of) if question.purpose is Purpose.REPEAT]
    assert len(repeats) >= 8
    for place, question in repeats:
        first = next(place for place, other in enumerate(asked_of) if other.id == question.repeats)
        assert place - first - 1 >= 5
        assert question.only_for == people[0].id and question.passages == asked_of[first].passages and question.kind == asked_of[first].kind
    assert len({question.repeats for _, question in repeats}) == len(repeats)
    everybody_else = Queue(store, mixing=UNTESTED)
    seen = [answer_next(everybody_else, people[1], f"key {number}").question for number in range(15)]
    assert set(seen) <= set(tickets) and len(set(seen)) == 15


def test_a_repeat_that_was_not_answered_is_shown_again_before_another(store, people):
    submit(store, 9)
    queue = Queue(store, 100.0, Mixing(gold_every=0, repeat_every=2, repeat_after=0))
    for number in range(2):
        answer_next(queue, people[0], f"key {number}")
    first = queue.next_for(people[0], WEB)
    store.clock.now += 200
    again = queue.next_for(people[0], WEB)
    assert first.question.purpose is Purpose.REPEAT and again.question == first.question and again.lease.attempt == 1


def test_a_question_is_usable_with_the_least_settled_with_the_wanted_and_takes_no_more_than_the_most(store, queue, people):
    (ticket,) = submit(store, 1, least=2, wanted=3, most=4)
    showings = []
    for person in people:  # all are shown it before anybody answers, one after the other's lease
        showings.append(queue.next_for(person, WEB))
        store.clock.now += 200
    found = []
    for number, (person, showing) in enumerate(zip(people, showings, strict=True)):
        queue.answer(person, showing.lease.id, f"key {number}", TIE)
        stands = store.standings([ticket])[ticket]
        found.append((stands.is_usable, stands.is_settled, len(stands.answers)))
    assert found == [(False, False, 1), (True, False, 2), (True, True, 3), (True, True, 4), (True, True, 4)]
    assert len(answers(store)) == 5


def test_a_question_whose_time_is_over_is_settled_and_not_asked(store, queue, people):
    dying, living = submit(store, 1, seconds_to_live=50.0) + submit(store, 1, start=5)
    held = queue.next_for(people[0], WEB)
    assert held.question.id == dying
    store.clock.now += 50
    assert store.standings([dying])[dying].is_settled and not store.standings([dying])[dying].is_usable
    assert queue.next_for(people[0], WEB).question.id == living


def test_a_cancelled_question_is_asked_no_more_and_its_answers_stay(store, queue, people):
    one, two = submit(store, 2, wanted=2, most=2)
    said = answer_next(queue, people[0], "key")
    store.cancel([one])
    assert queue.next_for(people[1], WEB).question.id == two and standing(store, one) == (said,)
    assert store.standings([one])[one].is_settled


def test_higher_priorities_come_first_and_then_those_that_were_asked_first(store, queue, people):
    low, high = submit(store, 2), submit(store, 2, start=10, priority=5)
    given = [answer_next(queue, people[0], f"key {number}").question for number in range(4)]
    assert given == high + low


def test_what_stands_first_does_not_follow_from_the_order_that_is_saved(store, queue, people):
    """Each side leads within the exact binomial bound that fails one time in a million."""
    person, num = Person("rater-1"), 1000
    firsts = [
        shown_order(asked(Kind.COMPARE, number)[0], person, 0)[0] == asked(Kind.COMPARE, number)[0].passages[0] for number in range(num)
    ]
    assert binomial_tail(num, max(sum(firsts), num - sum(firsts))) > 5e-7
    question, _ = asked(Kind.COMPARE)
    assert len({shown_order(question, person, attempt) for attempt in range(30)}) == 2
    assert len({shown_order(question, Person(f"rater-{number}"), 0) for number in range(30)}) == 2
    ranking, _ = asked(Kind.RANK)
    counts = Counter(shown_order(ranking, person, attempt) for attempt in range(600))
    assert len(counts) == 6 and binomial_tail(600, max(counts.values()), 1 / 6) > 1e-7


def binomial_tail(num: int, least: int, chance: float = 0.5) -> float:
    """Return the chance of at least so many successes."""
    return sum(comb(num, k) * chance**k * (1 - chance) ** (num - k) for k in range(least, num + 1))


def test_the_ranking_does_not_depend_on_what_was_shown_first(store, queue, people):
    tickets = submit(store, 30)
    better = {ticket: store.record(Question, ticket).passages[0] for ticket in tickets}

    def prefer(showing):
        others = [passage.id for passage in showing.passages if passage.id != better[showing.question.id]]
        return Reply(Outcome.ANSWERED, {"groups": [[better[showing.question.id]], others]})

    for number in range(30):
        answer_next(queue, people[0], f"key {number}", prefer)
    assert all(standing(store, ticket)[0].payload["groups"][0] == [better[ticket]] for ticket in tickets)
    assert len({store.record(Lease, standing(store, ticket)[0].lease).order[0] == better[ticket] for ticket in tickets}) == 2


def test_progress_counts_what_stands_and_what_is_left(store, queue, people):
    submit(store, 3)
    assert queue.progress(people[0])[:2] == (0, 3)
    answer_next(queue, people[0], "key")
    assert queue.progress(people[0])[:2] == (1, 2)
    queue.undo(people[0], "undo", WEB)
    assert queue.progress(people[0])[:2] == (0, 3)


def test_settings_out_of_range_are_refused(store):
    with pytest.raises(ValueError, match="seconds_to_answer must be above 0, got 0"):
        Queue(store, 0)
    with pytest.raises(ValueError, match="gold_every must be at least 0 answers, got -1"):
        Mixing(gold_every=-1)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_people_do_nobody_answers_twice_and_no_lease_is_lost(seed, store, people):
    tickets = submit(store, 12, wanted=2, most=3)
    queue = Queue(store, 100.0, UNTESTED)
    act(store, queue, store.clock, np.random.default_rng(seed), 150)
    for ticket in tickets:
        given = standing(store, ticket)
        assert len({answer.person for answer in given}) == len(given) <= 3
    store.clock.now += 1000  # all leases are over
    for number in range(200):
        answer_next(queue, people[number % 5], f"last {number}")
    for ticket in tickets:
        skipped = {answer.person for answer in answers(store) if answer.question == ticket and answer.outcome is Outcome.SKIP}
        assert len(standing(store, ticket)) >= min(2, 5 - len(skipped))


@pytest.mark.parametrize("statement", [queueing.NEXT, queueing.NEXT_GOLD, queueing.NEXT_REPEAT])
def test_the_next_question_is_found_by_an_index_that_ends_where_its_purpose_does(statement, store):
    """A study of many thousands has few tests, which everybody is asked for again and again."""
    with store.database.reading() as connection:
        bound = statement.params(person="somebody", now=0.0)
        compiled = bound.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
    (search,) = (line for line in plan if "questions USING" in line)
    wanted = "questions_to_ask (is_open=?)" if statement is queueing.NEXT else "questions_of_a_purpose (is_open=? AND purpose=?)"
    assert wanted in search
    assert not any("TEMP B-TREE" in line for line in plan)
