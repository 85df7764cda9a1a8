"""Since when a connection has its status, its name by the user, and when its authorisation ends.

When the source refused a connection that is lost already is unknown."""

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
