"""Settings of connections as connectors declare them, instead of columns for one source.

The public settings become one JSON value. `realm` is the part of them that belongs to the identity
of an account, here the environment. Both are written as `service.connection_settings` writes them:
compact, with sorted names, so that old and new rows are comparable.

Credentials were one encrypted refresh token. They become one encrypted JSON value. Since a
migration has no keys, an old value only gets its field's name as a prefix (`refreshToken:...`).
`service.credentials` reads both forms, and `rotate-keys` rewrites all values in the new form.

Consents in progress are deleted: they last 15 minutes, and the user can start again.
"""

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

AT_ONCE = 500

ADD = (
    "ALTER TABLE connections ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE connections ADD COLUMN realm TEXT NOT NULL DEFAULT '{}'",
    "DELETE FROM consents",
)
ROWS = """
SELECT id, region, marketplace_ids, environment FROM connections
 WHERE id > :after ORDER BY id LIMIT :limit
"""
UPDATE = """
UPDATE connections
   SET settings = :settings, realm = :realm, credentials = 'refreshToken:' || credentials
 WHERE id = :id
"""
REMOVE = (
    "DROP INDEX one_connection_per_account",
    "DROP INDEX one_connection_per_token",
    "ALTER TABLE connections DROP COLUMN region",
    "ALTER TABLE connections DROP COLUMN marketplace_ids",
    "ALTER TABLE connections DROP COLUMN environment",
    """
    CREATE UNIQUE INDEX one_connection_per_account
        ON connections (user_id, connector, realm, account_id)
     WHERE forgotten_at IS NULL AND account_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX one_connection_per_token
        ON connections (user_id, connector, realm, token_digest)
     WHERE forgotten_at IS NULL AND token_digest IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in ADD:
        op.execute(sa.text(statement))
    _convert_rows(op.get_bind())
    for statement in REMOVE:
        op.execute(sa.text(statement))


def _convert_rows(connection: sa.Connection) -> None:
    after = ""
    while rows := connection.execute(sa.text(ROWS), {"after": after, "limit": AT_ONCE}).all():
        changes = [
            {
                "id": row.id,
                "settings": _json(
                    {
                        "region": row.region,
                        "marketplaceIds": msgspec.json.decode(row.marketplace_ids),
                        "environment": row.environment,
                    }
                ),
                "realm": _json({"environment": row.environment}),
            }
            for row in rows
        ]
        connection.execute(sa.text(UPDATE), changes)
        after = rows[-1].id


def _json(values: dict[str, object]) -> str:
    return msgspec.json.encode(values, order="sorted").decode()
