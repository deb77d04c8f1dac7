"""A study in PostgreSQL: a server of Debian's package, on a socket in a folder of its own, does what SQLite does."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from feedback.study.exporting import log_lines
from feedback.study.importing import import_log
from feedback.study.queueing import Mixing, Queue, Reply
from feedback.study.records import Answer, Kind, Outcome, Passage, Purpose, RecordError
from feedback.study.store import Store
from feedback.study.tables import LAYOUT, metadata
from tests.tiny_study import UNTESTED, WEB, Clock, act, answer_next, busy_study, derived_rows, submit, written

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'textgen-gym[postgresql]'")
NUM_THREADS = 8


def programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL server in /usr/lib/postgresql: apt-get install postgresql")
    return found[-1].parent


def somebody() -> dict[str, Any]:
    """Return whom the server runs as: it refuses root."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = next((each for each in ("postgres", "nobody") if each in names), None)
    if name is None:
        pytest.skip("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody")
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the folder of a running server's socket."""
    binaries, owner = programs(), somebody()
    folder = Path(tempfile.mkdtemp(prefix="study"))
    process = None
    try:
        if owner:
            shutil.chown(folder, owner["user"], owner["group"])
        made = subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "study", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            capture_output=True,
            text=True,
            cwd=folder,
            **owner,
        )
        if made.returncode:
            pytest.skip(f"initdb failed: {made.stderr.strip()[-300:]}")
        options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=80"]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *options], cwd=folder, stdout=log, stderr=log, **owner
            )
        wait_for(folder, process)
        yield str(folder)
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # disconnect everybody and stop
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(folder: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            pytest.skip(f"the server did not start: {(folder / 'server.log').read_text()[-300:]}")
        try:
            psycopg.connect(f"host={folder} user=study dbname=postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    pytest.skip("the server did not answer within 30 seconds")


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """Give the URL of a new, empty database."""
    name = f"study_{abs(hash(request.node.name))}"
    with psycopg.connect(f"host={server} user=study dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql+psycopg://study@/{name}?host={server}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url, Clock()) as made:
        yield made


def said(store: Store) -> list[Answer]:
    return [entry.record for entry in store.entries() if isinstance(entry.record, Answer)]


def test_questions_go_in_once_and_answers_come_back_equal(store):
    tickets = submit(store, 3, Kind.COMPARE, wanted=2, most=2)
    assert submit(store, 3, Kind.COMPARE, wanted=2, most=2) == tickets
    queue, people = Queue(store, 100.0, UNTESTED), [store.enrol(f"rater-{number} \u05d0") for number in range(3)]
    first = answer_next(queue, people[0], "key")
    assert store.standings(tickets)[tickets[0]].answers == (first,)
    assert queue.undo(people[0], "undo", WEB).earlier == first
    assert answer_next(queue, people[0], "again").supersedes == ""
    showing = queue.revise(people[0], queue.history(people[0])[0].id, WEB)
    queue.answer(people[0], showing.lease.id, "edited", Reply(Outcome.TIE))
    with pytest.raises(RecordError, match="was used for another answer"):
        queue.answer(people[0], showing.lease.id, "edited", Reply(Outcome.ALL_BAD))
    held = queue.next_for(people[1], WEB)
    store.clock.now += 200
    assert [queue.next_for(person, WEB).question.id for person in people[:0:-1]] == [held.question.id, tickets[1]]
    assert [entry.number for entry in store.entries()] == sorted(entry.number for entry in store.entries())
    store.cancel(tickets)
    assert queue.progress(people[0])[1] == 0


def test_text_that_the_database_itself_cannot_hold_is_kept(store):
    passage = Passage("nul \x00", "\U0001f600 \u05d0 \u202e \r\n\t \x1b[2J \ufffe '\"; DROP TABLE log; --", sampling={"\x00": "\x00"})
    with store.database.writing() as connection:
        store.append(connection, [passage])
    store.database.undone[0]()  # forget what was read
    assert store.record(Passage, passage.id) == passage


@pytest.mark.parametrize("statement", ["UPDATE log SET body = '{}'", "DELETE FROM log", "TRUNCATE log"])
def test_the_database_itself_refuses_to_change_the_log(store, statement):
    submit(store, 1)
    before = list(store.entries())
    with pytest.raises(DBAPIError, match="the log is append-only"), store.database.writing() as connection:
        connection.execute(text(statement))
    assert list(store.entries()) == before


def test_everything_but_the_log_can_be_made_anew_row_by_row(url):
    with busy_study(url, num=80) as store:
        before = derived_rows(store)
        assert len(before["answers"]) > 40
        store.rebuild()
        assert derived_rows(store) == before


def test_the_same_history_gives_the_same_tables_as_in_sqlite(url, tmp_path):
    with busy_study(url, seed=3, num=50) as store, busy_study(tmp_path / "study.db", seed=3, num=50) as other:
        assert derived_rows(store) == derived_rows(other)
        assert [entry.record for entry in store.entries()] == [entry.record for entry in other.entries()]


def test_threads_and_two_stores_lose_nothing_and_say_nothing_twice(url):
    with Store(url) as store, Store(url) as other:  # two stores stand for two processes: they share no lock
        tickets = submit(store, 40, wanted=2, most=2)
        queues = [Queue(each, mixing=UNTESTED) for each in (store, other)]

        def work(number: int) -> list[str]:
            queue = queues[number % 2]
            person, done = queue.store.enrol(f"rater-{number}"), list[str]()
            while (answer := answer_next(queue, person, f"key {len(done)}")) is not None:
                done.append(answer.id)
            return done

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            acknowledged = [name for done in pool.map(work, range(NUM_THREADS)) for name in done]
        assert Counter(acknowledged) == Counter(answer.id for answer in said(store)) and len(acknowledged) == 80
        for standing in store.standings(tickets).values():
            assert len({answer.person for answer in standing.answers}) == len(standing.answers) == 2
        before = derived_rows(store)
        store.rebuild()
        assert derived_rows(store) == before


def test_numbers_have_the_order_in_which_records_became_lasting(url):
    with Store(url) as store, Store(url) as other:
        seen: list[int] = []

        def write(number: int) -> None:
            each = (store, other)[number % 2]
            submit(each, 1, start=number)
            numbers = [entry.number for entry in each.entries()]
            assert numbers[: len(seen)] == seen[: len(numbers)]
            seen[:] = max(seen, numbers, key=len)

        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(write, range(40)))
        assert [entry.number for entry in store.entries()] == seen and len(seen) == 120


def test_one_reading_sees_one_state_whatever_is_written_meanwhile(store):
    submit(store, 1)
    count = text("SELECT count(*) FROM log")
    with store.database.reading() as connection:
        before = connection.execute(count).scalar_one()
        submit(store, 1, start=1)
        assert connection.execute(count).scalar_one() == before
    with store.database.reading() as connection:
        assert connection.execute(count).scalar_one() == before + 3


def test_gold_and_repeats_are_handed_out(store):
    submit(store, 20)
    submit(store, 5, start=100, purpose=Purpose.GOLD, gold={})
    queue, person = Queue(store, mixing=Mixing(3, 4, 2)), store.enrol("rater-1")
    found = {store.record(type(showing.question), showing.question.id).purpose for showing in shown(queue, person)}
    assert found == set(Purpose)


def shown(queue, person):
    for number in range(12):
        showing = queue.next_for(person, WEB)
        queue.answer(person, showing.lease.id, f"key {number}", Reply(Outcome.TIE))
        yield showing


def test_a_failed_write_leaves_nothing_and_the_next_one_works(store):
    with pytest.raises(RecordError, match="plain JSON"), store.database.writing() as connection:
        store.append(connection, [written(" a"), Passage("", "", sampling={"a": "\ud800"})])
    assert list(store.entries()) == [] and len(submit(store, 1)) == 1


def test_a_log_whose_numbers_have_gaps_moves_to_sqlite_and_back_byte_for_byte(store, tmp_path):
    with pytest.raises(RecordError), store.database.writing() as connection:
        store.append(connection, [written(" a"), Passage("", "", sampling={"a": "\ud800"})])
    submit(store, 2)
    answer_next(Queue(store, mixing=UNTESTED), store.enrol("rater-1"), "key")
    assert next(store.entries()).number > 1
    first = "".join(log_lines(store))
    with Store(tmp_path / "study.db") as other:
        import_log(other, first.encode().splitlines(keepends=True))
        assert "".join(log_lines(other)) == first
    assert import_log(store, first.encode().splitlines(keepends=True)).num_added == 0


def test_stores_may_open_a_new_database_at_once(url):
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        stores = list(pool.map(lambda _: Store(url), range(NUM_THREADS)))
    for each in stores:
        each.close()
    with Store(url) as store, store.database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [LAYOUT]


def test_the_migrations_give_exactly_the_tables_that_the_code_uses(store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []


def test_whatever_people_do_nobody_answers_twice(store):
    import numpy as np

    tickets = submit(store, 10, wanted=2, most=3)
    act(store, Queue(store, 100.0, UNTESTED), store.clock, np.random.default_rng(1), 80)
    for standing in store.standings(tickets).values():
        assert len({answer.person for answer in standing.answers}) == len(standing.answers) <= 3


def test_a_server_that_is_not_there_is_named(server):
    with pytest.raises(ValueError, match=r"postgresql\+psycopg://nobody-here@/nothing.* could not be opened"):
        Store(f"postgresql+psycopg://nobody-here@/nothing?host={server}")
