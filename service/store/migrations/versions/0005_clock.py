"""The maximum time by which the ids of a user's syncs are ahead of their starts. A clock that was
set back causes this, and searches by time allow for it."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE sync_counts ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0")
