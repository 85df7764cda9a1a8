"""A user is a tenant and a `sub` together. Before, the `sub` alone was the key of every row.

Each row is assigned to the user to whom it belongs:

* connections have a tenant. Syncs, claims and audit entries follow their connection: before this
  revision a user could sync a connection of the same `sub` in another tenant, and such a sync holds
  the account of the connection's owner, not of the user who started it. Without a connection a sync
  or an entry keeps its own tenant.
* Idempotency keys follow their sync; those of deleted syncs are deleted.
* The count of syncs is computed again for each user.
* Costs have no tenant. They follow a `sub` that was seen in one tenant only. Costs of a `sub` seen
  in several tenants, or in none, cannot be assigned: showing them to each would mix users. They
  stay in the table under "/" and the `sub`, which is not the id of any user, until an operator
  assigns them
  (`UPDATE costs SET user_id = 'tenant/sub' WHERE user_id = '/sub'`) or the user sends them again.
* Consents in progress are deleted: they last 15 minutes, and the user can start again.
"""

from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
import structlog
from alembic import op

revision = "0004"
down_revision = "0003"

AT_ONCE = 500

# Every pair of tenant and `sub` in the database, with its new id.
OWNERS = """
CREATE TEMPORARY TABLE owners (
    sub TEXT NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (sub, tenant)
)
"""
PAIRS = """
SELECT user_id, tenant_id FROM connections UNION SELECT user_id, tenant_id FROM sync_progress
 UNION SELECT user_id, tenant_id FROM audit_logs
"""
TENANTS = (
    """
    UPDATE sync_progress SET tenant_id = COALESCE(
        (SELECT tenant_id FROM connections
          WHERE connections.id = sync_progress.connection_id
            AND connections.user_id = sync_progress.user_id), tenant_id)
    """,
    """
    UPDATE audit_logs SET tenant_id = COALESCE(
        (SELECT tenant_id FROM connections
          WHERE connections.id = audit_logs.connection_id
            AND connections.user_id = audit_logs.user_id),
        (SELECT tenant_id FROM sync_progress
          WHERE sync_progress.id = audit_logs.sync_id
            AND sync_progress.user_id = audit_logs.user_id), tenant_id)
    """,
)
# A new key may equal the old key of another row, so rows with unique keys are removed first.
KEYS = (
    """
    CREATE TEMPORARY TABLE moved AS
    SELECT owners.id AS user_id, idempotency_keys.key, request, sync_id, at
      FROM idempotency_keys
      JOIN sync_progress ON sync_progress.id = idempotency_keys.sync_id
                        AND sync_progress.user_id = idempotency_keys.user_id
      JOIN owners ON owners.sub = sync_progress.user_id
                 AND owners.tenant = sync_progress.tenant_id
    """,
    "DELETE FROM idempotency_keys",
    """
    INSERT INTO idempotency_keys (user_id, key, request, sync_id, at)
    SELECT user_id, key, request, sync_id, at FROM moved
    """,
    "DROP TABLE moved",
)
COSTS = (
    """
    CREATE TEMPORARY TABLE moved AS
    SELECT COALESCE((SELECT MIN(id) FROM owners WHERE sub = costs.user_id
                      GROUP BY sub HAVING COUNT(*) = 1),
                    '/' || user_id) AS user_id, sku, amount, currency
      FROM costs
    """,
    "DELETE FROM costs",
    """
    INSERT INTO costs (user_id, sku, amount, currency)
    SELECT user_id, sku, amount, currency FROM moved
    """,
    "DROP TABLE moved",
)
USERS = (
    """
    UPDATE claims SET user_id = COALESCE(
        (SELECT owners.id FROM connections
           JOIN owners ON owners.sub = connections.user_id AND owners.tenant = connections.tenant_id
          WHERE connections.id = claims.connection_id
            AND connections.user_id = claims.user_id), '/' || user_id)
    """,
    "DROP INDEX one_live_sync_per_user",
    *(
        f"""
        UPDATE {table} SET user_id = (
            SELECT id FROM owners WHERE sub = {table}.user_id AND tenant = {table}.tenant_id)
        """
        for table in ("connections", "sync_progress", "audit_logs")
    ),
    """
    CREATE UNIQUE INDEX one_live_sync_per_user ON sync_progress (user_id)
        WHERE status IN ('pending', 'in_progress', 'paused')
    """,
    "DELETE FROM consents",
    "DELETE FROM sync_counts",
    """
    INSERT INTO sync_counts (user_id, total)
    SELECT user_id, COUNT(*) FROM sync_progress GROUP BY user_id
    """,
    "DROP TABLE owners",
)
BODIES = """
SELECT id, user_id, tenant_id, body FROM sync_progress WHERE id > :after ORDER BY id LIMIT :limit
"""
UNASSIGNED = "SELECT COUNT(DISTINCT user_id) FROM costs WHERE user_id LIKE '/%'"

log = structlog.get_logger()


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(OWNERS)
    for sub, tenant in connection.execute(sa.text(PAIRS)).all():
        connection.execute(
            sa.text("INSERT INTO owners (sub, tenant, id) VALUES (:sub, :tenant, :id)"),
            {"sub": sub, "tenant": tenant, "id": _user_id(tenant, sub)},
        )
    for statement in (*TENANTS, *KEYS, *COSTS, *USERS):
        op.execute(sa.text(statement))
    _rewrite_bodies(connection)
    if users := connection.execute(sa.text(UNASSIGNED)).scalar():
        log.warning(
            "costs_unassigned", users=users, why="their sub belongs to no tenant or to several"
        )


def _user_id(tenant: str, sub: str) -> str:
    """`service.users.user_id` as of this revision. It must not change with later versions."""
    return f"{quote(tenant, safe='')}/{sub}"


def _rewrite_bodies(connection: sa.Connection) -> None:
    """Replace the user and the tenant in the JSON of each sync."""
    after = ""
    while rows := connection.execute(sa.text(BODIES), {"after": after, "limit": AT_ONCE}).all():
        changed = [{"id": row.id, "body": _body(row)} for row in rows]
        update = sa.text("UPDATE sync_progress SET body = :body WHERE id = :id")
        connection.execute(update, changed)
        after = rows[-1].id


def _body(row: sa.Row[Any]) -> str:
    fields = msgspec.json.decode(row.body, type=dict[str, msgspec.Raw])
    new = {"user": row.user_id, "tenant": row.tenant_id}
    return msgspec.json.encode({**fields, **new}).decode()
