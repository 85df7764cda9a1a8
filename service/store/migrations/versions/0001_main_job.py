"""Connections, syncs with their items, and records.

Times are text, RFC 3339 in UTC. Ids of syncs grow with time, so they also order the history.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    # Credentials are encrypted, and null for a forgotten connection, whose records may remain.
    """
    CREATE TABLE connections (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        connector TEXT NOT NULL,
        region TEXT NOT NULL,
        marketplace_ids TEXT NOT NULL,
        environment TEXT NOT NULL,
        name TEXT NOT NULL,
        credentials TEXT,
        created_at TEXT NOT NULL,
        checked_at TEXT,
        lost TEXT,
        forgotten_at TEXT
    )
    """,
    "CREATE INDEX connections_of_user ON connections (user_id)",
    # Values that a connector learned about a connection, such as quotas.
    """
    CREATE TABLE learned (
        connection_id TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (connection_id, name)
    )
    """,
    # `body` is the whole sync; the columns are for searches and for people.
    """
    CREATE TABLE sync_progress (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        connection_id TEXT NOT NULL,
        connector TEXT NOT NULL,
        status TEXT NOT NULL,
        stage TEXT NOT NULL,
        progress INTEGER NOT NULL,
        message TEXT NOT NULL,
        version INTEGER NOT NULL,
        started_at TEXT NOT NULL,
        completed_at TEXT,
        updated_at TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
    """
    CREATE UNIQUE INDEX one_live_sync_per_user ON sync_progress (user_id)
        WHERE status IN ('pending', 'in_progress', 'paused')
    """,
    """
    CREATE INDEX live_syncs_of_tenant ON sync_progress (tenant_id)
        WHERE status IN ('pending', 'in_progress', 'paused')
    """,
    "CREATE INDEX history ON sync_progress (user_id, id)",
    # The number of syncs of each user, which is updated with each new sync instead of by COUNT.
    "CREATE TABLE sync_counts (user_id TEXT PRIMARY KEY, total INTEGER NOT NULL)",
    """
    CREATE TABLE sync_history_items (
        sync_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        record_id TEXT NOT NULL,
        name TEXT NOT NULL,
        outcome TEXT NOT NULL,
        error TEXT,
        at TEXT NOT NULL,
        PRIMARY KEY (sync_id, dataset, record_id)
    )
    """,
    # `sync_id` last changed the record, `seen` last read it; `hash` shows whether it changed.
    """
    CREATE TABLE records (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        id TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        seen TEXT NOT NULL,
        hash TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (connection_id, dataset, id)
    )
    """,
    # The time up to which finished syncs have read a dataset.
    """
    CREATE TABLE watermarks (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        until TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        PRIMARY KEY (connection_id, dataset)
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
