"""What may happen to a sync: failures that pass, failures that stay, interruptions without end.

A dataset that its source cannot give for now is a subject of its own: test_patience.py."""

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
from tests.serving import Json, Serving, User, json_of, read, serve

pytestmark = pytest.mark.anyio

BROKEN = ZeroDivisionError("a fault of ours")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    found = scripted(monkeypatch)
    found.has("orders", *(f"order-{number:02}" for number in range(35)))
    found.has("stock", "sku-1", "sku-2")
    return found


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, FastClock(), **environ) as service:
        ann = service.user()
        await ann.connect()
        yield service, ann


async def attempts(user: User, sync_id: str) -> list[Json]:
    whole = read(await user.get(f"/api/sync/history/{sync_id}"))
    found: list[Json] = whole["attempts"]
    return found


async def test_a_failure_that_passes_is_tried_again_from_where_it_was(
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


async def test_the_stream_goes_on_through_a_retry_and_says_what_it_waits_for(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [BROKEN]
    async with serving(tmp_path) as (_, ann):
        statuses = [json_of(event) async for event in ann.events(await ann.start())]
        waiting = next(each for each in statuses if each["attempt"] == 2)
        assert waiting["status"] == "in_progress"
        assert " Its log says more. Trying again in " in waiting["message"]
        assert waiting["waitingUntil"] > waiting["updatedAt"]
        assert statuses[-1]["status"] == "complete"
        percents = [each["progress"] for each in statuses]
        assert percents == sorted(percents)


async def test_four_tries_that_get_nowhere_are_enough(tmp_path: Path, script: Script) -> None:
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
        assert [each["attempt"] for each in await attempts(ann, failed["syncId"])] == [1, 2, 3, 4]
        assert (await ann.post(f"/api/sync/resume/{failed['syncId']}")).status_code == 202
        done = await ann.until(failed["syncId"], "complete")
        assert (done["attempt"], done["datasets"][0]["created"]) == (5, 35)


async def test_whatever_is_read_gives_three_new_tries(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [BROKEN, None, BROKEN, BROKEN, BROKEN, None]
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"]) == ("complete", 5)


async def test_pages_that_come_again_are_no_progress(tmp_path: Path, script: Script) -> None:
    """A source that loses its place would otherwise be tried for ever."""
    script.has("orders", *(["order-1"] * 3000))
    script.errors["orders"] = [None, Retryable("The source is busy.")] * 200
    async with serving(tmp_path, SOURCE_PATIENCE="60") as (_, ann):
        assert (await ann.whole_sync())["datasets"][0]["status"] == "partial"
        assert len(script.errors["orders"]) > 350


async def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [SourceError("It will not be told.")]
    script.errors["stock"] = [SourceError("Nor this.")]
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["attempt"]) == ("failed", 1)


async def test_a_fault_of_ours_is_tried_again_and_shows_no_trace(
    tmp_path: Path, script: Script
) -> None:
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
        with anyio.fail_after(10):
            while (await ann.status(sync_id))["attempt"] == 1:
                await anyio.sleep(0.01)
        answer = await ann.post(f"/api/sync/cancel/{sync_id}")
        assert read(answer)["status"] == "cancelled"
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202


async def test_a_lost_connection_pauses_and_a_reconnect_goes_on_where_it_was(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, ConnectionLost("Withdrawn.")]
    async with serving(tmp_path) as (_, ann):
        paused = await ann.whole_sync()
        assert (paused["status"], paused["error"]["message"]) == ("paused", "Withdrawn.")
        connection = (await ann.get("/api/connections")).json()["connections"][0]
        assert (connection["status"], connection["reason"]) == ("lost", "Withdrawn.")
        again = await ann.post("/api/sync/start")
        assert again.status_code == 409, "a paused sync is live"
        path = f"/api/connections/{connection['id']}/reconnect"
        back = read(await ann.post(path, {"refreshToken": "newer"}))
        assert (back["status"], back["sync"]["syncId"]) == ("connected", paused["syncId"])
        done = await ann.until(paused["syncId"], "complete")
        assert (done["attempt"], done["datasets"][0]["created"]) == (1, 35)
        assert (script.pages, script.tokens[-1]) == (5, "newer")


async def test_credentials_that_are_refused_change_nothing(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [ConnectionLost("Withdrawn.")]
    script.refused["worse"] = ConnectionLost("Never heard of it.")
    async with serving(tmp_path) as (_, ann):
        paused = await ann.whole_sync()
        connection = paused["connectionId"]
        path = f"/api/connections/{connection}/reconnect"
        answer = await ann.post(path, {"refreshToken": "worse"})
        assert (answer.status_code, answer.json()["code"]) == (422, "connection_refused")
        assert (await ann.status(paused["syncId"]))["status"] == "paused"
        shown = (await ann.get(f"/api/connections/{connection}")).json()
        assert shown["status"] == "lost"


async def test_a_sync_that_gets_nowhere_through_three_takeovers_fails_as_stalled(
    tmp_path: Path, script: Script
) -> None:
    sync_id = await interrupted(tmp_path, script, times=1)
    clock = FastClock()
    for _ in range(2):
        async with serve(tmp_path, clock) as service:
            assert (await service.user().status(sync_id))["status"] == "in_progress"
    clock.jump(timedelta(hours=1))
    async with serve(tmp_path, clock, STALL_TIMEOUT="1800") as service:
        failed = await service.user().until(sync_id, "failed")
        assert (failed["error"]["code"], failed["attempt"]) == ("stalled", 1)
        script.gates.clear()
        assert (await service.user().post(f"/api/sync/resume/{sync_id}")).status_code == 202
        assert (await service.user().until(sync_id))["status"] == "complete"


async def test_many_takeovers_in_a_short_time_are_no_stall(tmp_path: Path, script: Script) -> None:
    sync_id = await interrupted(tmp_path, script, times=5)
    script.gates.clear()
    async with serve(tmp_path) as service:
        done = await service.user().until(sync_id)
        assert (done["status"], done["attempt"]) == ("complete", 1)


async def interrupted(folder: Path, script: Script, times: int) -> str:
    """A sync that was taken up so many times and never got to its first page."""
    script.gates = {"orders": anyio.Event(), "stock": anyio.Event()}
    sync_id = ""
    for _ in range(times):
        async with serve(folder) as service:
            ann = service.user()
            if not sync_id:
                await ann.connect()
                sync_id = await ann.start()
            with anyio.fail_after(10):
                while (await ann.status(sync_id))["stage"] != "fetching":
                    await anyio.sleep(0.01)
    return sync_id


async def test_a_sync_that_was_paused_for_longer_than_history_is_kept_fails(
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


async def test_a_write_that_was_kept_though_it_seemed_to_fail_is_ours(
    tmp_path: Path, script: Script
) -> None:
    """The database may go away after it has kept a version, before it says so."""
    async with serving(tmp_path) as (service, ann):
        done = await ann.whole_sync()
        sync = await service.parts.registry.find(done["syncId"])
        assert sync is not None
        later = msgspec.structs.replace(sync, status=Status.FAILED, version=sync.version + 1)
        assert await service.parts.store.write(save(later))
        await service.parts.registry.record(later)
        assert (await ann.status(sync.id))["version"] == later.version
