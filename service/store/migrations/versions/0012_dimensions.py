"""The dimensions and weights of products that users enter."""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLE = """
    CREATE TABLE dimensions (
        user_id TEXT NOT NULL,
        sku TEXT NOT NULL,
        length TEXT NOT NULL,
        width TEXT NOT NULL,
        height TEXT NOT NULL,
        length_unit TEXT NOT NULL,
        weight TEXT NOT NULL,
        weight_unit TEXT NOT NULL,
        PRIMARY KEY (user_id, sku)
    )
"""


def upgrade() -> None:
    op.execute(TABLE)
