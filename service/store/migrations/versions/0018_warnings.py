"""The number of a sync's warnings, by which history is filtered."""

from alembic import op

revision = "0018"
down_revision = "0017"

COUNT = {
    "sqlite": "json_array_length(body, '$.warnings')",
    "postgresql": "jsonb_array_length(CAST(body AS JSONB) -> 'warnings')",
}
"""The number of warnings in a body, by dialect."""


def upgrade() -> None:
    op.execute("ALTER TABLE sync_progress ADD COLUMN warnings INTEGER NOT NULL DEFAULT 0")
    count = COUNT[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE sync_progress SET warnings = COALESCE({count}, 0) "
        "WHERE body LIKE '%\"warnings\":[_%' AND body NOT LIKE '%\"warnings\":[]%'"
    )
    op.execute(
        "CREATE INDEX history_with_warnings ON sync_progress (user_id, id) WHERE warnings > 0"
    )
