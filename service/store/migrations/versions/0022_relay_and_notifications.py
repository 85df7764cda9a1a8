"""The relay of changed records: its turn and its position. The notifications of sources that were
received, each with the sync that reads its record."""

from alembic import op

revision = "0022"
down_revision = "0021"

STATEMENTS = (
    """
    CREATE TABLE outbox_relay (
        name TEXT PRIMARY KEY,
        node TEXT NOT NULL,
        term INTEGER NOT NULL,
        until TEXT NOT NULL,
        tx INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        entry INTEGER NOT NULL
    )
    """,
    # `sync_id` is empty until a sync that reads the record has started.
    """
    CREATE TABLE notifications (
        connection_id TEXT NOT NULL,
        id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        record_id TEXT NOT NULL,
        at TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        PRIMARY KEY (connection_id, id)
    )
    """,
    "CREATE INDEX notifications_waiting ON notifications (connection_id) WHERE sync_id = ''",
    "CREATE INDEX notifications_of_sync ON notifications (sync_id)",
    "CREATE INDEX notifications_by_age ON notifications (at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement.strip())
