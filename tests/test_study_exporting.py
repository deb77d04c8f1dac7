"""What is written for others: whole, the same each time, and read by a spreadsheet as text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter

import numpy as np
import pytest
from sqlalchemy import insert

from feedback.study.cells import CellError, guarded, plain, read_table, table_lines
from feedback.study.exporting import (
    ANSWER_COLUMNS,
    ANSWER_FORMATS,
    Selection,
    answer_lines,
    kto_lines,
    label_lines,
    log_lines,
    pair_lines,
    preference_lines,
    write_lines,
)
from feedback.study.queueing import Queue, Reply
from feedback.study.records import Answer, Kind, Outcome, Passage, Person, Purpose, Question
from feedback.study.tables import invitations, sessions
from tests.tiny_study import START, UNTESTED, WEB, answer_next, asked, busy_study, new_store, submit

ALL = Selection(tuple(Purpose))
TRAIN = Selection()


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "study.db") as made:
        yield made


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    with busy_study(tmp_path_factory.mktemp("busy") / "study.db", seed=5, num=120) as made:
        yield made


def say(store, handle, kind, said=None, outcome=Outcome.ANSWERED, number=0, **options):
    """Let a person answer a new question; return it."""
    (ticket,) = submit(store, 1, kind, start=number, wanted=9, most=9, **options)
    person, queue = store.enrol(handle), Queue(store, mixing=UNTESTED)
    question = store.record(Question, ticket)
    payload = said(question.passages) if callable(said) else said or {}
    showing = queue.next_for(person, WEB)
    assert showing.question.id == ticket
    queue.answer(person, showing.lease.id, f"{kind} {number} {outcome}", Reply(outcome, payload))
    return question


def rows(lines):
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))


def objects(lines):
    return [json.loads(line) for line in lines]


def texts(store, question):
    return [store.record(Passage, name).text for name in question.passages]


def test_a_line_of_the_log_is_one_canonical_record_with_its_number_and_time(busy):
    lines = list(log_lines(busy))
    entries = list(busy.entries())
    assert len(lines) == len(entries) > 300
    for number, (line, entry) in enumerate(zip(lines, entries, strict=True), 1):
        found = json.loads(line)
        assert list(found) == ["at", "body", "id", "number", "record"] and line.endswith("}\n") and line.count("\n") == 1
        assert (found["number"], found["at"], found["id"]) == (number, entry.at, entry.record.id)
        assert type(entry.record).of(found["body"]) == entry.record


EVERY = ANSWER_FORMATS | {"log": lambda store, selection: log_lines(store), "kto": lambda store, selection: kto_lines(store, selection, 4)}


def test_the_same_log_gives_the_same_bytes_whenever_and_from_whatever_it_was_rebuilt(busy, tmp_path):
    first = {name: "".join(lines(busy, ALL)) for name, lines in EVERY.items()}
    assert all(len(text.splitlines()) > 10 for text in first.values())
    assert {name: "".join(lines(busy, ALL)) for name, lines in EVERY.items()} == first
    busy.rebuild()
    assert {name: "".join(lines(busy, ALL)) for name, lines in EVERY.items()} == first
    with busy_study(tmp_path / "again.db", seed=5, num=120) as again:
        assert {name: "".join(lines(again, ALL)) for name, lines in EVERY.items()} == first


def test_secrets_are_in_no_export(store):
    say(store, "rater-1", Kind.RATE, {"step": 3})
    with store.database.writing() as connection:
        connection.execute(insert(invitations), {"token_hash": "SECRET-1", "person": "p", "expires": 1.0})
        connection.execute(insert(sessions), {"token_hash": "SECRET-2", "person": "p", "started": 1.0, "expires": 1.0})
    written = "".join("".join(each(store, ALL)) for each in EVERY.values())
    assert "rater-1" in written and "SECRET" not in written


def test_the_table_of_answers_has_every_answer_of_everybody(busy):
    found = rows(answer_lines(busy, ALL))
    kept = [entry.record for entry in busy.entries() if isinstance(entry.record, Answer)]
    assert [row["answer"] for row in found] == [answer.id for answer in kept]
    assert {row["person"] for row in found} == {f"rater-{number}" for number in range(5)}
    assert tuple(found[0]) == ANSWER_COLUMNS == tuple(next(iter(answer_lines(busy, ALL))).strip().split(","))
    assert {row["outcome"] for row in found} >= {"answered", "tie", "skip", "all_bad", "abstain", "withdrawn"}
    assert Counter(row["is_current"] for row in found)["false"] > 5
    for row, answer in zip(found, kept, strict=True):
        assert json.loads(row["payload"]) == answer.payload and plain(row["comment"]) == answer.comment
        assert row["seconds"] == "" if answer.seconds is None else float(row["seconds"]) == answer.seconds


def test_only_answers_for_training_are_written_unless_others_are_named(busy):
    purposes = {row["purpose"] for row in rows(answer_lines(busy, TRAIN))}
    assert purposes == {"train"}
    assert {row["purpose"] for row in rows(answer_lines(busy, ALL))} == {"train", "gold", "repeat"}


def test_people_kinds_and_times_are_chosen(busy):
    everything = rows(answer_lines(busy, ALL))
    one = rows(answer_lines(busy, Selection(tuple(Purpose), people=("rater-2",))))
    assert one == [row for row in everything if row["person"] == "rater-2"] and 0 < len(one) < len(everything)
    middle = float(everything[len(everything) // 2]["given"])
    later = rows(answer_lines(busy, Selection(tuple(Purpose), since=middle)))
    assert later == [row for row in everything if float(row["given"]) >= middle] and 0 < len(later) < len(everything)
    ranked = rows(answer_lines(busy, Selection(tuple(Purpose), kinds=(Kind.RANK,))))
    assert ranked == [row for row in everything if row["kind"] == "rank"] and ranked


def test_an_export_longer_than_one_reading_is_whole(busy, monkeypatch):
    whole = "".join(answer_lines(busy, ALL))
    monkeypatch.setattr("feedback.study.exporting.AT_ONCE", 7)
    assert "".join(answer_lines(busy, ALL)) == whole


def test_an_export_shows_one_state_although_people_go_on(store, monkeypatch):
    monkeypatch.setattr("feedback.study.exporting.AT_ONCE", 1)
    queue, person = Queue(store, mixing=UNTESTED), store.enrol("rater-1")
    for number in range(2):
        store.cancel([say(store, "rater-1", Kind.RATE, {"step": 3}, number=number).id])
    lines = answer_lines(store, ALL)
    begun = [next(lines), next(lines)]
    showing = queue.revise(person, queue.history(person)[0].id, WEB)
    queue.answer(person, showing.lease.id, "new", Reply(Outcome.ANSWERED, {"step": 5}))
    assert [row["is_current"] for row in rows([*begun, *lines])] == ["true", "true"]
    assert [row["is_current"] for row in rows(answer_lines(store, ALL))] == ["true", "false", "true"]


def test_comparisons_rankings_and_corrections_become_preferences(store):
    compared = say(store, "rater-1", Kind.COMPARE, lambda names: {"groups": [[names[1]], [names[0]]]})
    store.cancel([compared.id])
    ranked = say(store, "rater-1", Kind.RANK, lambda names: {"groups": [[names[2]], [names[0], names[1]]]}, number=1)
    store.cancel([ranked.id])
    corrected = say(store, "rater-1", Kind.CORRECT, {"text": " better"}, number=2)
    a, b = texts(store, compared)
    x, y, z = texts(store, ranked)
    (wrong,) = texts(store, corrected)
    expected = [(b, a), (z, x), (z, y), (" better", wrong)]
    assert objects(preference_lines(store, TRAIN)) == [
        {"prompt": "The film was", "chosen": chosen, "rejected": rejected} for chosen, rejected in expected
    ]


@pytest.mark.parametrize(
    ("kind", "said", "outcome"),
    [
        (Kind.COMPARE, None, Outcome.TIE),
        (Kind.COMPARE, None, Outcome.ALL_BAD),
        (Kind.COMPARE, lambda names: {"groups": [[names[0]], [names[1]]]}, Outcome.ALL_BAD),
        (Kind.COMPARE, None, Outcome.SKIP),
        (Kind.COMPARE, None, Outcome.ABSTAIN),
        (Kind.CORRECT, {"text": " correct 0 a"}, Outcome.ANSWERED),  # nothing was changed
        (Kind.CRITIQUE, {"text": "good"}, Outcome.ANSWERED),
        (Kind.RATE, {"step": 5}, Outcome.ANSWERED),
    ],
)
def test_what_prefers_nothing_is_no_preference(kind, said, outcome, store):
    say(store, "rater-1", kind, said, outcome)
    assert list(preference_lines(store, TRAIN)) == []
    assert len(list(answer_lines(store, TRAIN))) == 2


def test_passages_of_two_prompts_are_no_preference(store):
    one, other = Passage("a", " x"), Passage("b", " y")
    store.submit([Question(Kind.COMPARE, (one.id, other.id))], [one, other])
    answer_next(Queue(store), Person("rater-1"), "key")
    assert list(preference_lines(store, TRAIN)) == [] and len(list(answer_lines(store, TRAIN))) == 2


def test_what_was_taken_back_or_edited_is_learned_from_no_more(store):
    say(store, "rater-1", Kind.BINARY, {"good": True})
    queue, person = Queue(store, mixing=UNTESTED), store.enrol("rater-1")
    showing = queue.revise(person, queue.history(person)[0].id, WEB)
    queue.answer(person, showing.lease.id, "edited", Reply(Outcome.ANSWERED, {"good": False}))
    assert [row["label"] for row in objects(kto_lines(store, TRAIN))] == [False]
    queue.undo(person, "undo", WEB)
    assert list(kto_lines(store, TRAIN)) == [] and len(list(answer_lines(store, TRAIN))) == 4


def test_ratings_become_good_or_bad_only_from_a_step_that_was_stated(store):
    for step in range(1, 6):
        store.cancel([say(store, "rater-1", Kind.RATE, {"step": step}, number=step).id])
    with pytest.raises(ValueError, match="say by good_from which step is the first that is called good"):
        list(kto_lines(store, TRAIN))
    assert [row["label"] for row in objects(kto_lines(store, TRAIN, good_from=4))] == [False, False, False, True, True]
    assert objects(kto_lines(store, TRAIN, 4))[0] == {"prompt": "The film was", "completion": " rate 1 a", "label": False}


def test_labels_name_worker_task_and_what_was_said(store):
    expected = []
    for number, (kind, said, outcome, label) in enumerate(
        [
            (Kind.BINARY, {"good": False}, Outcome.ANSWERED, "bad"),
            (Kind.RATE, {"step": 2}, Outcome.ANSWERED, "2"),
            (Kind.COMPARE, lambda names: {"groups": [[names[1]], [names[0]]]}, Outcome.ANSWERED, "2"),
            (Kind.COMPARE, None, Outcome.TIE, "tie"),
            (Kind.COMPARE, None, Outcome.ALL_BAD, "all_bad"),
            (Kind.RATE, None, Outcome.SKIP, None),
            (Kind.BINARY, None, Outcome.ABSTAIN, None),
            (Kind.CRITIQUE, {"text": "x"}, Outcome.ANSWERED, None),
        ]
    ):
        question = say(store, "=rater", kind, said, outcome, number=number)
        store.cancel([question.id])
        expected += [{"worker": "'=rater", "task": question.id, "label": label}] if label else []
    assert rows(label_lines(store, TRAIN)) == expected


def test_pairs_are_left_and_right_as_shown_and_name_the_better_one(store):
    made = []
    for number in range(8):
        made.append(say(store, "rater-1", Kind.COMPARE, lambda names: {"groups": [[names[0]], [names[1]]]}, number=number))
        store.cancel([made[-1].id])
    found = rows(pair_lines(store, TRAIN))
    assert [row["label"] for row in found] == [question.passages[0] for question in made]
    assert len({row["left"] == row["label"] for row in found}) == 2  # on either side
    assert all({row["left"], row["right"]} == set(question.passages) for row, question in zip(found, made, strict=True))


def test_pairs_of_a_ranking_name_ties_and_leave_out_what_was_not_ranked(store):
    question = say(store, "rater-1", Kind.RANK, lambda names: {"groups": [[names[1]], [names[0]]]})
    store.cancel([question.id])
    tied = say(store, "rater-1", Kind.RANK, lambda names: {"groups": [[names[1], names[2]], [names[0]]]}, number=1)
    store.cancel([tied.id])
    bad = say(store, "rater-1", Kind.COMPARE, None, Outcome.ALL_BAD, number=2)
    found = rows(pair_lines(store, TRAIN))
    by_pair = {frozenset((row["left"], row["right"])): row["label"] for row in found}
    assert by_pair == {
        frozenset(question.passages[:2]): question.passages[1],
        frozenset(tied.passages[1:]): "tie",
        frozenset(tied.passages[:2]): tied.passages[1],
        frozenset((tied.passages[0], tied.passages[2])): tied.passages[2],
        frozenset(bad.passages): "all_bad",
    }
    assert len(found) == 5


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "\uff1d1", "\u00a0-1", '=HYPERLINK("http://x")', "'=1", "'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_is_text_and_comes_back(text):
    assert guarded(text).startswith("'") and plain(guarded(text)) == text


ODD = [
    *FORMULAS,
    "",
    "''",
    "'\"",
    '\'"a\\u0000"',
    "\0",
    "a\0b",
    "'\0",
    '"',
    '""',
    ",",
    ";",
    "\n",
    "\r",
    "\r\n",
    "a\rb",
    "\u2028\u2029\x85\x0b\x0c",
]
ODD += [
    "\U0001f600",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c",
    "e\u0301",
    "\ufeff=1",
    "\x1b[2J",
    "\\",
    "\\n",
    "a" * 200_000,
]


def test_odd_text_survives_a_table_of_any_shape():
    columns = ("one", "two", "three")
    made = [(a, b, ODD[0]) for a in ODD for b in (ODD[0], a)]
    text = "".join(table_lines(columns, made))
    assert [tuple(row.values()) for _, row in read_table(columns, io.StringIO(text, newline=""))] == made
    assert "\0" not in text
    assert all(not cell.lstrip()[:1] or cell.lstrip()[0] not in "=+-@" for row in csv.reader(io.StringIO(text, newline="")) for cell in row)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 must name the columns a,b; got ''"),
        ("b,a\r\n1,2\r\n", "line 1 must name the columns a,b; got 'b,a'"),
        ("a,b\r\n1,2\r\n3\r\n", "line 3: expected 2 cells, got 1"),
        ("a,b\r\n1,2,3\r\n", "line 2: expected 2 cells, got 3"),
        ('a,b\r\n1,"2\n\n\r\n', "line 4: unexpected end of data"),
        ("a,b\r\n1,'\"2\r\n", "line 2: a cell that begins with '\" must go on as a JSON string"),
        ('a,b\r\n1,"\'""a""b"\r\n', "line 2: a cell that begins with '\" must go on as a JSON string"),
    ],
)
def test_what_is_no_table_is_refused_by_its_line(text, message):
    with pytest.raises(CellError, match=re.escape(message)):
        list(read_table(("a", "b"), io.StringIO(text, newline="")))


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("before")

    def failing():
        yield "half"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_lines(path, failing())
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    assert write_lines(path, iter(["a\n", "\u05d0\r\n"])) == 6
    assert path.read_bytes() == b"a\n\xd7\x90\r\n" and list(tmp_path.iterdir()) == [path]


def test_exports_are_given_line_by_line(store):
    submit(store, 600, Kind.RATE)
    lines = log_lines(store)
    first = next(lines)
    assert '"number":1,' in first
    read = store._body.cache_info()
    assert next(lines) and store._body.cache_info() == read  # the log passes by the cache
    lines.close()


def test_time_is_written_without_loss(store):
    store.clock.now = START + 1 / 3
    say(store, "rater-1", Kind.RATE, {"step": 1})
    (row,) = rows(answer_lines(store, TRAIN))
    assert float(row["given"]) == float(row["appended"]) == START + 1 / 3
    assert float(row["issued"]) == START + 1 / 3 and row["interface"] == "web" and row["attempt"] == "0"
    assert np.isfinite(float(row["expires"])) and asked(Kind.RATE)[0].kind == row["kind"]
