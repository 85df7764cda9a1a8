"""The indexes of comparisons no longer serve look-ups by id.

On a table that was never analysed, PostgreSQL takes any index that begins with the connection and
the dataset to be as good as the primary key, and then reads the whole dataset for each id. It
cannot use a partial index unless the query repeats its condition."""

from alembic import op

revision = "0017"
down_revision = "0016"

STATEMENTS = (
    "DROP INDEX records_by_change",
    "DROP INDEX records_by_time",
    """
    CREATE INDEX records_by_change ON records (connection_id, dataset, updated_at, id)
        WHERE updated_at > ''
    """,
    """
    CREATE INDEX records_by_time ON records (connection_id, dataset, at, id)
        WHERE at > ''
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
