"""What was said stays said: the log only grows, everything else follows from it, and many may write at once."""

from __future__ import annotations

import ast
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from feedback.study.database import _prepare
from feedback.study.queueing import Queue
from feedback.study.records import Answer, Closing, Kind, Lease, Outcome, Passage, Question, RecordError, Return
from feedback.study.store import Store
from feedback.study.tables import DERIVED, LAYOUT, metadata
from tests.tiny_study import UNTESTED, WEB, Clock, answer_next, asked, busy_study, derived_rows, submit, written

ROOT = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "study.db", Clock()) as made:
        yield made


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another process of this interpreter."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)


def begin(process: subprocess.Popen[str]) -> None:
    """Let a process go on that has said that it is ready."""
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def said(store: Store) -> list[Answer]:
    return [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]


def test_the_same_question_is_asked_once(store):
    question, passages = asked(Kind.COMPARE)
    first = store.submit([question], passages)
    before = list(store.entries())
    assert store.submit([question, question], [*passages, *passages]) == first * 2
    assert list(store.entries()) == before
    other, _ = asked(Kind.COMPARE, ticket="again")
    assert store.submit([other], passages) != first and len(list(store.entries())) == 4


def test_a_question_about_a_passage_that_is_nowhere_changes_nothing(store):
    question, passages = asked(Kind.COMPARE)
    with pytest.raises(KeyError, match=f"question 0 is about passage {passages[1].id}, which is not in the study: submit it too"):
        store.submit([question], passages[:1])
    assert not list(store.entries())
    assert store.submit([question], passages) == [question.id]


def test_what_was_read_in_a_transaction_that_was_undone_is_not_taken_for_kept(store):
    passage = written(" good")
    with pytest.raises(RuntimeError, match="stop"), store.database.writing() as connection:
        store.append(connection, [passage])
        assert store.find(Passage, passage.id, connection) == passage
        raise RuntimeError("stop")
    assert store.find(Passage, passage.id) is None
    with store.database.writing() as connection:
        assert store.append(connection, [passage]) == [passage]
    assert [entry.record for entry in store.entries()] == [passage]


def test_the_log_keeps_order_numbers_and_times(store):
    submit(store, 2)
    store.database.engine.dispose()
    store.clock.now += 5.5
    person = store.enrol("rater-1")
    entries = list(store.entries())
    assert [entry.number for entry in entries] == list(range(1, 8))
    assert entries[-1].record == person and entries[-1].at - entries[0].at == 5.5
    assert [entry.record.name for entry in store.entries(after=4)] == ["question", "question", "person"]


def test_a_log_longer_than_one_reading_is_given_whole(store, monkeypatch):
    monkeypatch.setattr("feedback.study.store.AT_ONCE", 7)
    tickets = submit(store, 10)
    assert [entry.number for entry in store.entries()] == list(range(1, 31))
    assert list(store.standings(tickets)) == tickets


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET body = '{}'",
        "DELETE FROM log",
        "REPLACE INTO log (number, at, record, id, body) SELECT number, 0, record, id, '{}' FROM log",
        "INSERT OR REPLACE INTO log (at, record, id, body) SELECT 0, record, id, '{}' FROM log",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(store, statement):
    submit(store, 1)
    before = list(store.entries())
    with pytest.raises(IntegrityError, match="the log is append-only"), store.database.writing() as connection:
        connection.execute(text(statement))
    outside = sqlite3.connect(store.database.engine.url.database)
    with pytest.raises(sqlite3.IntegrityError, match="the log is append-only"):
        outside.execute(statement)
    outside.close()
    assert list(store.entries()) == before


def test_everything_but_the_log_can_be_made_anew_row_by_row(tmp_path):
    with busy_study(tmp_path / "study.db") as store:
        before = derived_rows(store)
        kept = Counter(entry.record.name for entry in store.entries())
        assert kept["answer"] > 60 and kept["return"] > 5 and len(before["people"]) == 5
        found = {answer.outcome for answer in said(store)}
        assert {Outcome.ANSWERED, Outcome.TIE, Outcome.SKIP, Outcome.ALL_BAD, Outcome.ABSTAIN, Outcome.WITHDRAWN} <= found
        purposes = {entry.record.purpose for entry in store.entries() if isinstance(entry.record, Question)}
        assert len(purposes) == 3
        store.rebuild()
        assert derived_rows(store) == before
        with store.database.writing() as connection:
            for table in DERIVED:
                connection.execute(table.delete())
        store.rebuild()
        assert derived_rows(store) == before


def test_a_cancelled_question_is_made_anew_as_one(store):
    tickets = submit(store, 3)
    store.cancel(tickets[:1])
    before = derived_rows(store)
    store.rebuild()
    assert derived_rows(store) == before
    assert [standing.is_settled for standing in store.standings(tickets).values()] == [True, False, False]


def test_what_is_said_while_everything_is_made_anew_is_not_forgotten(store, monkeypatch):
    tickets, queue = submit(store, 1), Queue(store, mixing=UNTESTED)
    person, entries, threads = store.enrol("rater-1"), store.entries, []

    def read_and_be_overtaken(after=0):
        yield from entries(after)
        threads.append(threading.Thread(target=answer_next, args=(queue, person, "key")))
        threads[0].start()
        threads[0].join(0.5)

    monkeypatch.setattr(store, "entries", read_and_be_overtaken)
    store.rebuild()
    threads[0].join()
    assert len(store.standings(tickets)[tickets[0]].answers) == 1


def test_a_handle_is_one_person_with_one_role(store):
    first = store.enrol("rater-1")
    assert store.enrol("rater-1") == first and store.record(type(first), first.id) == first
    with pytest.raises(ValueError, match="'rater-1' is a rater of this study already"):
        store.enrol("rater-1", "owner")
    assert len(list(store.entries())) == 1


def test_an_unknown_id_is_named(store):
    with pytest.raises(KeyError, match="this study has no passage 'nowhere'"):
        store.record(Passage, "nowhere")
    with pytest.raises(KeyError, match="no question of this study has the ticket 'nowhere'"):
        store.standings(["nowhere"])
    with pytest.raises(KeyError, match="this study has no question 'nowhere'"):
        store.cancel(["nowhere"])
    assert not list(store.entries())
    assert store.find(Passage, submit(store, 1)[0]) is None  # a question's id is no passage's


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "a study is kept on disk"),
        (":memory:", "a study is kept on disk"),
        ("", "a study is kept on disk"),
        ("no/such/folder/study.db", "there is no folder .*no/such/folder for the study study.db: create it first"),
        ("a b://c", "named by a URL of SQLAlchemy"),
    ],
)
def test_a_place_where_no_study_can_be_is_refused_with_the_reason(url, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        Store(url)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(ValueError, match=r"notes.txt could not be opened: file is not a database"):
        Store(path)
    assert path.read_text() == "not a database, " * 100


@pytest.mark.parametrize("name", ["what?.db", "50%20.db", "a#b c.db", "\u05d0.db"])
def test_a_file_gets_the_name_that_was_given(name, tmp_path):
    with Store(tmp_path / name) as made:
        submit(made, 1)
    assert (tmp_path / name).is_file()


def test_no_message_holds_a_password(tmp_path):
    from feedback.study.database import Database

    with pytest.raises(ValueError, match="could not be opened") as caught:
        Database(f"postgresql+psycopg://user:secret@/name?host={tmp_path}")
    assert "secret" not in str(caught.value) and "user:***@" in str(caught.value)


def test_the_migrations_give_exactly_the_tables_that_the_code_uses(store):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    config = Config()
    config.set_main_option("script_location", str(ROOT / "feedback/study/migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == LAYOUT


def test_a_study_of_the_first_layout_is_brought_to_the_present_one_and_keeps_what_it_holds(tmp_path):
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", str(ROOT / "feedback/study/migrations"))
    engine = create_engine(f"sqlite:///{tmp_path / 'study.db'}")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO people (id, handle, role) VALUES ('a', 'rater-1', 'rater')"))
        connection.commit()
    engine.dispose()
    with Store(tmp_path / "study.db") as store, store.database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == LAYOUT
        assert connection.execute(text("SELECT handle FROM people")).scalar() == "rater-1"
        indexes = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()
        assert "questions_of_a_purpose" in indexes


def test_a_database_of_a_newer_layout_is_refused(tmp_path):
    with Store(tmp_path / "study.db") as made, made.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ValueError, match=f"has the layout 9999, newer than {LAYOUT}, which this version reads: install a newer one"):
        Store(tmp_path / "study.db")


OPEN = """
import sys
from feedback.study.store import Store
print("ready", flush=True)
sys.stdin.readline()
with Store(sys.argv[1]) as store:
    print(store.enrol(sys.argv[2]).id)
"""


def test_processes_may_open_a_new_database_at_once(tmp_path):
    opened = [python(OPEN, str(tmp_path / "study.db"), f"rater-{number}") for number in range(4)]
    for process in opened:
        begin(process)
    for process in opened:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert len(output.strip()) == 32
    with Store(tmp_path / "study.db") as made:
        assert len(list(made.entries())) == 4


def test_threads_may_open_new_databases_at_once(tmp_path):
    def opened(number: int) -> int:
        with Store(tmp_path / f"{number % 4}.db") as made:
            submit(made, 1, start=number)
            return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(opened, range(8))) == list(range(8))
    with Store(tmp_path / "0.db") as made:
        assert len(list(made.entries())) == 6


def test_many_connections_may_be_the_first_to_a_new_file(tmp_path):
    for attempt in range(30):
        path, all_here = tmp_path / f"{attempt}.db", threading.Barrier(8)

        def connected(_: int, path: Path = path, all_here: threading.Barrier = all_here) -> str:
            all_here.wait()
            with closing(sqlite3.connect(path)) as connection:
                _prepare(connection, None)
                return connection.execute("PRAGMA journal_mode").fetchone()[0]

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(connected, range(8))) == {"wal"}


def test_sixteen_threads_lose_nothing_and_say_nothing_twice(tmp_path):
    with Store(tmp_path / "study.db") as store:
        tickets = submit(store, 48, wanted=2, most=2)
        queue = Queue(store, mixing=UNTESTED)

        def work(number: int) -> list[str]:
            person, done = store.enrol(f"rater-{number}"), list[str]()
            while (answer := answer_next(queue, person, f"key {len(done)}")) is not None:
                done.append(answer.id)
            return done

        with ThreadPoolExecutor(16) as pool:
            acknowledged = [name for done in pool.map(work, range(16)) for name in done]
        check_nothing_lost(store, tickets, acknowledged)
        before = derived_rows(store)
        store.rebuild()
        assert derived_rows(store) == before


def check_nothing_lost(store: Store, tickets: list[str], acknowledged: list[str]) -> None:
    assert sorted(acknowledged) == sorted(answer.id for answer in said(store)) and len(set(acknowledged)) == len(acknowledged)
    for standing in store.standings(tickets).values():
        assert len(standing.answers) == len({answer.person for answer in standing.answers}) == standing.question.wanted


WORK = """
import sys
from feedback.study.queueing import Queue, Reply
from feedback.study.records import Outcome, Interface
from feedback.study.store import Store
store = Store(sys.argv[1])
queue, person, start = Queue(store), store.enrol(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
number = start
while (showing := queue.next_for(person, Interface.WEB)) is not None:
    answer = queue.answer(person, showing.lease.id, f"key {number}", Reply(Outcome.TIE))
    print(answer.id, flush=True)
    number += 1
"""


def test_four_processes_lose_nothing_and_say_nothing_twice(tmp_path):
    with Store(tmp_path / "study.db") as store:
        tickets = submit(store, 40, wanted=2, most=2)
        processes = [python(WORK, str(tmp_path / "study.db"), f"rater-{number}", "0") for number in range(4)]
        for process in processes:
            begin(process)
        acknowledged = list[str]()
        for process in processes:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            acknowledged += output.split()
        check_nothing_lost(store, tickets, acknowledged)


def test_what_was_acknowledged_before_a_process_is_killed_is_in_the_log_exactly_once(tmp_path):
    path = tmp_path / "study.db"
    with Store(path) as store:
        submit(store, 2000)
    acknowledged: list[str] = []
    for attempt in range(5):
        process = python(WORK, str(path), "rater-1", str(1000 * attempt))
        begin(process)
        acknowledged += [process.stdout.readline().strip() for _ in range(5 + 7 * attempt)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        whole = rest[: rest.rfind("\n") + 1]  # the last line may be half written
        acknowledged += whole.split()
    with Store(path) as store:
        counts = Counter(answer.id for answer in said(store))
        assert len(acknowledged) >= 95 and len(set(acknowledged)) == len(acknowledged)
        assert all(counts[name] == 1 for name in acknowledged)
        assert 0 <= len(counts) - len(acknowledged) <= 5  # at most one was kept and not yet acknowledged, each time
        before = derived_rows(store)
        store.rebuild()
        assert derived_rows(store) == before


def test_a_record_that_is_refused_takes_the_whole_transaction_with_it(store):
    person = store.enrol("rater-1")
    before = list(store.entries()), derived_rows(store)
    good, bad = written(" good"), Passage("", "", sampling={"stop": "\ud800"})
    with pytest.raises(RecordError, match="plain JSON"), store.database.writing() as connection:
        store.append(connection, [good, Lease("q", person.id, (), WEB, 0.0, 1.0), bad])
    assert (list(store.entries()), derived_rows(store)) == before


def test_a_return_or_a_closing_of_what_is_not_there_changes_nothing_else(store):
    with store.database.writing() as connection:
        store.append(connection, [Return("nowhere", 1.0), Closing("nowhere", "cancelled", 1.0)])
    assert all(rows == [] for rows in derived_rows(store).values())


@pytest.mark.parametrize("path", sorted((ROOT / "feedback/study").rglob("*.py")), ids=lambda path: path.name)
def test_nothing_that_is_stored_can_be_executed(path):
    tree = ast.parse(path.read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {module.partition(".")[0] for module in modules - {"importlib.util"}}  # which only looks whether something is installed
    assert not names & {"eval", "exec", "compile", "__import__"}
    assert not imported & {"pickle", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "ast", "importlib", "torch"}
