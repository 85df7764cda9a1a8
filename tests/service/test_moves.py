"""Moves of a sync: lost connections, the log of every move, and datasets that were never read."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from connectors.base import ConnectionLost, Misconfigured, Retryable, SourceError
from service.model import MOVES, Status
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.service.test_housekeeping import NIGHT, until_syncs
from tests.serving import PATIENCE, Json, User, read, serve

pytestmark = pytest.mark.anyio

SINCE = re.compile(r"paused since \d{4}-\d\d-\d\d \d\d:\d\d UTC because the connection was lost")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number:02}" for number in range(35)))
    script.set_records("stock", "sku-1", "sku-2")
    return script


async def lose_connection(user: User, script: Script) -> Json:
    """A sync that paused because the source refuses the credentials."""
    script.errors["orders"] = [None, ConnectionLost("Withdrawn.")]
    await user.connect()
    return await user.until(await user.start(), "paused")


# A lost connection --------------------------------------------------------------------------------


async def test_a_start_reports_since_when_the_sync_is_paused_and_what_to_do(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        paused = await lose_connection(ann, script)
        for path in ("/api/sync/start", "/api/sync/force"):
            refusal = problem(await ann.post(path), 409, "sync_already_running")
            assert (refusal["syncId"], refusal["syncStatus"]) == (paused["syncId"], "paused")
            assert SINCE.search(refusal["detail"]), refusal["detail"]
            assert f"/api/connections/{paused['connectionId']}/reconnect" in refusal["detail"]
        assert await ann.status(paused["syncId"]) == paused


async def test_an_attach_returns_the_actual_status(tmp_path: Path, script: Script) -> None:
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        paused = await lose_connection(ann, script)
        answer = await ann.post("/api/sync/start", {"onConflict": "attach"})
        assert answer.status_code == 202
        assert (read(answer)["syncId"], read(answer)["status"]) == (paused["syncId"], "paused")
        assert SINCE.search(read(answer)["message"])


async def test_a_start_repeated_with_its_key_returns_the_actual_status(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        await ann.connect()
        key = {"headers": {"Idempotency-Key": "k"}}
        sync_id = read(await ann.post("/api/sync/start", {}, **key))["syncId"]
        await ann.until(sync_id, "complete")
        again = read(await ann.post("/api/sync/start", {}, **key))
        assert (again["syncId"], again["status"]) == (sync_id, "complete")
        assert "started" not in again["message"]


async def test_a_lost_connection_can_be_neither_resumed_nor_started(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        paused = await lose_connection(ann, script)
        resume = f"/api/sync/resume/{paused['syncId']}"
        for _ in range(2):
            refusal = problem(await ann.post(resume), 409, "connection_lost")
            assert refusal["connectionId"] == paused["connectionId"]
            assert "reconnect" in refusal["detail"] and "Withdrawn." in refusal["detail"]
        assert await ann.status(paused["syncId"]) == paused
        await ann.post(f"/api/sync/cancel/{paused['syncId']}")
        problem(await ann.post("/api/sync/start"), 409, "connection_lost")
        problem(await ann.post(resume), 409, "connection_lost")
        path = f"/api/connections/{paused['connectionId']}/reconnect"
        assert (await ann.post(path, {"refreshToken": "newer"})).status_code == 200
        assert (await ann.post(resume)).status_code == 202
        assert (await ann.until(paused["syncId"]))["status"] == "complete"


async def test_a_sync_that_paused_for_a_missing_key_resumes_with_the_key(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, FastClock()) as service:
        await service.user().connect()
    other = Fernet.generate_key().decode()
    async with serve(tmp_path, FastClock(), SECRETS_KEYS=other) as service:
        paused = await service.user().until(await service.user().start(), "paused")
    async with serve(tmp_path, FastClock()) as service:
        answer = await service.user().post(f"/api/sync/resume/{paused['syncId']}")
        assert answer.status_code == 202
        assert (await service.user().until(paused["syncId"]))["status"] == "complete"


async def test_another_connection_starts_once_the_paused_sync_is_cancelled(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        paused = await lose_connection(ann, script)
        other = (await ann.connect(refreshToken="other"))["id"]
        answer = await ann.post("/api/sync/start", {"connectionId": other})
        refusal = problem(answer, 409, "sync_already_running")
        assert refusal["connectionId"] == paused["connectionId"]
        await ann.post(f"/api/sync/cancel/{paused['syncId']}")
        assert (await ann.whole_sync(connectionId=other))["status"] == "complete"


async def test_a_schedule_does_not_start_a_sync_of_a_lost_connection(
    tmp_path: Path, script: Script
) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        paused = await lose_connection(ann, script)
        path = f"/api/connections/{paused['connectionId']}"
        for cancelled in (False, True):
            await ann.http.put(f"{path}/schedule", json=NIGHT)
            if cancelled:
                await ann.post(f"/api/sync/cancel/{paused['syncId']}")
            before = read(await ann.get(path))["schedule"]["nextRunAt"]
            with anyio.fail_after(PATIENCE), capture_logs() as logs:
                while read(await ann.get(path))["schedule"]["nextRunAt"] == before:
                    clock.jump(timedelta(hours=1))
                    await anyio.sleep(0.05)
                while not (lines := [e for e in logs if e["event"].startswith("scheduled_sync")]):
                    await anyio.sleep(0.01)
            assert [(line["event"], line["code"]) for line in lines] == [
                ("scheduled_sync_not_started", "connection_lost")
            ]
            after = read(await ann.get(path))["schedule"]["nextRunAt"]
            assert after.endswith("T01:00:00.000Z"), "a minute later would be a retry"
        assert len(await until_syncs(ann, 1)) == 1


# Every move is logged -----------------------------------------------------------------------------


def moves(logs: Any, sync_id: str) -> list[tuple[str, str]]:
    lines = [line for line in logs if line["event"] == "sync_moved" and line["sync_id"] == sync_id]
    assert all(line["tenant"] == "acme" and line["version"] for line in lines)
    return [(line["from"], line["to"]) for line in lines]


async def test_every_move_of_a_sync_is_logged_once(tmp_path: Path, script: Script) -> None:
    with capture_logs() as logs:
        async with serve(tmp_path, FastClock()) as service:
            ann = service.user("ann", tenant="acme")
            paused = await lose_connection(ann, script)
            sync_id = paused["syncId"]
            path = f"/api/connections/{paused['connectionId']}/reconnect"
            script.gates["orders"] = anyio.Event()
            await ann.post(path, {"refreshToken": "newer"})
            with anyio.fail_after(PATIENCE):
                while moves(logs, sync_id)[-1] != ("pending", "in_progress"):
                    await anyio.sleep(0.01)
            await ann.post(f"/api/sync/cancel/{sync_id}")
            script.gates.clear()
            script.errors["orders"] = [Misconfigured("The operator must set it up.")]
            await ann.post(f"/api/sync/resume/{sync_id}")
            await ann.until(sync_id, "failed")
            await ann.post(f"/api/sync/resume/{sync_id}")
            assert (await ann.until(sync_id))["status"] == "complete"
    run = [("pending", "in_progress")]
    assert moves(logs, sync_id) == [
        ("none", "pending"),
        *(*run, ("in_progress", "paused")),
        *(("paused", "pending"), *run, ("in_progress", "cancelled")),
        *(("cancelled", "pending"), *run, ("in_progress", "failed")),
        *(("failed", "pending"), *run, ("in_progress", "complete")),
    ]
    lines = [line for line in logs if line["event"] == "sync_moved"]
    for move in moves(logs, sync_id)[1:]:
        assert Status(move[1]) in MOVES[Status(move[0])]
    codes = [line["code"] for line in lines if line["to"] in ("paused", "failed")]
    assert codes == ["connection_lost", "connector_misconfigured"]


async def test_a_takeover_and_a_resume_after_a_restart_are_logged(
    tmp_path: Path, script: Script
) -> None:
    script.gates["orders"] = anyio.Event()
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user("ann", tenant="acme")
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "stock", 2)
    with capture_logs() as logs:
        async with serve(tmp_path, FastClock()) as service:
            ann = service.user("ann", tenant="acme")
            with anyio.fail_after(PATIENCE):
                while not moves(logs, sync_id):
                    await anyio.sleep(0.01)
            await ann.post(f"/api/sync/cancel/{sync_id}")
    assert moves(logs, sync_id) == [("in_progress", "in_progress"), ("in_progress", "cancelled")]
    script.gates.clear()
    with capture_logs() as logs:
        async with serve(tmp_path, FastClock()) as service:
            ann = service.user("ann", tenant="acme")
            await ann.post(f"/api/sync/resume/{sync_id}")
            await ann.until(sync_id, "complete")
    assert moves(logs, sync_id) == [
        ("cancelled", "pending"),
        ("pending", "in_progress"),
        ("in_progress", "complete"),
    ]


# Datasets that were never read --------------------------------------------------------------------


def outcomes(sync: Json) -> dict[str, tuple[str, str | None]]:
    return {dataset["name"]: (dataset["status"], dataset["code"]) for dataset in sync["datasets"]}


async def test_a_dataset_that_a_cancelled_sync_never_read_is_unknown(
    tmp_path: Path, script: Script
) -> None:
    script.gates = {"stock": anyio.Event()}
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 35)
        cancelled = read(await ann.post(f"/api/sync/cancel/{sync_id}"))
        assert outcomes(cancelled)["orders"] == ("complete", None)
        assert outcomes(cancelled)["stock"] == ("unknown", "not_read")
        stock = cancelled["datasets"][1]
        assert stock["error"].startswith("Not read") and "cancelled" in stock["error"]
        script.gates["stock"].set()
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        done = await ann.until(sync_id)
        assert (done["status"], outcomes(done)["stock"]) == ("complete", ("complete", None))


async def test_a_dataset_that_was_waiting_when_its_sync_was_cancelled_is_unknown(
    tmp_path: Path, script: Script
) -> None:
    script.gates = {"orders": anyio.Event()}
    async with serve(tmp_path, FastClock(), MAX_RUNNING_SYNCS="1") as service:
        ann, bob = service.user(), service.user("bob")
        for user in (ann, bob):
            await user.connect()
        running, queued = await ann.start(), await bob.start()
        await ann.until_processed(running, "stock", 2)
        of_queued = outcomes(read(await bob.post(f"/api/sync/cancel/{queued}")))
        assert of_queued["orders"] == of_queued["stock"] == ("unknown", "not_read")
        of_running = outcomes(read(await ann.post(f"/api/sync/cancel/{running}")))
        assert of_running["orders"] == ("unknown", "not_read")
        assert of_running["claims"][0] == "unknown"


@pytest.mark.parametrize(
    ("error", "environ"),
    [
        (Misconfigured("The operator must set it up."), {}),
        (RuntimeError("out of order"), {}),
        (None, {"SYNC_TIMEOUT": "1"}),
    ],
)
async def test_a_failed_sync_does_not_fail_datasets_that_it_never_read(
    tmp_path: Path, script: Script, error: Exception | None, environ: dict[str, str]
) -> None:
    script.gates = {"stock": anyio.Event()}
    script.errors["orders"] = [None, *([error] * 9 if error else [])]
    async with serve(tmp_path, FastClock(), **environ) as service:
        ann = service.user()
        await ann.connect()
        failed = await ann.whole_sync()
        assert failed["status"] == "failed"
        if error:
            assert outcomes(failed)["orders"] == ("partial", None)
        assert outcomes(failed)["stock"] == ("unknown", "not_read")


async def test_a_dataset_that_the_source_refuses_is_failed(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [SourceError("Not available.")]
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        await ann.connect()
        assert outcomes(await ann.whole_sync())["stock"] == ("failed", None)


async def test_a_pause_ends_no_dataset(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [Retryable("Busy.")]
    async with serve(tmp_path, FastClock()) as service:
        paused = await lose_connection(service.user(), script)
        assert {status for status, _ in outcomes(paused).values()} <= {"in_progress", "pending"}
