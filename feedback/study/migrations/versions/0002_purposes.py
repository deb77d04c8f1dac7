"""Find questions of one purpose without reading all that are open: people are tested often, and most studies have few tests."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add an index."""
    op.create_index("questions_of_a_purpose", "questions", ["is_open", "purpose", "turn", "number"])
