"""Marks of claims and connections for events that are published only once.

`found_by` is the sync that first found a claim; null for a claim that was found before this schema:
it counts as announced. A sync whose detection is stored in several parts is in `unannounced` until
the last part is stored."""

from alembic import op

revision = "0023"
down_revision = "0022"

STATEMENTS = (
    "ALTER TABLE claims ADD COLUMN found_by TEXT",
    # The batch of events that announced its closing; null until then.
    "ALTER TABLE claims ADD COLUMN closing_told TEXT",
    """
    CREATE INDEX claims_to_tell ON claims (closes)
        WHERE state = 'open' AND closing_told IS NULL
    """,
    "CREATE TABLE unannounced (sync_id TEXT PRIMARY KEY, connection_id TEXT NOT NULL)",
    # The time of the last complete sync of the connection when it was reported as stale.
    "ALTER TABLE connections ADD COLUMN stale_for TEXT",
    "INSERT INTO chores (name, at) VALUES ('notices', '')",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement.strip())
