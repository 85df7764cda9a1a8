"""The stored records: their filters, their counts, and what is refused."""

from pathlib import Path

import pytest

from tests.service.api.answers import TINY, fields, problem
from tests.service.scripted import Script, scripted
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


async def ids(user: User, limit: int = 1000, **params: str) -> list[str]:
    """The ids of the orders that match, read page by page."""
    found: list[str] = []
    cursor: Json = {}
    while True:
        page = read(await user.get("/api/data/orders", params={"limit": limit, **params, **cursor}))
        found += [record["id"] for record in page["records"]]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}


async def test_records_are_found_by_the_beginning_of_their_ids(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        script.set_records("orders", "111-1", "111-2", "111-20", "112-1", "%", "a_b")
        await ann.whole_sync()
        for limit in (1, 2, 1000):
            assert await ids(ann, limit, q="111-") == ["111-1", "111-2", "111-20"]
            assert await ids(ann, limit, q="111-2") == ["111-2", "111-20"]
        assert await ids(ann, q="%") == ["%"]
        assert await ids(ann, q="A") == await ids(ann, q="11-") == []
        assert len(await ids(ann, q="")) == 6


async def test_records_that_changed_since_a_time_are_listed_in_the_order_of_their_changes(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        script.set_records("orders", *"abcd")
        await ann.whole_sync()
        script.set_records("orders", "c", value="2")
        await ann.whole_sync()
        script.set_records("orders", "a", value="3")
        await ann.whole_sync()
        records = {record["id"]: record for record in await ann.records("orders")}
        changed = records["c"]["updatedAt"]
        for limit in (1, 1000):
            assert await ids(ann, limit, updatedSince=changed) == ["c", "a"]
            assert await ids(ann, limit, updatedSince=records["a"]["updatedAt"]) == ["a"]
            first = records["b"]["updatedAt"]
            assert await ids(ann, limit, updatedSince=first) == ["b", "d", "c", "a"]
        assert await ids(ann, updatedSince=changed, q="a") == ["a"]
        assert await ids(ann, updatedSince="2999-01-01T00:00:00+01:00") == []


async def test_invalid_filters_and_cursors_of_other_lists_are_refused(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        script.set_records("orders", *"abc")
        await ann.whole_sync()
        since = {"updatedSince": "2020-01-01T00:00:00Z"}
        plain = read(await ann.get("/api/data/orders", params={"limit": 1}))["nextCursor"]
        timed = read(await ann.get("/api/data/orders", params={"limit": 1, **since}))["nextCursor"]
        for params, name in (
            ({"updatedSince": "yesterday"}, "updatedSince"),
            ({"updatedSince": "2026-01-15"}, "updatedSince"),
            ({"updatedSince": "2026-01-15T12:00:00"}, "updatedSince"),
            ({"updatedSince": ""}, "updatedSince"),
            ({"q": "x" * 1001}, "q"),
            ({"q": "a\0"}, "q"),
            ({"Q": "a"}, "Q"),
            ({"since": "a"}, "since"),
            ({"cursor": plain, **since}, "cursor"),
            ({"cursor": timed}, "cursor"),
        ):
            for accept in ("application/json", "text/csv"):
                answer = await ann.get(
                    "/api/data/orders", params=params, headers={"Accept": accept}
                )
                assert fields(problem(answer, 422, "invalid")) == [name], (params, accept)
        for name in ("limit", "cursor"):
            for accept in ("application/x-ndjson", "text/csv"):
                params = {name: plain if name == "cursor" else "5"}
                answer = await ann.get(
                    "/api/data/orders", params=params, headers={"Accept": accept}
                )
                assert fields(problem(answer, 422, "invalid")) == [name]


async def counted(user: User) -> list[tuple[str, str, int]]:
    datasets = read(await user.get("/api/data"))["datasets"]
    return [(one["dataset"], one["label"], one["records"]) for one in datasets]


async def test_the_records_of_each_dataset_are_counted(tmp_path: Path, script: Script) -> None:
    async with serve(tmp_path) as service:
        ann, bob = service.user("ann"), service.user("bob")
        assert await counted(ann) == []
        connections = [(await ann.connect(refreshToken=token))["id"] for token in ("one", "two")]
        assert await counted(ann) == [("orders", "orders", 0), ("stock", "stock levels", 0)]
        script.set_records("orders", *"abc")
        script.set_records("stock", "x")
        for connection in connections:
            await ann.whole_sync(connectionId=connection)
        assert await counted(ann) == [("orders", "orders", 6), ("stock", "stock levels", 2)]
        script.set_records("orders", *"ab")
        whole = {"overwrite": True, "allowMassDelete": True}
        await ann.whole_sync(connectionId=connections[0], **whole)
        assert await counted(ann) == [("orders", "orders", 5), ("stock", "stock levels", 2)]
        await ann.http.delete(f"/api/connections/{connections[0]}")
        assert await counted(ann) == [("orders", "orders", 3), ("stock", "stock levels", 1)]
        await bob.connect()
        assert {records for _, _, records in await counted(bob)} == {0}


async def test_counts_are_those_of_the_listing(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        for dataset, _, records in await counted(ann):
            assert len(await ann.records(dataset)) == records == 1
