"""Schedules, idempotency keys, the audit log, and the coverage of datasets."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE connections ADD COLUMN schedule_cron TEXT",
    "ALTER TABLE connections ADD COLUMN schedule_timezone TEXT",
    "ALTER TABLE connections ADD COLUMN schedule_next TEXT",
    "ALTER TABLE connections ADD COLUMN schedule_plan TEXT",  # the plan under which its syncs start
    "CREATE INDEX schedules ON connections (schedule_next) WHERE schedule_next IS NOT NULL",
    # The time that decides into which window a record falls; null for a record without a time.
    "ALTER TABLE records ADD COLUMN at TEXT",
    # The number of stored records of a dataset, the span that was read without a gap (null:
    # unknown), and the sync that last read the dataset.
    """
    CREATE TABLE landed (
        connection_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        records INTEGER NOT NULL,
        since TEXT,
        until TEXT,
        sync_id TEXT,
        PRIMARY KEY (connection_id, dataset)
    )
    """,
    """
    INSERT INTO landed (connection_id, dataset, records)
    SELECT connection_id, dataset, COUNT(*) FROM records GROUP BY connection_id, dataset
    """,
    "DROP TABLE watermarks",  # it lacks the start of the span, so the next sync reads everything
    # The digest of the request of each key, which is stored for a day.
    """
    CREATE TABLE idempotency_keys (
        user_id TEXT NOT NULL,
        key TEXT NOT NULL,
        request TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (user_id, key)
    )
    """,
    "CREATE INDEX old_keys ON idempotency_keys (at)",
    # Ids grow with time, so they also order the log.
    """
    CREATE TABLE audit_logs (
        id TEXT PRIMARY KEY,
        at TEXT NOT NULL,
        action TEXT NOT NULL,
        user_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        actor TEXT NOT NULL,
        sync_id TEXT,
        connection_id TEXT,
        address TEXT,
        user_agent TEXT,
        details TEXT NOT NULL
    )
    """,
    "CREATE INDEX audit_of_user ON audit_logs (user_id, id)",
    "CREATE INDEX audit_of_sync ON audit_logs (sync_id, id)",
    "CREATE INDEX old_audit ON audit_logs (at)",
    # Each filter of a list has an index, so that a rare status among a million syncs is found fast.
    "CREATE INDEX history_by_status ON sync_progress (user_id, status, id)",
    "CREATE INDEX history_by_connection ON sync_progress (user_id, connection_id, id)",
    "CREATE INDEX history_by_connector ON sync_progress (user_id, connector, id)",
    "CREATE INDEX ended_syncs ON sync_progress (completed_at) WHERE completed_at IS NOT NULL",
    "CREATE INDEX items_by_outcome ON sync_history_items (sync_id, outcome, dataset, record_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
