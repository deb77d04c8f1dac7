"""Create the log, the tables that are recomputed from it, and those that say who may come in."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
GUARD = """
CREATE FUNCTION keep_log() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'the log is append-only'; END $$ LANGUAGE plpgsql;
CREATE TRIGGER keep_log BEFORE UPDATE OR DELETE OR TRUNCATE ON log FOR EACH STATEMENT EXECUTE FUNCTION keep_log();
"""
SQLITE_GUARDS = {
    "update": "BEFORE UPDATE ON log",
    "delete": "BEFORE DELETE ON log",
    # REPLACE deletes without asking the trigger above
    "replace": "BEFORE INSERT ON log WHEN EXISTS (SELECT 1 FROM log WHERE id = NEW.id OR number = NEW.number)",
}


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "log",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("record", sa.String(16), nullable=False),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for name, event in SQLITE_GUARDS.items():
            op.execute(f"CREATE TRIGGER keep_log_{name} {event} BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END")
    elif op.get_bind().dialect.name == "postgresql":
        op.execute(GUARD)
    op.create_table(
        "questions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("only_for", sa.String(32), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("least", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("expires", sa.Float(53)),
        sa.Column("num_counted", sa.Integer, nullable=False),
        sa.Column("is_closed", sa.Boolean, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
    )
    op.create_index("questions_to_ask", "questions", ["is_open", "turn", "number"])
    op.create_table(
        "leases",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("question", sa.String(32), nullable=False),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
        sa.Column("is_live", sa.Boolean, nullable=False),
    )
    op.create_index("leases_of_a_question", "leases", ["question", "is_live"])
    op.create_index("leases_of_a_person", "leases", ["person", "is_live"])
    op.create_table(
        "answers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("question", sa.String(32), nullable=False),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("is_current", sa.Boolean, nullable=False),
    )
    op.create_index("answers_to_a_question", "answers", ["question", "is_current"])
    op.create_index("answers_of_a_person", "answers", ["person", "number"])
    op.create_table(
        "people",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("handle", sa.String(100), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("started", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
