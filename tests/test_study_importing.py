"""What was exported comes back the same, and what was not exported by anybody honest does not come in."""

from __future__ import annotations

import io
import json
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from feedback.commands.study_exchange import export_study, import_study
from feedback.study.exporting import (
    Selection,
    answer_lines,
    kto_lines,
    label_lines,
    log_lines,
    pair_lines,
    preference_lines,
    write_lines,
)
from feedback.study.importing import import_answers, import_log
from feedback.study.json_lines import ImportRefusedError, strict_json
from feedback.study.queueing import Queue, Reply
from feedback.study.records import Answer, Kind, Lease, Outcome, Passage, Person, Purpose, Question, Scale, canonical
from feedback.study.store import Store
from feedback.study.trl_import import import_kto, import_preferences
from tests.tiny_study import START, UNTESTED, WEB, Clock, busy_study, derived_rows, new_store, submit

ALL = Selection(tuple(Purpose))


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    with busy_study(tmp_path_factory.mktemp("busy") / "study.db", seed=7, num=120) as made:
        yield made


@pytest.fixture(scope="module")
def exported(busy) -> list[bytes]:
    return [line.encode() for line in log_lines(busy)]


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "other.db", Clock(START + 1e6)) as made:
        yield made


def entry(record, number=1, at=5.0, /, **changes):
    return (
        canonical({"number": number, "at": at, "record": record.name, "id": record.id, "body": record.body()} | changes) + "\n"
    ).encode()


def table(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def test_a_log_comes_back_with_its_ids_order_times_and_all_that_follows(busy, exported, store):
    done = import_log(store, exported)
    assert (done.num_lines, done.num_added, done.cut_off) == (len(exported), len(exported), "")
    assert "".join(log_lines(store)).encode() == b"".join(exported)
    assert derived_rows(store) == derived_rows(busy)
    store.rebuild()
    assert derived_rows(store) == derived_rows(busy)
    for lines in (answer_lines, preference_lines, label_lines, pair_lines):
        assert "".join(lines(store, ALL)) == "".join(lines(busy, ALL))


def test_importing_twice_changes_nothing(exported, store):
    import_log(store, exported[:200])
    assert import_log(store, exported).num_added == len(exported) - 200
    before = list(store.entries()), derived_rows(store)
    assert import_log(store, exported).num_added == 0
    assert (list(store.entries()), derived_rows(store)) == before


def test_work_goes_on_after_an_import(exported, store):
    import_log(store, exported)
    queue, person = Queue(store, mixing=UNTESTED), store.enrol("rater-new")
    showing = queue.next_for(person, WEB)
    queue.answer(person, showing.lease.id, "key", Reply(Outcome.ABSTAIN))
    assert len(list(store.entries())) == len(exported) + 3


def test_two_studies_become_one(exported, store, tmp_path):
    submit(store, 3, start=7000)
    num = len(list(store.entries()))
    assert import_log(store, exported).num_added == len(exported)
    assert [entry.number for entry in store.entries()] == list(range(1, num + len(exported) + 1))


@pytest.mark.parametrize("cut", [1, 7, 40, -2])
def test_a_last_line_that_was_not_written_to_its_end_is_left_out_and_reported(cut, exported, store):
    cut_off = exported[30][:cut]
    done = import_log(store, [*exported[:30], cut_off])
    assert (done.num_lines, done.num_added) == (30, 30) and done.cut_off == cut_off[:80].decode("utf-8", "replace")
    assert import_log(store, exported).num_added == len(exported) - 30


def test_a_last_line_that_is_whole_but_for_its_end_of_line_is_read(exported, store):
    done = import_log(store, [*exported[:30], exported[30].rstrip(b"\n")])
    assert (done.num_lines, done.cut_off) == (31, "")


def test_a_line_cut_within_a_character_is_reported(store):
    line = b'{"at":5,"body":{"text":"\xd7'
    assert import_log(store, [line]).cut_off == '{"at":5,"body":{"text":"\ufffd'
    assert list(store.entries()) == []


P = Passage("Once", " upon")
Q = Question(Kind.BINARY, (P.id,), wanted=2, most=2)
RATER = Person("rater-1")
LEASE = Lease(Q.id, RATER.id, (P.id,), WEB, 1.0, 2.0)
ANSWER = Answer(Q.id, RATER.id, LEASE.id, "key", Outcome.ANSWERED, 1.5, {"good": True})
BEFORE = [entry(P, 1), entry(Q, 2), entry(RATER, 3), entry(LEASE, 4), entry(ANSWER, 5)]
OTHERS = Answer(Q.id, Person("rater-2").id, "", "key", Outcome.ANSWERED, 1.5, {"good": True})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "Expecting value"),
        (b"{\n", "Expecting property name"),
        (b"[]\n", "exactly number, at, record, id, body; got list"),
        (b"null\n", "got NoneType"),
        (b"\xff\xfe\n", "can't decode byte"),
        (b"[" * 100_000 + b"\n", "too many brackets within each other"),
        (entry(P, 6, at="now"), "at must be of another type, got 'now'"),
        (entry(P, 6, at=True), "at must be of another type, got 'True'"),
        (entry(P, 6).replace(b'"at":5', b'"at":NaN'), "NaN is no JSON"),
        (entry(P, 6).replace(b'"at":5', b'"at":1e999'), "at must be seconds since 1970"),
        (entry(P, 6).replace(b'"at":5', b'"at":5,"at":6'), "an object has the name 'at' twice"),
        (entry(P, 6, extra=1), "exactly number, at, record, id, body; got at, body, extra, id, number, record"),
        (entry(P, 7), "the record has the number 7 where 6 is expected: lines are missing, or out of order"),
        (entry(P, 6, record="os.system"), "there is no record 'os.system'; there are answer, closing"),
        (entry(P, 6, record="scale"), "there is no record 'scale'"),
        (entry(P, 6, record="question"), "a question has no field 'ending'"),
        (entry(P, 6, id="0" * 32), "the record has the id '0{32}', but its content has '[0-9a-f]{32}': it was changed"),
        (entry(P, 6, body=P.body() | {"text": "changed"}), "it was changed"),
        (entry(P, 6, body=P.body() | {"__class__": "x"}), "a passage has no field '__class__'"),
        (entry(P, 6, body={"prompt": "a"}), "a passage needs the field 'text'"),
        (entry(P, 6).replace(b" upon", b"\\ud800"), "half a character"),
        (entry(Question(Kind.BINARY, ("nowhere",)), 6), "this study has no passage 'nowhere'"),
        (entry(Question(Kind.BINARY, (Q.id,)), 6), "this study has no passage"),
        (entry(Lease("nowhere", RATER.id, (P.id,), WEB, 1.0, 2.0), 6), "this study has no question 'nowhere'"),
        (entry(Lease(Q.id, RATER.id, ("x",), WEB, 1.0, 2.0, 1), 6), "a showing has the passages of its question"),
        (entry(Lease(Q.id, RATER.id, (P.id,), WEB, 9.0, 10.0), 6), "the study has another lease with the id"),
        (entry(Answer("nowhere", RATER.id, "", "k", Outcome.SKIP, 1.0), 6), "this study has no question 'nowhere'"),
        (entry(Answer(Q.id, RATER.id, "nowhere", "k", Outcome.SKIP, 1.0), 6), "this study has no lease 'nowhere'"),
        (entry(Answer(Q.id, RATER.id, "", "k", Outcome.SKIP, 1.0, supersedes="nowhere"), 6), "this study has no answer 'nowhere'"),
        (entry(Answer(Q.id, RATER.id, "", "k", Outcome.SKIP, 1.0), 6), "this person has another answer to this question that stands"),
        (
            entry(Answer(Q.id, OTHERS.person, "", "k", Outcome.SKIP, 1.0, supersedes=ANSWER.id), 6),
            "an answer and its answer are of one person",
        ),
        (entry(Answer(Q.id, OTHERS.person, LEASE.id, "k", Outcome.SKIP, 1.0), 6), "an answer and its lease are of one person"),
        (
            entry(Answer(Q.id, RATER.id, LEASE.id, "key", Outcome.ANSWERED, 1.5, {"good": False}), 6),
            "the study has another answer with the id",
        ),
        (entry(Answer(Q.id, OTHERS.person, "", "k", Outcome.ANSWERED, 1.0, {"good": 1}), 6), "good must be true or false, got 1"),
        (entry(Answer(Q.id, OTHERS.person, "", "k", Outcome.TIE, 1.0), 6), "the outcome tie is not offered"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_nothing_is_imported(line, message, store):
    with pytest.raises(ImportRefusedError, match=rf"^line 6: (.|\n)*{message}(.|\n)*; nothing was imported$"):
        import_log(store, [*BEFORE, line, entry(P, 7)])
    assert list(store.entries()) == [] and all(rows == [] for rows in derived_rows(store).values())
    assert import_log(store, BEFORE).num_added == 5


def test_a_cut_line_in_the_middle_is_an_error(store):
    with pytest.raises(ImportRefusedError, match="line 6"):
        import_log(store, [*BEFORE, b'{"number":6', entry(P, 7)])


def test_text_that_would_do_harm_elsewhere_is_text_here(store, tmp_path):
    harm = Passage(
        "'; DROP TABLE log; --", "__import__('os').system('touch harm') {{7*7}} ${HOME} <script>alert(1)</script> !!python/object:os.system"
    )
    import_log(store, [entry(harm)])
    assert [entry.record for entry in store.entries()] == [harm]


def test_an_id_that_is_a_number_is_refused_and_makes_no_second_record(store):
    for name, value in (("passages", [1]), ("repeats", 1), ("only_for", 1)):
        body = Q.body() | {name: value}
        line = canonical({"number": 6, "at": 1, "record": "question", "id": Q.id, "body": body}).encode() + b"\n"
        with pytest.raises(ImportRefusedError, match="must be text, got 1"):
            import_log(store, [*BEFORE, line])
    assert import_log(store, BEFORE).num_added == 5


@pytest.mark.parametrize("rewrite", ["numbers", "order", "escapes"])
def test_a_log_that_another_program_has_rewritten_as_the_same_json_is_the_same_log(rewrite, store, tmp_path):
    question = Question(Kind.RATE, (P.id,), scale=Scale(), seconds_to_live=60.0)
    passage = Passage("\u05d0", "\U0001f600", sampling={"temperature": 1.0, "top": 0.5})
    lines = [entry(P, 1, START), entry(question, 2), entry(passage, 3)]
    changed = []
    for line in lines:
        found = json.loads(line)
        if rewrite == "numbers":
            found = json.loads(line, parse_int=float) | {"number": found["number"], "body": json.loads(line)["body"]}
            if found["record"] == "question":
                found["body"]["seconds_to_live"] = 60.0
            if "temperature" in str(found):
                found["body"]["sampling"] = {"temperature": 1, "top": 0.5}
        text = json.dumps(found, ensure_ascii=rewrite == "escapes", sort_keys=rewrite != "order")
        changed.append(text.encode() + b"\n")
    import_log(store, changed)
    assert "".join(log_lines(store)).encode() == b"".join(lines)
    assert import_log(store, lines).num_added == 0


def test_answers_come_back_from_their_table_byte_for_byte(busy, store):
    first = "".join(answer_lines(busy, ALL))
    asked = [each.record for each in busy.entries() if isinstance(each.record, Passage | Question)]
    with store.database.writing() as connection:
        store.append(connection, asked)
    done = import_answers(store, table(first))
    assert done.num_lines == len(list(answer_lines(busy, ALL))) - 1 and done.num_added > done.num_lines
    assert "".join(answer_lines(store, ALL)) == first
    assert import_answers(store, table(first)).num_added == 0
    for lines in (preference_lines, label_lines, pair_lines):
        assert "".join(lines(store, ALL)) == "".join(lines(busy, ALL))
    before = derived_rows(store)
    store.rebuild()
    assert derived_rows(store) == before


def one_answer(store: Store) -> str:
    import_log(store, BEFORE)
    return "".join(answer_lines(store, ALL))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rater-1", "rater-9", "do not follow from the row: it was changed"),
        ('{""good"":true}', '{""good"":1}', "the study has another answer"),
        ('{""good"":true}', "{", "payload must be JSON"),
        ('{""good"":true}', "[1]", "payload of an answer must be a JSON object"),
        ("answered", "perhaps", "outcome must be one of answered, tie"),
        (",web,", ",phone,", "interface must be one of terminal"),
        (",1.5,", ",NaN,", "given must be JSON, got 'NaN'"),
        (",1.5,", ",soon,", "given must be JSON, got 'soon'"),
        (Q.id, "0" * 32, "it was changed"),
    ],
)
def test_a_bad_row_is_named_with_its_reason_and_nothing_is_imported(old, new, message, store):
    text = one_answer(store)
    assert old in text
    before = list(store.entries())
    with pytest.raises(ImportRefusedError, match=rf"^line 2: .*{message}.*; nothing was imported$"):
        import_answers(store, table(text.replace(old, new)))
    assert list(store.entries()) == before


def test_an_answer_to_a_question_that_is_not_here_is_refused(store, tmp_path):
    text = one_answer(store)
    with Store(tmp_path / "empty.db") as empty:
        with pytest.raises(ImportRefusedError, match=f"line 2: this study has no question '{Q.id}'; nothing was imported"):
            import_answers(empty, table(text))
        with pytest.raises(ImportRefusedError, match=r"line 1 must name the columns .*; nothing was imported"):
            import_answers(empty, table("a,b\r\n"))
        with pytest.raises(ImportRefusedError, match="the table is not written in UTF-8"):
            import_answers(empty, io.TextIOWrapper(io.BytesIO(b"answer,\xff"), encoding="utf-8", newline=""))
        assert list(empty.entries()) == []


def preferences(*pairs: tuple[str, str, str]) -> list[bytes]:
    return [json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}).encode() + b"\n" for prompt, chosen, rejected in pairs]


def test_preferences_from_elsewhere_become_comparisons_of_a_named_person(store):
    lines = preferences(("a", " x", " y"), ("a", " z", " x"), ("b", " x", " y"))
    done = import_preferences(store, lines, "crowd")
    assert (done.num_lines, done.num_added) == (3, 1 + 5 + 3 + 3)
    assert [json.loads(line) for line in preference_lines(store, ALL)] == [json.loads(line) for line in lines]
    assert import_preferences(store, lines, "crowd").num_added == 0
    assert import_preferences(store, [*lines, lines[0]], "crowd").num_added == 0
    assert import_preferences(store, lines, "another").num_added == 4
    assert Queue(store, mixing=UNTESTED).next_for(store.enrol("rater-1"), WEB) is None  # what was judged is not asked again


def test_the_order_of_an_imported_question_does_not_tell_which_passage_is_better(store):
    import_preferences(store, preferences(*(("a", f" {number} x", f" {number} y") for number in range(40))))
    questions = [each.record for each in store.entries() if isinstance(each.record, Question)]
    first = Counter(store.record(Passage, question.passages[0]).text[-1] for question in questions)
    assert min(first["x"], first["y"]) >= 8  # the chance of fewer is below one in ten thousand, and the ids are fixed


def test_two_people_are_asked_the_same_question_whatever_they_prefer(store):
    import_preferences(store, preferences(("a", " x", " y")), "one")
    import_preferences(store, preferences(("a", " y", " x")), "other")
    questions = [each.record for each in store.entries() if isinstance(each.record, Question)]
    assert len(questions) == 1 and len(list(preference_lines(store, ALL))) == 2


def test_who_contradicts_themselves_keeps_both_answers(store):
    lines = preferences(("a", " x", " y"), ("a", " y", " x"))
    import_preferences(store, lines)
    assert [json.loads(line) for line in preference_lines(store, ALL)] == [json.loads(line) for line in lines]
    given = [each.record for each in store.entries() if isinstance(each.record, Answer)]
    assert len({answer.question for answer in given}) == 2  # nobody answers a question twice
    assert import_preferences(store, lines).num_added == 0
    assert import_preferences(store, lines[::-1]).num_added == 0


def test_judgements_from_elsewhere_become_good_or_bad(store):
    lines = [json.dumps({"prompt": "a", "completion": f" {name}", "label": name == "x"}).encode() + b"\n" for name in "xyz"]
    assert import_kto(store, lines).num_added == 1 + 9
    assert [json.loads(line) for line in kto_lines(store, ALL)] == [json.loads(line) for line in lines]
    assert import_kto(store, lines).num_added == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt":"a","chosen":"b","rejected":"b"}\n', "chosen and rejected are the same text"),
        (b'{"chosen":"b","rejected":"c"}\n', "exactly prompt, chosen, rejected; got chosen, rejected"),
        (b'{"prompt":[{"role":"user"}],"chosen":"b","rejected":"c"}\n', "prompt must be of another type"),
        (b'{"prompt":"a","chosen":null,"rejected":"c"}\n', "chosen must be of another type, got 'None'"),
        (b'{"prompt":"a","chosen":"\\ud800","rejected":"c"}\n', "half a character"),
        (b'{"prompt":"a","chosen":"b"\n', "Expecting ',' delimiter"),
    ],
)
def test_a_bad_preference_is_named_and_nothing_is_imported(line, message, store):
    with pytest.raises(ImportRefusedError, match=f"^line 2: .*{message}.*; nothing was imported$"):
        import_preferences(store, [*preferences(("a", " x", " y")), line])
    assert list(store.entries()) == []
    with pytest.raises(ImportRefusedError, match="line 1: label must be of another type, got '1'"):
        import_kto(store, [b'{"prompt":"a","completion":"b","label":1}\n'])


def test_preferences_cut_at_the_end_are_read_up_to_there(store):
    lines = preferences(("a", " x", " y"), ("b", " x", " y"))
    done = import_preferences(store, [lines[0], lines[1][:-5]])
    assert done.num_lines == 1 and done.cut_off.startswith('{"prompt"')


BLOCKS = [(0, 0x20), (0x20, 0x7F), (0x80, 0x250), (0x300, 0x370), (0x590, 0x700), (0x2000, 0x2070), (0x4E00, 0x4F00), (0xD7F0, 0xD800)]
BLOCKS += [
    (0xE000, 0xE010),
    (0xFE00, 0xFE10),
    (0xFEFF, 0xFF20),
    (0xFFF0, 0x10000),
    (0x1F1E6, 0x1F200),
    (0x1F600, 0x1F650),
    (0x10FFF0, 0x110000),
]


def random_text(generator: np.random.Generator) -> str:
    """Return text of all blocks: controls, combining marks, both directions, joiners, the last plane; often like a formula."""
    pieces = [str(generator.choice(["", "", "", "=", "+", "-", "@", "'", '"', "'\"", "\t", "\r", "\n", "\r\n", ",", " ="]))]
    for _ in range(int(generator.integers(0, 30))):
        low, high = BLOCKS[int(generator.integers(len(BLOCKS)))]
        pieces.append(chr(int(generator.integers(low, high))))
    return "".join(pieces)


def test_the_random_texts_are_of_all_kinds():
    generator = np.random.default_rng(0)
    text = "".join(random_text(generator) for _ in range(300))
    assert {"Cc", "Cf", "Cn", "Co", "Ll", "Lo", "Lu", "Mn", "Nd", "Po", "Sm", "So", "Zl", "Zp", "Zs"} <= {
        unicodedata.category(each) for each in text
    }
    assert {"R", "AL", "L", "NSM", "RLO"} <= {unicodedata.bidirectional(each) for each in text} and "\0" in text and "\r" in text


@pytest.mark.parametrize("seed", range(2))
def test_any_text_survives_the_log_and_the_table(seed, tmp_path):
    generator = np.random.default_rng(seed)
    with Store(tmp_path / "one.db", Clock()) as one, Store(tmp_path / "two.db", Clock(0.0)) as two, Store(tmp_path / "three.db") as three:
        queue, person = Queue(one, mixing=UNTESTED), one.enrol("Zo\u00eb \u05d0 =1")
        said = {}
        for number in range(40):
            passage = Passage(random_text(generator), random_text(generator), sampling={random_text(generator): random_text(generator)})
            one.submit([Question(Kind.CRITIQUE, (passage.id,), instructions=random_text(generator))], [passage])
            showing = queue.next_for(person, WEB, random_text(generator))
            words = {"payload": {"text": "x" + random_text(generator)}, "comment": random_text(generator), "reason": random_text(generator)}
            answer = queue.answer(person, showing.lease.id, f"{number}" + random_text(generator)[:50], Reply(Outcome.ANSWERED, **words))
            said[answer.id] = words
        log, answers = tmp_path / "log.jsonl", tmp_path / "answers.csv"
        write_lines(log, log_lines(one))
        write_lines(answers, answer_lines(one, ALL))
        with log.open("rb") as lines:
            import_log(two, lines)
        with three.database.writing() as connection:
            three.append(connection, [each.record for each in one.entries() if isinstance(each.record, Passage | Question)])
        with answers.open(encoding="utf-8", newline="") as lines:
            import_answers(three, lines)
        for other in (two, three):
            found = {each.record.id: each.record for each in other.entries() if isinstance(each.record, Answer)}
            assert {name: {key: getattr(answer, key) for key in said[name]} for name, answer in found.items()} == said
            write_lines(tmp_path / "again.csv", answer_lines(other, ALL))
            assert (tmp_path / "again.csv").read_bytes() == answers.read_bytes()
        write_lines(tmp_path / "again.jsonl", log_lines(two))
        assert (tmp_path / "again.jsonl").read_bytes() == log.read_bytes()


def test_json_is_read_as_the_standard_has_it():
    assert strict_json('{"a":[1,2.5,null,true,"\\u05d0"]}') == {"a": [1, 2.5, None, True, "\u05d0"]}
    for text in ('{"a":1,"a":1}', "NaN", "[Infinity]", "-Infinity", "{'a':1}", "1" * 5000, "[" * 100_000):
        with pytest.raises(ValueError):
            strict_json(text)


def test_the_commands_write_and_read_a_study(busy, tmp_path, capsys):
    study, log = busy.database.engine.url.database, tmp_path / "log.jsonl"
    export_study(study, "log", log)
    assert f"{log.stat().st_size:,} bytes" in capsys.readouterr().out
    with log.open("ab") as file:
        file.write(b'{"at":\x1b[2J')
    other = str(tmp_path / "new.db")
    import_study(other, "log", log)
    shown = capsys.readouterr().out
    num = len(log.read_bytes().splitlines()) - 1
    assert f"{num:,} lines read, {num:,} records added" in shown and "left out" in shown and "\x1b[2J" not in shown
    for name, options in {
        "answers": {"purpose": ("gold", "train")},
        "kto": {"good_from": 4},
        "preferences": {"since": "2023-11-15"},
    }.items():
        export_study(other, name, tmp_path / name, **options)
        assert len((tmp_path / name).read_bytes().splitlines()) > 2
    export_study(other, "preferences", tmp_path / "none", since="2033-01-01T12:00", who=("rater-1",))
    assert (tmp_path / "none").read_bytes() == b""
    import_study(str(tmp_path / "more.db"), "preferences", tmp_path / "preferences", "crowd")
    import_study(str(tmp_path / "more.db"), "kto", tmp_path / "kto")
    import_study(other, "answers", tmp_path / "answers")
    assert " 0 records added" in capsys.readouterr().out
    with Store(tmp_path / "more.db") as more:
        assert {each.record.handle for each in more.entries() if isinstance(each.record, Person)} == {"crowd", "import"}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: export_study("none.db", "log", Path("x")), "there is no study none.db"),
        (lambda: export_study("none.db", "log", Path("x"), who=("a",)), "is the whole log: leave out purpose, who and since"),
        (lambda: export_study("none.db", "labels", Path("x"), good_from=3), "good_from is for the format kto, not for labels"),
        (lambda: export_study("none.db", "labels", Path("x"), since="May"), "since must be a day or a time such as .* got 'May'"),
        (lambda: import_study("none.db", "log", Path("nowhere")), "there is no file nowhere"),
        (lambda: import_study("none.db", "log", Path("nowhere"), "me"), "says itself whose answers they are: leave out person"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_and_makes_no_file(run, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run()
    assert list(tmp_path.iterdir()) == []
