"""The feeds of changes and events: catch-up, long-poll and event streams, as the Durable Streams
protocol defines them."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from httpx_sse import aconnect_sse

from service.api import feeds
from tests.databases import DATABASES
from tests.service.api.answers import TINY, problem
from tests.serving import PATIENCE, Json, Serving, User, serve

pytestmark = pytest.mark.anyio

SMALL: dict[str, Any] = {"DEMO_ORDERS": "30", "DEMO_PAGE": "10", "DEMO_PAUSE": "0"}


async def page(user: User, path: str = "/api/changes", **params: Any) -> tuple[list[Json], Any]:
    """The entries of an answer, and its headers."""
    answer = await user.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers


async def whole(
    service: Serving, user: User, path: str = "/api/changes", **params: Any
) -> list[Json]:
    """All entries of a feed, page by page."""
    await service.settled()
    entries, offset, seen = [], "-1", [""]
    while True:
        more, headers = await page(user, path, offset=offset, **params)
        entries += more
        offset = headers["stream-next-offset"]
        assert seen[-1] <= offset and 1 < len(offset) <= 128 and offset.isalnum()
        seen.append(offset)
        if "stream-up-to-date" in headers:
            return entries


async def test_the_changes_of_a_sync_are_the_records_that_it_stored(tmp_path: Path) -> None:
    async with serve(tmp_path, **SMALL) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        done = await ann.whole_sync()
        changes = await whole(service, ann)
        stored = {
            (dataset, record["id"])
            for dataset in ("orders", "inventory")
            for record in await ann.records(dataset)
        }
        assert {(change["dataset"], change["recordId"]) for change in changes} == stored
        assert len(changes) == len(stored) == len({change["id"] for change in changes})
        first = changes[0]
        assert {name: first[name] for name in ("connector", "connectionId", "syncId", "op")} == {
            "connector": "demo",
            "connectionId": connection,
            "syncId": done["syncId"],
            "op": "created",
        }
        assert first["isHistoricalSync"] is True and first["user"] == "ann"
        assert [change["id"] for change in changes] == sorted(change["id"] for change in changes)
        by_threes = await whole(service, ann, limit=3)
        assert by_threes == changes
        orders = await whole(service, ann, dataset="orders", connectionId=connection)
        assert orders == [change for change in changes if change["dataset"] == "orders"]
        await ann.whole_sync()
        assert await whole(service, ann) == changes, "nothing has changed"


async def test_updated_and_deleted_records_are_changes(tmp_path: Path) -> None:
    async with serve(tmp_path, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync(datasets=["orders"])
        await service.settled()
        _, headers = await page(ann, offset="now")
        kept = [record["id"] for record in await ann.records("orders")]
        with DATABASES.opened(tmp_path) as database:
            database.execute(f"UPDATE records SET hash = 'x' WHERE id = '{kept[0]}'")
            database.execute(f"UPDATE records SET id = 'gone' WHERE id = '{kept[1]}'")
        await ann.whole_sync(datasets=["orders"], overwrite=True, allowMassDelete=True)
        await service.settled()
        offset = headers["stream-next-offset"]
        changes, _ = await page(ann, offset=offset, expand="record")
        assert {(change["op"], change["recordId"]) for change in changes} == {
            ("updated", kept[0]),
            ("created", kept[1]),
            ("deleted", "gone"),
        }
        for change in changes:
            record = change["record"]
            assert (record is None) == (change["op"] == "deleted")
            assert record is None or record["id"] == change["recordId"]
        assert {change["isHistoricalSync"] for change in changes} == {False}


async def test_events_tell_what_happened_to_syncs(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        done = await ann.whole_sync()
        events = await whole(service, ann, "/api/events")
        assert [event["type"] for event in events] == ["sync.started", "sync.completed"]
        started, completed = (event["data"] for event in events)
        assert started["syncId"] == completed["syncId"] == done["syncId"]
        assert (completed["status"], completed["recordsProcessed"]) == (
            "complete",
            done["recordsProcessed"],
        )
        only = await whole(service, ann, "/api/events", type="sync.completed")
        assert only == events[1:]
        assert await whole(service, bob, "/api/events") == [] and await whole(service, bob) == []


async def test_a_long_poll_waits_for_the_next_change(tmp_path: Path) -> None:
    async with serve(tmp_path, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        answers: list[httpx.Response] = []

        async def poll() -> None:
            params = {"offset": "now", "live": "long-poll"}
            answers.append(await ann.get("/api/events", params=params, timeout=PATIENCE))

        async with anyio.create_task_group() as group:
            group.start_soon(poll)
            with anyio.fail_after(PATIENCE):
                while not service.parts.feeds.users():
                    await anyio.sleep(0.01)
            done = await ann.whole_sync()
        (answer,) = answers
        assert answer.status_code == 200
        assert answer.json()[0]["data"]["syncId"] == done["syncId"]
        assert answer.headers["stream-cursor"].isdigit()


async def test_a_long_poll_without_a_change_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LONG_POLL", 0.1)
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        params = {"offset": "-1", "live": "long-poll", "cursor": "999999999"}
        answer = await ann.get("/api/changes", params=params)
        assert answer.status_code == 204 and not answer.content
        assert answer.headers["stream-up-to-date"] == "true"
        assert int(answer.headers["stream-cursor"]) > 999999999
        again = await ann.get(
            "/api/changes",
            params={"offset": answer.headers["stream-next-offset"], "live": "long-poll"},
        )
        assert again.headers["stream-next-offset"] == answer.headers["stream-next-offset"]
        assert not service.parts.feeds.users(), "nobody waits"


async def test_an_event_stream_catches_up_and_follows(tmp_path: Path) -> None:
    async with serve(tmp_path, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        first = await ann.whole_sync(datasets=["orders"])
        await service.settled()
        seen: list[Json] = []
        params = {"offset": "-1", "live": "sse", "limit": "7"}
        async with aconnect_sse(ann.http, "GET", "/api/changes", params=params) as source:
            controls = []
            started = False
            async for event in source.aiter_sse():
                body = json.loads(event.data)
                if event.event == "data":
                    seen += body
                    assert len(body) <= 7
                    continue
                controls.append(body)
                if "upToDate" in body and not started:
                    assert {change["syncId"] for change in seen} == {first["syncId"]}
                    started = True
                    await ann.whole_sync(datasets=["inventory"])
                    await service.settled()
                elif "upToDate" in body and any(c["dataset"] == "inventory" for c in seen):
                    break
        offsets = [control["streamNextOffset"] for control in controls]
        assert offsets == sorted(offsets)
        assert seen == await whole(service, ann)


@pytest.mark.parametrize("path", ["/api/changes", "/api/events"])
async def test_bad_requests_say_what_to_do(tmp_path: Path, path: str) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        for params, status, code in (
            ({"offset": "x"}, 400, "malformed_offset"),
            ({"offset": "f" * 44}, 400, "malformed_offset"),
            ({"offset": "0" * 44}, 410, "offset_gone"),
            ({"live": "sse"}, 400, "offset_missing"),
            ({"live": "long-poll"}, 400, "offset_missing"),
            ({"live": "often"}, 422, "invalid"),
            ({"limit": "1001"}, 422, "invalid"),
            ({"connectionId": "conn_x"}, 404, "not_found"),
            ({"all": "true"}, 403, "operator_only"),
            ({"dataset" if path.endswith("changes") else "type": "x"}, 422, "invalid"),
            ({"since": "x"}, 422, "invalid"),
        ):
            answer = await ann.get(path, params=params)
            problem(answer, status, code)


async def test_an_operator_reads_what_concerns_all_users(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        operator = service.user("olga", role="operator")
        for user in (ann, bob):
            await user.connect()
            await user.whole_sync()
        everything = await whole(service, operator, all="true")
        assert {change["user"] for change in everything} == {"ann", "bob"}
        assert await whole(service, operator) == []


async def test_what_is_too_old_is_gone(tmp_path: Path) -> None:
    async with serve(tmp_path, CHANGES_DAYS="0.5", **TINY) as service:
        ann = service.user()
        await ann.connect()
        _, headers = await page(ann)
        before = headers["stream-next-offset"]
        await ann.whole_sync()
        kept = await whole(service, ann)
        with DATABASES.opened(tmp_path) as database:
            database.execute("UPDATE outbox SET at = '2020-01-01T00:00:00.000000Z'")
        await service.parts.changes.trim(service.parts.clock.now(), 1000)
        assert kept and await whole(service, ann) == []
        answer = await ann.get("/api/changes", params={"offset": before})
        problem(answer, 410, "offset_gone")
        done = await ann.whole_sync(overwrite=True)
        events = await whole(service, ann, "/api/events")
        assert {event["data"]["syncId"] for event in events} == {done["syncId"]}


async def test_a_database_that_returns_to_its_first_server_begins_an_epoch(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        _, headers = await page(ann)
        first = service.parts.epoch
    with DATABASES.opened(tmp_path) as database:
        database.execute(f"INSERT INTO outbox_epochs VALUES ({first + 1}, 'elsewhere')")
    async with serve(tmp_path, **TINY) as service:
        assert service.parts.epoch > first + 1
        ann = service.user()
        offset = headers["stream-next-offset"]
        answer = await ann.get("/api/changes", params={"offset": offset})
        problem(answer, 410, "offset_gone")
        assert await whole(service, ann), "what is kept is shown"
        again = service.parts.epoch
    async with serve(tmp_path, **TINY) as service:
        assert service.parts.epoch == again


async def test_a_start_trims_the_feeds(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        assert await whole(service, ann)
    with DATABASES.opened(tmp_path) as database:
        database.execute("UPDATE outbox SET at = '2020-01-01T00:00:00.000000Z'")
    async with serve(tmp_path, **TINY) as service:
        with anyio.fail_after(PATIENCE):
            while await whole(service, service.user()):
                await anyio.sleep(0.01)


async def test_head_and_etag_cost_no_body(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        await service.settled()
        head = await ann.http.head("/api/changes")
        entries, headers = await page(ann)
        assert head.status_code == 200 and not head.content
        assert head.headers["stream-next-offset"] == headers["stream-next-offset"]
        assert entries and headers["cache-control"].startswith("private")
        same = await ann.get("/api/changes", headers={"If-None-Match": headers["etag"]})
        assert same.status_code == 304


async def test_an_open_stream_holds_nothing_of_its_request(tmp_path: Path) -> None:
    """Idle readers are counted by the thousand, and a scope holds a kilobyte."""
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        params = {"offset": "now", "live": "sse"}
        async with aconnect_sse(ann.http, "GET", "/api/events", params=params) as source:
            events = source.aiter_sse()
            assert (await anext(events)).event == "control"
            with anyio.fail_after(PATIENCE):
                while not any(stream.send for stream in service.parts.hub._streams()):
                    await anyio.sleep(0.01)
            (connection,) = service.connections
            assert set(connection.scope) == {"type", "method", "http_version"}
