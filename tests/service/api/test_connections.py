"""Connect, reconnect, list, show, schedule and forget over HTTP."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.databases import DATABASES
from tests.service.api.answers import NEW, SLOW, TIME, TINY, problem, replace_token, visible_state
from tests.service.clocks import FastClock
from tests.serving import Serving, User, read, serve

pytestmark = pytest.mark.anyio


async def test_a_connection_is_created_listed_shown_and_forgotten(service: Serving) -> None:
    ann = service.user()
    body = {**NEW, "region": "eu", "marketplaceIds": ["A1", "B2", "A1"], "environment": "sandbox"}
    answer = await ann.post("/api/connections", {**body, "skipHistoricalSync": True})
    assert answer.status_code == 201
    made = read(answer)
    assert answer.headers["location"] == f"/api/connections/{made['id']}"
    assert made.pop("sync") is None
    assert TIME.fullmatch(made["createdAt"]) and TIME.fullmatch(made["checkedAt"])
    assert (made["connector"], made["region"], made["environment"]) == ("demo", "EU", "sandbox")
    assert (made["marketplaceIds"], made["name"]) == (["A1", "B2"], "Demo store")
    assert (made["status"], made["reason"]) == ("connected", None)
    seen = read(await ann.get(f"/api/connections/{made['id']}"))
    assert seen["id"] == made["id"]
    assert read(await ann.get("/api/connections")) == {"connections": [seen]}
    answer = await ann.http.delete(f"/api/connections/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "DELETE"):
        path = f"/api/connections/{made['id']}"
        problem(await ann.http.request(method, path), 404, "not_found")
    assert read(await ann.get("/api/connections")) == {"connections": []}
    problem(await ann.post("/api/sync/start"), 409, "not_connected")
    problem(await ann.post("/api/sync/start", {"connectionId": made["id"]}), 409, "not_connected")


async def test_a_connect_returns_the_same_connection_as_a_later_get(service: Serving) -> None:
    made = await service.user().connect()
    made.pop("sync")
    assert read(await service.user().get(f"/api/connections/{made['id']}")) == made


async def test_refused_credentials_are_422_and_nothing_is_stored(service: Serving) -> None:
    ann = service.user()
    answer = await ann.post("/api/connections", {**NEW, "refreshToken": "revoked"})
    body = problem(answer, 422, "connection_refused")
    assert body["errors"][0]["field"] == "refreshToken"
    assert await visible_state(ann) == (0, [], {"connections": []})


async def test_a_historical_sync_starts_automatically_unless_it_is_skipped(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        sync = read(await ann.post("/api/connections", NEW))["sync"]
        assert sync["statusUrl"] == f"/api/sync/status/{sync['syncId']}"
        assert sync["streamUrl"] == f"/api/sse/sync-progress/{sync['syncId']}"
        done = await ann.until(sync["syncId"])
        assert (done["status"], done["ordersProcessed"]) == ("complete", 1)
        await ann.connect(refreshToken="another", skipHistoricalSync=True)
        assert (await visible_state(ann))[0] == 1


async def test_a_historical_sync_that_cannot_start_does_not_fail_the_connection(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        first = read(await ann.post("/api/connections", NEW))
        answer = await ann.post("/api/connections", {**NEW, "refreshToken": "another"})
        assert answer.status_code == 201
        assert answer.json()["sync"] is None and "not started" in answer.json()["warning"]
        assert (await visible_state(ann))[1] == [first["sync"]["syncId"]]
        assert len(read(await ann.get("/api/connections"))["connections"]) == 2


async def test_an_internal_error_of_the_start_does_not_fail_the_connection(
    service: Serving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(service.parts.starter, "start", fail)
    answer = await service.user().post("/api/connections", NEW)
    assert answer.status_code == 201
    assert answer.json()["sync"] is None and "not started" in answer.json()["warning"]
    assert "out of order" not in answer.text
    assert "out of order" in capsys.readouterr().out  # the log has the cause


async def test_credentials_are_in_no_response_log_or_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = "Atzr|a-very-secret-token"
    answers = []
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        answers.append(await ann.post("/api/connections", {**NEW, "refreshToken": secret}))
        connection, sync = answers[0].json()["id"], answers[0].json()["sync"]["syncId"]
        await ann.until(sync)
        for path in (
            *("/api/connections", f"/api/connections/{connection}", "/api/sync/history"),
            *(f"/api/sync/status/{sync}", "/api/data/orders", f"/api/sse/sync-progress/{sync}"),
        ):
            answers.append(await ann.get(path))
        answers.append(await ann.post("/api/connections", {**NEW, "refreshToken": [secret]}))
        stored = DATABASES.content(tmp_path)
    stored += DATABASES.content(tmp_path)
    stored += b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert connection.encode() in stored
    returned = "".join(answer.text + str(answer.headers) for answer in answers)
    logged = "".join(capfd.readouterr()) + caplog.text
    for part in (secret, "a-very-secret", "Atzr|"):
        assert part.encode() not in stored
        assert part not in returned
        assert part not in logged


async def test_a_connection_is_not_forgotten_while_its_sync_is_live(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        busy = (await ann.connect())["id"]
        idle = (await ann.connect(refreshToken="another"))["id"]
        sync_id = await ann.start(connectionId=busy)
        problem(await ann.http.delete(f"/api/connections/{busy}"), 409, "connection_busy")
        assert (await ann.get(f"/api/connections/{busy}")).json()["status"] == "connected"
        assert (await ann.http.delete(f"/api/connections/{idle}")).status_code == 204
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert (await ann.http.delete(f"/api/connections/{busy}")).status_code == 204
        answer = await ann.post(f"/api/sync/resume/{sync_id}")  # its connection no longer exists
        problem(answer, 409, "not_connected")
        assert (await ann.status(sync_id))["status"] == "cancelled"


async def test_a_start_is_refused_if_its_connection_is_forgotten_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is forgotten after the start or the resume has read the connection."""
    async with serve(tmp_path, **SLOW) as service:
        ann, store = service.user(), service.parts.store
        write = store.write

        async def late_write(*args: Any) -> bool:
            if "sync_progress" not in args[0].sql:  # of the housekeeping
                return await write(*args)
            monkeypatch.setattr(store, "write", write)
            assert (await ann.http.delete(f"/api/connections/{connection}")).status_code == 204
            return await write(*args)

        connection = (await ann.connect())["id"]
        monkeypatch.setattr(store, "write", late_write)
        answer = await ann.post("/api/sync/start", {"connectionId": connection})
        problem(answer, 409, "not_connected")
        assert read(await ann.get("/api/sync/history"))["total"] == 0
        connection = (await ann.connect())["id"]
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        monkeypatch.setattr(store, "write", late_write)
        problem(await ann.post(f"/api/sync/resume/{sync_id}"), 409, "not_connected")
        assert (await ann.status(sync_id))["status"] == "cancelled"


async def sync_needed(user: User, connection_id: str) -> tuple[bool, str]:
    shown = read(await user.get(f"/api/connections/{connection_id}/sync-status"))
    assert shown["message"]
    return shown["syncNeeded"], shown["reason"]


async def test_the_sync_status_reports_whether_a_sync_is_needed_and_why(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, DEMO_PAUSE="1", DEMO_PAGE="100") as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        assert await sync_needed(ann, connection) == (True, "never_synced")
        sync_id = await ann.start()
        assert await sync_needed(ann, connection) == (False, "running")
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert await sync_needed(ann, connection) == (True, "last_cancelled")
        await ann.whole_sync()
        assert await sync_needed(ann, connection) == (False, "up_to_date")
        clock.jump(timedelta(hours=25))
        assert await sync_needed(ann, connection) == (True, "stale")
        await replace_token(service, connection)
        await ann.until(await ann.start(), "paused")
        assert await sync_needed(ann, connection) == (False, "connection_lost")


async def test_the_status_of_a_connection_counts_its_records(service: Serving) -> None:
    ann = service.user()
    connection = (await ann.connect())["id"]
    path = f"/api/connections/{connection}/sync-status"
    empty = read(await ann.get(path))
    assert [(dataset["records"], dataset["watermark"]) for dataset in empty["datasets"]] == [
        (0, None)
    ] * 2
    assert empty["lastSync"] is None and empty["lastCompleteSync"] is None
    done = await ann.whole_sync()
    await ann.whole_sync(datasets=["inventory"])
    shown = read(await ann.get(path))
    orders, inventory = shown["datasets"]
    assert (orders["name"], orders["records"], orders["syncId"]) == ("orders", 250, done["syncId"])
    assert (inventory["name"], inventory["records"]) == ("inventory", 12)
    assert shown["lastCompleteSync"]["status"] == "complete"


async def test_another_sync_is_needed_after_one_that_stored_only_a_part(service: Serving) -> None:
    ann = service.user()
    connection = (await ann.connect())["id"]
    await ann.whole_sync(dryRun=True)
    assert await sync_needed(ann, connection) == (True, "never_synced")
    await ann.whole_sync(datasets=["inventory"])
    assert await sync_needed(ann, connection) == (True, "incomplete")
    await ann.whole_sync(until="2026-01-15T12:00:00Z")
    assert await sync_needed(ann, connection) == (True, "stale")
    await ann.whole_sync()
    assert await sync_needed(ann, connection) == (False, "up_to_date")
    await ann.post(f"/api/sync/cancel/{await ann.start(dryRun=True)}")
    assert await sync_needed(ann, connection) == (False, "up_to_date")


async def test_another_sync_is_needed_after_one_that_could_not_read_everything(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, DEMO_BAD="100") as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        await ann.whole_sync()
        assert await sync_needed(ann, connection) == (True, "incomplete")


@pytest.mark.parametrize("body", [{}, {"refreshToken": 5}, {"token": "x"}, [], None])
async def test_a_reconnect_needs_a_token(service: Serving, body: Any) -> None:
    ann = service.user()
    path = f"/api/connections/{(await ann.connect())['id']}/reconnect"
    problem(await ann.http.post(path, content=msgspec.json.encode(body)), 422, "invalid")


async def test_a_reconnect_refuses_a_token_that_is_too_long(service: Serving) -> None:
    ann = service.user()
    path = f"/api/connections/{(await ann.connect())['id']}/reconnect"
    error = problem(await ann.post(path, {"refreshToken": "x" * 4097}), 422, "invalid")
    assert error["errors"][0]["field"] == "refreshToken"
