"""Compress long texts with LZ4 on PostgreSQL. Each page writes two of them: its change in the
outbox, about six kilobytes, and the state of the sync. Stored rows stay as they are."""

from alembic import op
from sqlalchemy import text

revision = "0025"
down_revision = "0024"

# In the order in which running syncs lock them: the other order could end in a deadlock.
LONG = {
    "sync_progress": "body",
    "records": "data",
    "claims": "body",
    "claim_evidence": "data",
    "outbox": "body",
    "webhook_deliveries": "body",
}
HAS_LZ4 = """
SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'
"""


def upgrade() -> None:
    connection = op.get_bind()
    # A server may have been built without it.
    if connection.dialect.name != "postgresql" or not connection.execute(text(HAS_LZ4)).scalar():
        return
    for table, column in LONG.items():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4")
