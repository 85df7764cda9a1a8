"""The days of datasets that were compared with others, and gaps for which the source has no
record."""

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = (
    """
    CREATE TABLE dataset_days (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        day TEXT NOT NULL,
        state TEXT NOT NULL,
        records INTEGER NOT NULL,
        missing INTEGER NOT NULL,
        fetched INTEGER NOT NULL,
        sync_id TEXT NOT NULL,
        PRIMARY KEY (connection_id, dataset, day)
    )
    """,
    """
    CREATE TABLE closed_gaps (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        gap TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        PRIMARY KEY (connection_id, dataset, gap)
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
