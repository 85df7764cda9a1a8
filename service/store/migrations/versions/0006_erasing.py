"""The time since when the data of a forgotten connection is being erased; null once it is done."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE connections ADD COLUMN erasing TEXT")
    op.execute("CREATE INDEX erasures ON connections (erasing) WHERE erasing IS NOT NULL")
