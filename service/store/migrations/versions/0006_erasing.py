"""The start of the erasure of a forgotten connection's data; null after its end."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE connections ADD COLUMN erasing TEXT")
    op.execute("CREATE INDEX erasures ON connections (erasing) WHERE erasing IS NOT NULL")
