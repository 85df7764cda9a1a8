"""Turns of periodic work."""

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    "CREATE TABLE chores (name TEXT PRIMARY KEY, at TEXT NOT NULL)",
    """
    INSERT INTO chores (name, at) VALUES
        ('schedules', ''), ('retention', ''), ('rescue', '')
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
