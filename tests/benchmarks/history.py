"""A history of 1,000,000 syncs with 5,000,000 items: the first page, and the 50,000th."""

import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter

import httpx
import msgspec

from service.model import Status
from service.wire import paging
from tests.serving import Serving, User, serve

SYNCS = 1_000_000
ITEMS = 5_000_000
PAGE = 20
CALLS = 200

_SYNCS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO sync_progress
SELECT printf('sync_%012x%020d', :first + i, 0), :user, :user, :connection, 'demo',
       CASE WHEN i % 1000 THEN 'complete' ELSE 'failed' END, 'complete', 100, '', 9,
       :at, :at, :at, replace(:body, :id, printf('sync_%012x%020d', :first + i, 0))
  FROM n
"""
_ITEMS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO sync_history_items
SELECT printf('sync_%012x%020d', :first + 1 + i / 5000, 0), 'orders', printf('order-%09d', i), '',
       CASE WHEN i % 100 THEN 'created' ELSE 'failed' END, NULL, :at
  FROM n
"""


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as service:
            ann = service.user()
            await ann.connect()
            done = await ann.whole_sync()
            sync = await service.parts.store.sync(done["syncId"])
            assert sync is not None and sync.status is Status.COMPLETE
            body = msgspec.json.encode(sync).decode()
        first = int(sync.id.removeprefix("sync_")[:12], 16)
        values = {
            "user": sync.user,
            "connection": sync.connection_id,
            "id": sync.id,
            "at": done["completedAt"].replace("Z", "000Z"),
            "first": first,
            "body": body,
        }
        _fill(Path(folder) / "sync.db", values)
        async with serve(Path(folder)) as service:
            return await _measure(service, first)


def _fill(path: Path, values: dict[str, object]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        database.execute(_SYNCS, {**values, "count": SYNCS})
        database.execute(_ITEMS, {**values, "count": ITEMS})
        database.execute("UPDATE sync_counts SET total = total + ?", (SYNCS,))
        database.execute("COMMIT")


async def _measure(service: Serving, first: int) -> dict[str, float]:
    ann = service.user()
    deep = f"sync_{first + PAGE + 1:012x}{0:020d}"  # so that twenty are left
    last = {"limit": PAGE, "cursor": paging.cursor("history", deep)}
    big = f"sync_{first + 1:012x}{0:020d}"
    items = f"/api/sync/history/{big}/items"
    late = {"limit": PAGE, "cursor": paging.cursor("items", "orders", "order-000004900")}
    bare = await _milliseconds(ann, lambda: ann.get("/healthz"))
    pages = {
        "the first page": lambda: ann.get("/api/sync/history", params={"limit": PAGE}),
        "the 50,000th page": lambda: ann.get("/api/sync/history", params=last),
        "the failed syncs, one in a thousand": lambda: ann.get(
            "/api/sync/history", params={"limit": PAGE, "status": "failed"}
        ),
        "of one day, long ago": lambda: ann.get(
            "/api/sync/history", params={"limit": PAGE, "to": "2001-01-01T00:00:00Z"}
        ),
        "a sync's items, the last page": lambda: ann.get(items, params=late),
        "a sync's failed items": lambda: ann.get(items, params={"status": "failed"}),
    }
    results = {f"ms, {name}": await _milliseconds(ann, call) for name, call in pages.items()}
    results["ratio of the 50,000th page to the first"] = (
        results["ms, the 50,000th page"] / results["ms, the first page"]
    )
    return results | {"ms, /healthz: what HTTP and this client cost": bare}


async def _milliseconds(user: User, call: Callable[[], Awaitable[httpx.Response]]) -> float:
    """The median of CALLS calls."""
    spent = []
    for _ in range(CALLS):
        begin = perf_counter()
        answer = await call()
        spent.append((perf_counter() - begin) * 1000)
        assert answer.status_code == 200, answer.text
    return sorted(spent)[CALLS // 2]
