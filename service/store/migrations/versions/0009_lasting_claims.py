"""Claims that last: their state, their payment, their evidence, and the orders of their lists."""

from alembic import op

revision = "0009"
down_revision = "0008"

# These convert older claims, which only SQLite can have.
WORDS = """
UPDATE claims SET words = lower(
    id || ' ' || rule || ' ' || coalesce(json_extract(body, '$.title'), '') || ' '
       || coalesce(json_extract(body, '$.details'), ''))
"""
# The records as they are now. As many as `service.store.findings` keeps.
EVIDENCE = """
INSERT OR IGNORE INTO claim_evidence (claim_id, dataset, record_id, sync_id, updated_at, data)
SELECT claims.id, records.dataset, records.id, records.sync_id, records.updated_at, records.data
  FROM claims, json_each(claims.body, '$.evidence') AS datasets,
       json_each(datasets.value) AS ids
  JOIN records ON records.connection_id = claims.connection_id
   AND records.dataset = datasets.key AND records.id = ids.value
 WHERE ids.key < 100 AND length(records.data) <= 65536
"""

STATEMENTS = (
    # open, reimbursed or closed. Whether an open claim is waiting, claimable or expired depends on
    # the day.
    "ALTER TABLE claims ADD COLUMN state TEXT NOT NULL DEFAULT 'open'",
    "UPDATE claims SET state = 'reimbursed' WHERE reimbursed = 1",
    "ALTER TABLE claims DROP COLUMN reimbursed",
    "ALTER TABLE claims ADD COLUMN closed_reason TEXT",
    # JSON: amount, currency, at, reimbursement_id.
    "ALTER TABLE claims ADD COLUMN paid TEXT",
    # When a sync first found it. For older claims, only the last sync is known.
    "ALTER TABLE claims ADD COLUMN found_at TEXT NOT NULL DEFAULT ''",
    "UPDATE claims SET found_at = updated_at",
    # The day of its event; null until a sync of this release finds it again.
    "ALTER TABLE claims ADD COLUMN happened_at TEXT",
    # The words by which it is searched, in lower case.
    "ALTER TABLE claims ADD COLUMN words TEXT NOT NULL DEFAULT ''",
    WORDS,
    "DROP INDEX claims_of_user",
    # For the list by closing day, and for the totals, which read nothing but this index.
    """
    CREATE INDEX claims_by_closing
        ON claims (user_id, state, closes, id, opens, currency, hundredths, rule, happened_at,
                   connection_id)
    """,
    "CREATE INDEX claims_by_amount ON claims (user_id, hundredths DESC, id)",
    "CREATE INDEX claims_by_finding ON claims (user_id, found_at DESC, id)",
    # The proving records as they were when they became evidence.
    """
    CREATE TABLE claim_evidence (
        claim_id TEXT NOT NULL REFERENCES claims (id) ON DELETE CASCADE,
        dataset TEXT NOT NULL,
        record_id TEXT NOT NULL,
        sync_id TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (claim_id, dataset, record_id)
    )
    """,
    # Claims that another connection of the same account has also found: their ids lead there.
    """
    CREATE TABLE claim_aliases (
        id TEXT PRIMARY KEY,
        claim_id TEXT NOT NULL REFERENCES claims (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX aliases_of_claim ON claim_aliases (claim_id)",
    EVIDENCE,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        if statement not in (WORDS, EVIDENCE) or op.get_bind().dialect.name == "sqlite":
            op.execute(statement)
