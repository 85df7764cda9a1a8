"""The units of removal orders that arrived, as users report them."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = (
    # `connection_id` is the connection whose records name the removal order.
    """
    CREATE TABLE removals_received (
        user_id TEXT NOT NULL,
        order_id TEXT NOT NULL,
        sku TEXT NOT NULL,
        fnsku TEXT NOT NULL,
        tracking TEXT NOT NULL,
        units INTEGER NOT NULL,
        day TEXT,
        connection_id TEXT NOT NULL,
        PRIMARY KEY (user_id, order_id, sku, fnsku, tracking)
    )
    """,
    "CREATE INDEX removals_of_connection ON removals_received (connection_id)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
