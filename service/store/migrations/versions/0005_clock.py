"""How far the times in the ids of a user's syncs are after their starts. A clock set back causes
this, and a search by time must allow for it."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE sync_counts ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0")
