"""The time up to which a dataset was compared with others, the spans of time that were used, and
indexes with which the next comparison finds changes since then."""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = (
    # `windows`: the spans as JSON, by dataset.
    """
    CREATE TABLE comparisons (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        at TEXT NOT NULL,
        windows TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        PRIMARY KEY (connection_id, dataset)
    )
    """,
    "ALTER TABLE dataset_days ADD COLUMN filled TEXT NOT NULL DEFAULT 'confirmed'",
    "CREATE INDEX records_by_change ON records (connection_id, dataset, updated_at, id)",
    "CREATE INDEX records_by_time ON records (connection_id, dataset, at, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
