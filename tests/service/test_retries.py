"""Failures of a sync: temporary ones, permanent ones, and repeated interruptions.

pipeline/test_patience.py tests datasets that are unavailable for a while."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import msgspec
import pytest

from connectors.base import ConnectionLost, Retryable, SourceError
from service.model import Status
from service.store.syncs import save
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.serving import PATIENCE, Json, Serving, User, json_of, read, serve

pytestmark = pytest.mark.anyio

BROKEN = ZeroDivisionError("a bug")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number:02}" for number in range(35)))
    script.set_records("stock", "sku-1", "sku-2")
    return script


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, FastClock(), **environ) as service:
        ann = service.user()
        await ann.connect()
        yield service, ann


async def attempts(user: User, sync_id: str) -> list[Json]:
    attempts: list[Json] = read(await user.get(f"/api/sync/history/{sync_id}"))["attempts"]
    return attempts


async def test_a_temporary_failure_is_retried_from_the_checkpoint(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, BROKEN]
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"], done["error"]) == ("complete", 2, None)
        assert (done["datasets"][0]["created"], script.pages) == (35, 5), "no page was read twice"
        first, second = await attempts(ann, done["syncId"])
        assert (first["status"], first["error"]["code"]) == ("failed", "internal_error")
        assert (second["attempt"], second["status"]) == (2, "complete")


async def test_a_stream_continues_through_a_retry_and_shows_its_reason(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [BROKEN]
    async with serving(tmp_path) as (_, ann):
        statuses = [json_of(event) async for event in ann.events(await ann.start())]
        waiting = next(status for status in statuses if status["attempt"] == 2)
        assert waiting["status"] == "in_progress"
        assert "internal error" in waiting["message"] and "Trying again in" in waiting["message"]
        assert waiting["waitingUntil"] > waiting["updatedAt"]
        assert statuses[-1]["status"] == "complete"
        percents = [status["progress"] for status in statuses]
        assert percents == sorted(percents)


async def test_a_sync_fails_after_four_attempts_without_progress(
    tmp_path: Path, script: Script
) -> None:
    busy = Retryable("The source is busy.")
    script.errors = {"orders": [busy] * 4, "stock": [busy] * 4, "cases": []}
    async with serving(tmp_path, SOURCE_PATIENCE="0") as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["attempt"]) == ("failed", 4)
        assert failed["error"] == {
            "code": "source_unavailable",
            "message": "The source is busy.",
            "retryable": True,
        }
        assert [attempt["attempt"] for attempt in await attempts(ann, failed["syncId"])] == [
            1,
            2,
            3,
            4,
        ]
        assert (await ann.post(f"/api/sync/resume/{failed['syncId']}")).status_code == 202
        done = await ann.until(failed["syncId"], "complete")
        assert (done["attempt"], done["datasets"][0]["created"]) == (5, 35)


async def test_progress_allows_three_new_retries(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [BROKEN, None, BROKEN, BROKEN, BROKEN, None]
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"]) == ("complete", 5)


async def test_repeated_pages_are_not_progress(tmp_path: Path, script: Script) -> None:
    """Otherwise a source that loses its position would be retried forever."""
    script.set_records("orders", *(["order-1"] * 3000))
    script.errors["orders"] = [None, Retryable("The source is busy.")] * 200
    async with serving(tmp_path, SOURCE_PATIENCE="60") as (_, ann):
        assert (await ann.whole_sync())["datasets"][0]["status"] == "partial"
        assert len(script.errors["orders"]) > 350


async def test_a_permanent_failure_is_not_retried(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [SourceError("Orders are refused.")]
    script.errors["stock"] = [SourceError("Stock is refused.")]
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["attempt"]) == ("failed", 1)


async def test_an_internal_error_is_retried_and_not_exposed(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [ZeroDivisionError("a secret")] * 4
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["error"]["code"], failed["attempt"]) == ("internal_error", 4)
        assert "secret" not in str(await attempts(ann, failed["syncId"]))


async def test_a_cancel_ends_the_pause_before_a_retry(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [BROKEN] * 4
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        with anyio.fail_after(PATIENCE):
            while (await ann.status(sync_id))["attempt"] == 1:
                await anyio.sleep(0.01)
        answer = await ann.post(f"/api/sync/cancel/{sync_id}")
        assert read(answer)["status"] == "cancelled"
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202


async def test_a_lost_connection_pauses_a_sync_and_a_reconnect_continues_it(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, ConnectionLost("Withdrawn.")]
    async with serving(tmp_path) as (_, ann):
        paused = await ann.whole_sync()
        assert (paused["status"], paused["error"]["message"]) == ("paused", "Withdrawn.")
        connection = (await ann.get("/api/connections")).json()["connections"][0]
        assert (connection["status"], connection["reason"]) == ("lost", "Withdrawn.")
        refused = await ann.post("/api/sync/start")
        assert refused.status_code == 409, "a paused sync is live"
        path = f"/api/connections/{connection['id']}/reconnect"
        reconnected = read(await ann.post(path, {"refreshToken": "newer"}))
        assert (reconnected["status"], reconnected["sync"]["syncId"]) == (
            "connected",
            paused["syncId"],
        )
        done = await ann.until(paused["syncId"], "complete")
        assert (done["attempt"], done["datasets"][0]["created"]) == (1, 35)
        assert (script.pages, script.tokens[-1]) == (5, "newer")


async def test_refused_credentials_change_nothing(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [ConnectionLost("Withdrawn.")]
    script.refused["worse"] = ConnectionLost("Unknown token.")
    async with serving(tmp_path) as (_, ann):
        paused = await ann.whole_sync()
        connection = paused["connectionId"]
        path = f"/api/connections/{connection}/reconnect"
        answer = await ann.post(path, {"refreshToken": "worse"})
        assert (answer.status_code, answer.json()["code"]) == (422, "connection_refused")
        assert (await ann.status(paused["syncId"]))["status"] == "paused"
        shown = (await ann.get(f"/api/connections/{connection}")).json()
        assert shown["status"] == "lost"


async def test_a_sync_without_progress_through_three_takeovers_fails_as_stalled(
    tmp_path: Path, script: Script
) -> None:
    sync_id = await interrupted_sync(tmp_path, script, times=3)
    clock = FastClock()
    clock.jump(timedelta(hours=1))
    async with serve(tmp_path, clock, STALL_TIMEOUT="1800") as service:
        failed = await service.user().until(sync_id, "failed")
        assert (failed["error"]["code"], failed["attempt"]) == ("stalled", 1)
        script.gates.clear()
        assert (await service.user().post(f"/api/sync/resume/{sync_id}")).status_code == 202
        assert (await service.user().until(sync_id))["status"] == "complete"


async def test_many_takeovers_in_a_short_time_are_not_a_stall(
    tmp_path: Path, script: Script
) -> None:
    sync_id = await interrupted_sync(tmp_path, script, times=5)
    script.gates.clear()
    async with serve(tmp_path) as service:
        done = await service.user().until(sync_id)
        assert (done["status"], done["attempt"]) == ("complete", 1)


async def interrupted_sync(folder: Path, script: Script, times: int) -> str:
    """A sync that was interrupted `times` times before its first page."""
    script.gates = {"orders": anyio.Event(), "stock": anyio.Event()}
    sync_id, version = "", 0
    for _ in range(times):
        async with serve(folder) as service:
            ann = service.user()
            if not sync_id:
                await ann.connect()
                sync_id = await ann.start()
            with anyio.fail_after(PATIENCE):
                status = await ann.status(sync_id)
                while status["stage"] != "fetching" or status["version"] == version:
                    await anyio.sleep(0.01)
                    status = await ann.status(sync_id)
            version = status["version"]
    return sync_id


async def test_a_sync_paused_for_longer_than_the_retention_fails(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [ConnectionLost("Withdrawn.")]
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        paused = await ann.whole_sync()
        clock.jump(timedelta(days=31))
        failed = await ann.until(paused["syncId"], "failed")
        assert failed["error"]["code"] == "paused_too_long"
        path = f"/api/connections/{paused['connectionId']}/reconnect"
        assert (await ann.post(path, {"refreshToken": "newer"})).status_code == 200
        assert (await ann.post("/api/sync/start")).status_code == 202


async def test_a_stored_write_that_seemed_to_fail_is_accepted(
    tmp_path: Path, script: Script
) -> None:
    """The database may become unavailable after it has stored a version, before it responds."""
    async with serving(tmp_path) as (service, ann):
        done = await ann.whole_sync()
        sync = await service.parts.registry.find(done["syncId"])
        assert sync is not None
        later = msgspec.structs.replace(sync, status=Status.FAILED, version=sync.version + 1)
        assert await service.parts.store.write(save(later))
        await service.parts.registry.record(later)
        assert (await ann.status(sync.id))["version"] == later.version
