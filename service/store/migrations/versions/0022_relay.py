"""The relay of changed records: who has its turn, and how far it has come."""

from alembic import op

revision = "0022"
down_revision = "0020"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE outbox_relay (
            name TEXT PRIMARY KEY,
            node TEXT NOT NULL,
            term INTEGER NOT NULL,
            until TEXT NOT NULL,
            tx INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            entry INTEGER NOT NULL
        )
        """.strip()
    )
