"""How far the ids of a user's syncs are ahead of the moments at which they started: it happens
where the clock was set back, and a search by time has to know."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE sync_counts ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0")
