"""Shared by the tests of several stores: a sync, its pages, and the stores over one engine."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from connectors.base import Cursor, Page, Record
from connectors.claims import Findings
from service.model import Sync
from service.store.engine import Engine, Statement, Values
from service.store.findings import findings_in_parts
from service.store.records import RecordStore
from service.store.selections import COLUMNS, Selection
from service.store.syncs import Conditions, SyncStore, save

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


class Stores(SyncStore):
    """The stores of syncs and of records over one engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.engine = engine
        self.records = RecordStore(engine)


def with_fields(sync: Sync, **changes: str) -> Sync:
    return msgspec.structs.replace(sync, **changes)


def records(*pairs: tuple[str, str]) -> list[Record]:
    return [Record(key, f'{{"value":"{value}"}}'.encode()) for key, value in pairs]


async def begin_sync(store: Stores, sync: Sync) -> Sync:
    assert await store.create(sync, Conditions(live_of_tenant=3))
    taken = sync.taken(NOW)
    assert await store.write(save(taken))
    return taken


async def store_page(store: Stores, sync: Sync, page: Sequence[Record], at: datetime = NOW) -> Sync:
    write = await store.records.page_write(sync, "orders", page, at)
    sync = sync.advanced("orders", Page([], Cursor("c")), write.tally, at)
    assert await store.write(save(sync), *write.statements)
    return sync


async def stored_orders(store: Stores, **filters: str) -> list[Values]:
    """The stored orders of conn_1."""
    selection = Selection("orders", ["conn_1"], **filters)
    batches = [rows async for rows in selection.batches(store.engine)]
    return [dict(zip(COLUMNS, row, strict=True)) for rows in batches for row in rows]


def claim_statements(
    sync: Sync, found: Findings, open_claims: Sequence[str] = ()
) -> list[Statement]:
    """The statements of all parts of a detection, to be stored at once."""
    parts = findings_in_parts(sync, found, sync.updated_at, open_claims)
    return [statement for part in parts for statement in part.statements]
