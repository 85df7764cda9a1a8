"""Claims, the costs of goods that users enter, and consents in progress."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = (
    # Whether a claim is waiting, claimable or expired depends on the day, so only its dates are
    # stored. `hundredths` is the amount as a whole number, so that sums are exact.
    """
    CREATE TABLE claims (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        connection_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        currency TEXT,
        hundredths INTEGER,
        opens TEXT NOT NULL,
        closes TEXT NOT NULL,
        reimbursed INTEGER NOT NULL,
        sync_id TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX claims_of_user ON claims (user_id, id)",
    "CREATE INDEX claims_of_rule ON claims (connection_id, rule)",
    """
    CREATE TABLE costs (
        user_id TEXT NOT NULL,
        sku TEXT NOT NULL,
        amount TEXT NOT NULL,
        currency TEXT NOT NULL,
        PRIMARY KEY (user_id, sku)
    )
    """,
    # A consent in progress: its state is valid once, and for a short time.
    """
    CREATE TABLE consents (
        state TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        begun_at TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
