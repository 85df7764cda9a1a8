"""Accounts: whose a connection is, so that one account is connected once."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    # The source's own id of the account; null until the source has told it. It is confirmed where
    # the source told it for the credentials that are kept now.
    "ALTER TABLE connections ADD COLUMN account_id TEXT",
    "ALTER TABLE connections ADD COLUMN account_confirmed INTEGER NOT NULL DEFAULT 0",
    # A digest of the refresh token: the same token is certainly of the same account.
    "ALTER TABLE connections ADD COLUMN token_digest TEXT",
    """
    CREATE UNIQUE INDEX one_connection_per_account
        ON connections (user_id, connector, environment, account_id)
     WHERE forgotten_at IS NULL AND account_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX one_connection_per_token
        ON connections (user_id, connector, environment, token_digest)
     WHERE forgotten_at IS NULL AND token_digest IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
