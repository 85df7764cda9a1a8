"""Entries of the feeds, from rows of the outbox."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.store.changes import OutboxRow, Position
from service.users import sub_of
from service.wire.feed_shapes import Change
from service.wire.offsets import to_token

Entry = tuple[str, str, str | None]
"""What happened to a record, its id, and the record's time at the source."""


def changes_in(row: OutboxRow) -> Sequence[Entry]:
    """The changes of a row of records."""
    entries: Any = msgspec.json.decode(row.body)
    return [tuple(entry) for entry in entries]


def change_of(epoch: int, row: OutboxRow, number: int, entry: Entry) -> Change:
    """The change with this number in its row. Its id is the offset after it."""
    op, record_id, original_at = entry
    return Change(
        id=to_token(epoch, Position(row.tx, row.seq, number + 1)),
        connector=row.connector,
        connection_id=row.connection_id,
        tenant=row.tenant_id,
        user=sub_of(row.user_id),
        dataset=row.type,
        op=op,
        record_id=record_id,
        sync_id=row.sync_id,
        is_historical_sync=bool(row.historical),
        original_at=original_at,
        at=f"{row.at[:23]}Z",
    )
