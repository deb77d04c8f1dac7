"""Open a study's database: SQLite with a write-ahead log by default, PostgreSQL or another by its URL; bring it to the present layout.

Transactions that write follow each other: within a process by a lock, between processes by `BEGIN IMMEDIATE` (SQLite) or an advisory lock
(PostgreSQL). Nobody who waits is told that the database is locked, and the log's numbers have the order in which records became lasting.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from feedback.study.tables import LAYOUT

BETWEEN_TRIES = 0.005  # seconds
SECONDS_TO_WAIT = 60  # for another process's transaction
ADVISORY_LOCK = 0x7465_7874  # any number that other programs on the same server do not use
MIGRATING = threading.Lock()  # Alembic keeps what it works on in its modules


class Database:
    """Hand out connections.

    Args:
        url: a path, or a URL of SQLAlchemy such as postgresql+psycopg://user@host/name.

    `undone` holds what is called when changes were not kept, before anybody else may write.

    Errors: ValueError for what is no URL, a database in memory, a folder that does not exist, or a layout newer than this code.
    """

    def __init__(self, url: str | Path) -> None:
        self._url = _url(url)
        self.engine = _engine(self._url)
        self.undone: list[Callable[[], object]] = []
        self._writing = threading.Lock()
        _migrate(self)

    @property
    def url(self) -> str:
        """Return where the database is, without a password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database."""
        with self.engine.connect().execution_options(**self._isolation("REPEATABLE READ")) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes become lasting together at the end, or not at all."""
        options = {"writes": True} | self._isolation("READ COMMITTED")
        with self._writing, self.engine.connect().execution_options(**options) as connection:
            try:
                with connection.begin():
                    if self.engine.dialect.name == "postgresql":
                        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ADVISORY_LOCK})
                    yield connection
            except BaseException:
                for forget in self.undone:
                    forget()
                raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _isolation(self, level: str) -> dict[str, Any]:
        """Return the option for a level; in SQLite a transaction always sees one state."""
        return {"isolation_level": level} if self.engine.dialect.name == "postgresql" else {}


def _url(url: str | Path) -> URL:
    given = str(url)
    try:
        parsed = make_url(given) if "://" in given else URL.create("sqlite", database=given)
    except ArgumentError as error:
        raise ValueError(f"a study is kept in a file or a database named by a URL of SQLAlchemy, got {given!r}: {error}") from error
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("a study is kept on disk, so that nothing is lost; give a path such as study.db")
        folder = Path(str(parsed.database)).absolute().parent
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder} for the study {Path(str(parsed.database)).name}: create it first")
    return parsed


def _engine(url: URL) -> Engine:
    engine = create_engine(url, pool_size=10, max_overflow=50)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, record: Any) -> None:
    """Set up one connection to SQLite."""
    connection.isolation_level = None  # the driver begins no transactions of its own
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT * 1000}")
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous = FULL")  # what is acknowledged survives a power cut
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    """Switch a new file to its write-ahead log. SQLite does not wait for others here, whatever its time limit: so it is tried again."""
    until = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(BETWEEN_TRIES)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _layout(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(database: Database) -> None:
    """Bring the database to the present layout; one process does it, others wait."""
    try:
        with database.reading() as connection:
            if _layout(connection) == LAYOUT:
                return
        with MIGRATING, database.writing() as connection:
            found = _layout(connection)
            if found is not None and found > LAYOUT:
                raise ValueError(
                    f"{database.url} has the layout {found}, newer than {LAYOUT}, which this version reads: install a newer one"
                )
            if found != LAYOUT:
                _upgrade(connection)
    except DatabaseError as error:
        raise ValueError(f"the study {database.url} could not be opened: {error.orig}") from error


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
