"""The account of each connection, so that a user connects an account only once."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    # The source's own id of the account; null until the source returns it. It is confirmed if the
    # source returned it for the current credentials.
    "ALTER TABLE connections ADD COLUMN account_id TEXT",
    "ALTER TABLE connections ADD COLUMN account_confirmed INTEGER NOT NULL DEFAULT 0",
    # A digest of the refresh token: the same token certainly belongs to the same account.
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
