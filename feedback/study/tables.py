"""Lay out a study's database: one append-only log, and tables that are recomputed from it.

The log is the truth. `questions`, `leases`, `answers` and `people` hold what the log says in a form that can be searched; `rebuild` makes
them anew. `invitations` and `sessions` say who may come in; they are no part of the data and are never exported.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

LAYOUT = "0002"  # the newest migration: what this code reads and writes

metadata = MetaData()
_number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in a column of type INTEGER

log = Table(
    "log",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),  # seconds since 1970 (UTC)
    Column("record", String(16), nullable=False),
    Column("id", String(32), nullable=False, unique=True),
    Column("body", Text, nullable=False),  # canonical JSON
)

questions = Table(
    "questions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", _number, nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("only_for", String(32), nullable=False),
    Column("turn", Integer, nullable=False),  # lower first: the priority with its sign turned
    Column("least", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("expires", Float(53)),  # when its time to live is over; NULL = never
    Column("num_counted", Integer, nullable=False),  # answers and abstentions that stand
    Column("is_closed", Boolean, nullable=False),  # nobody is asked any more
    Column("is_open", Boolean, nullable=False),  # not closed, and more answers are wanted
    Index("questions_to_ask", "is_open", "turn", "number"),
    Index("questions_of_a_purpose", "is_open", "purpose", "turn", "number"),
)

leases = Table(
    "leases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("question", String(32), nullable=False),
    Column("person", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("expires", Float(53), nullable=False),
    Column("is_live", Boolean, nullable=False),  # neither answered nor given back
    Index("leases_of_a_question", "question", "is_live"),
    Index("leases_of_a_person", "person", "is_live"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", _number, nullable=False),
    Column("question", String(32), nullable=False),
    Column("person", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("is_current", Boolean, nullable=False),  # neither superseded nor taken back
    Index("answers_to_a_question", "question", "is_current"),
    Index("answers_of_a_person", "person", "number"),
)

people = Table(
    "people",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("handle", String(100), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("person", String(32), nullable=False),
    Column("expires", Float(53), nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("person", String(32), nullable=False),
    Column("started", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
)

DERIVED = (questions, leases, answers, people)
