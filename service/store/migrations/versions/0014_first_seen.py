"""When a record was first seen, and which claims a record proves."""

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    # Null: the record never changed, so it was first seen when it was last changed (`updated_at`,
    # `sync_id`), and new rows take no space for it. Empty: unknown, for older rows. As a default it
    # is not written to them, so the migration takes the same time for any number of rows.
    "ALTER TABLE records ADD COLUMN first_seen_at TEXT DEFAULT ''",
    "ALTER TABLE records ADD COLUMN first_sync_id TEXT DEFAULT ''",
    "CREATE INDEX evidence_of_record ON claim_evidence (record_id, dataset, claim_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
