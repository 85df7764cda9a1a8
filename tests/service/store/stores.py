"""Shared by the tests of several stores: a sync, its pages, and the stores over one engine."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from connectors.base import Cursor, Page, Record
from service.model import Sync
from service.store.engine import Engine
from service.store.records import RecordStore
from service.store.syncs import SyncStore, save

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
    assert await store.create(sync, tenant_limit=3)
    taken = sync.taken(NOW)
    assert await store.write(save(taken))
    return taken


async def store_page(store: Stores, sync: Sync, page: Sequence[Record]) -> Sync:
    write = await store.records.page_write(sync, "orders", page, NOW)
    sync = sync.advanced("orders", Page([], Cursor("c")), write.tally, NOW)
    assert await store.write(save(sync), *write.statements)
    return sync
