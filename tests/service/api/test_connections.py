"""Connect, list, see and forget over HTTP."""

from pathlib import Path

import pytest

from tests.service.api.answers import SLOW, TIME, TINY, problem, what_there_is
from tests.serving import Serving, read, serve

pytestmark = pytest.mark.anyio

NEW = {"connector": "demo", "refreshToken": "good"}


async def test_a_connection_is_made_listed_seen_and_forgotten(service: Serving) -> None:
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


async def test_an_answer_to_a_connect_is_what_is_seen_later(service: Serving) -> None:
    made = await service.user().connect()
    made.pop("sync")
    assert read(await service.user().get(f"/api/connections/{made['id']}")) == made


async def test_refused_credentials_are_422_and_nothing_is_kept(service: Serving) -> None:
    ann = service.user()
    answer = await ann.post("/api/connections", {**NEW, "refreshToken": "revoked"})
    body = problem(answer, 422, "connection_refused")
    assert body["errors"][0]["field"] == "refreshToken"
    assert await what_there_is(ann) == (0, [], {"connections": []})


async def test_a_historical_sync_starts_by_itself_unless_it_is_skipped(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        sync = read(await ann.post("/api/connections", NEW))["sync"]
        assert sync["statusUrl"] == f"/api/sync/status/{sync['syncId']}"
        assert sync["streamUrl"] == f"/api/sse/sync-progress/{sync['syncId']}"
        done = await ann.until(sync["syncId"])
        assert (done["status"], done["ordersProcessed"]) == ("complete", 1)
        await ann.connect(skipHistoricalSync=True)
        assert (await what_there_is(ann))[0] == 1


async def test_a_historical_sync_that_cannot_start_does_not_fail_the_connection(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        first = read(await ann.post("/api/connections", NEW))
        answer = await ann.post("/api/connections", NEW)
        assert answer.status_code == 201
        assert answer.json()["sync"] is None and "not started" in answer.json()["warning"]
        assert (await what_there_is(ann))[1] == [first["sync"]["syncId"]]
        assert len(read(await ann.get("/api/connections"))["connections"]) == 2


async def test_a_fault_of_ours_at_the_start_does_not_fail_the_connection_either(
    service: Serving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(service.parts.registry, "start", fails)
    answer = await service.user().post("/api/connections", NEW)
    assert answer.status_code == 201
    assert answer.json()["sync"] is None and "not started" in answer.json()["warning"]
    assert "out of order" not in answer.text
    assert "out of order" in capsys.readouterr().out  # but the log says what it was


async def test_credentials_are_in_no_answer_no_log_and_no_file(
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
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        assert any(each.name == "sync.db-wal" for each in files)
        kept = b"".join(each.read_bytes() for each in files)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    kept += b"".join(each.read_bytes() for each in files)
    assert connection.encode() in kept
    told = "".join(each.text + str(each.headers) for each in answers)
    logged = "".join(capfd.readouterr()) + caplog.text
    for part in (secret, "a-very-secret", "Atzr|"):
        assert part.encode() not in kept
        assert part not in told
        assert part not in logged


async def test_a_connection_is_not_forgotten_while_its_sync_is_live(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        busy, idle = (await ann.connect())["id"], (await ann.connect())["id"]
        sync_id = await ann.start(connectionId=busy)
        problem(await ann.http.delete(f"/api/connections/{busy}"), 409, "connection_busy")
        assert (await ann.get(f"/api/connections/{busy}")).json()["status"] == "connected"
        assert (await ann.http.delete(f"/api/connections/{idle}")).status_code == 204
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert (await ann.http.delete(f"/api/connections/{busy}")).status_code == 204
        answer = await ann.post(f"/api/sync/resume/{sync_id}")  # it has nothing to go on with
        problem(answer, 409, "not_connected")
        assert (await ann.status(sync_id))["status"] == "cancelled"
