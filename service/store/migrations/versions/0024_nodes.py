"""The processes of a cluster, as each one announces itself. Their rows need not survive a crash of
the server."""

from alembic import op

revision = "0024"
down_revision = "0023"

NODES = """
CREATE UNLOGGED TABLE nodes (
    id TEXT COLLATE "C" PRIMARY KEY,
    role TEXT COLLATE "C" NOT NULL,
    -- The engine's name of its worker; null if it runs no syncs.
    worker TEXT COLLATE "C",
    started_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    running BIGINT NOT NULL,
    slots BIGINT NOT NULL,
    streams BIGINT NOT NULL
)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NODES.strip())
