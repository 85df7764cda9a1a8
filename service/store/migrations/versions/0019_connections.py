"""The time since which a connection has its status, the name that the user gave, and the end of its
authorisation. For a connection that is already lost, the time is unknown."""

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    "ALTER TABLE connections ADD COLUMN status_since TEXT",
    "ALTER TABLE connections ADD COLUMN given_name TEXT",
    "ALTER TABLE connections ADD COLUMN authorised_until TEXT",
    "UPDATE connections SET status_since = created_at WHERE lost IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
