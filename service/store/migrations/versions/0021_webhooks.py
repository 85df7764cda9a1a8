"""Webhooks: endpoints of users, and the deliveries of events to them.

A delivery has its body, since the outbox may be trimmed while the receiver is down."""

from alembic import op

revision = "0021"
down_revision = "0020"

STATEMENTS = (
    # `tx` and `seq`: the position in the feed of events up to which deliveries were made.
    """
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        everybody INTEGER NOT NULL,
        url TEXT NOT NULL,
        types TEXT NOT NULL,
        description TEXT,
        enabled INTEGER NOT NULL,
        disabled_reason TEXT,
        created_at TEXT NOT NULL,
        secret TEXT NOT NULL,
        previous_secret TEXT,
        previous_until TEXT,
        tx INTEGER NOT NULL,
        seq INTEGER NOT NULL
    )
    """,
    "CREATE INDEX webhooks_of_user ON webhooks (user_id, id)",
    # `tx` and `seq`: the event's place in the feed. `tries`: attempts since the
    # first one or a retry. `claimed_until`: a process is sending it.
    """
    CREATE TABLE webhook_deliveries (
        id TEXT PRIMARY KEY,
        webhook_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        connection_id TEXT NOT NULL,
        tx INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        at TEXT NOT NULL,
        body TEXT NOT NULL,
        status TEXT NOT NULL,
        attempts TEXT NOT NULL,
        tries INTEGER NOT NULL,
        next_attempt_at TEXT,
        claimed_until TEXT
    )
    """,
    "CREATE INDEX deliveries_of_webhook ON webhook_deliveries (webhook_id, id)",
    """
    CREATE INDEX deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at)
        WHERE status = 'pending'
    """,
    """
    CREATE INDEX deliveries_of_sync ON webhook_deliveries (webhook_id, sync_id, tx, seq)
        WHERE status = 'pending'
    """,
    "CREATE INDEX deliveries_by_age ON webhook_deliveries (at)",
    "CREATE INDEX deliveries_of_connection ON webhook_deliveries (connection_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement.strip())
