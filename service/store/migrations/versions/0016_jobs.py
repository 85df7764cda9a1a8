"""The tables of procrastinate, which runs the syncs of a cluster on PostgreSQL."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    from procrastinate.schema import SchemaManager

    # As one text, without parameters: it holds many statements, and percent signs.
    connection.connection.driver_connection.execute(SchemaManager.get_schema())  # type: ignore[union-attr]
