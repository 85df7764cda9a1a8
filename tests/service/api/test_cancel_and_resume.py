"""Cancel and resume: which syncs they accept, and what they return."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from service.links import sync_links
from service.model import Sync
from service.users import Actor
from tests.service.api.answers import (
    SLOW,
    TINY,
    paused_sync,
    problem,
    replace_token,
)
from tests.service.api.test_syncs import check_accepted, check_status
from tests.serving import User, read, serve

pytestmark = pytest.mark.anyio

# Cancel -----------------------------------------------------------------------------------------


async def test_the_second_of_two_simultaneous_resumes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, store = service.user(), service.parts.store
        await ann.connect()
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        write = store.write

        async def late_write(*args: Any) -> bool:
            if "sync_progress" not in args[0].sql:  # of the housekeeping
                return await write(*args)
            monkeypatch.setattr(store, "write", write)
            assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
            return await write(*args)

        monkeypatch.setattr(store, "write", late_write)
        body = problem(await ann.post(f"/api/sync/resume/{sync_id}"), 409, "already_running")
        assert dict(sync_links(sync_id)).items() <= body.items()


@pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])
async def test_a_resume_that_loses_a_race_to_a_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, store = service.user(), service.parts.store
        await ann.connect()
        first = await ann.start()
        await ann.post(f"/api/sync/cancel/{first}")
        write, live_sync = store.write, store.live_sync
        started: list[str] = []

        async def late_write(*args: Any) -> bool:
            if "sync_progress" not in args[0].sql:  # of the housekeeping
                return await write(*args)
            monkeypatch.setattr(store, "write", write)
            started.append(await ann.start())
            return await write(*args)

        async def late_look(user: str) -> Sync | None:
            if started and ended:
                await ann.post(f"/api/sync/cancel/{started[0]}")
            return await live_sync(user)

        monkeypatch.setattr(store, "write", late_write)
        monkeypatch.setattr(store, "live_sync", late_look)
        answer = await ann.post(f"/api/sync/resume/{first}")
        if ended:
            problem(answer, 409, "overtaken")
        else:
            assert problem(answer, 409, "sync_already_running")["syncId"] == started[0]
        assert (await ann.status(first))["status"] == "cancelled"


async def test_a_second_cancel_changes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        path = f"/api/sync/cancel/{sync_id}"
        first = await ann.post(path)
        assert first.status_code == 200
        assert check_status(read(first))["status"] == "cancelled"
        again = await ann.post(path)
        assert (again.status_code, read(again)) == (200, read(first))
        assert await ann.status(sync_id) == read(first)


async def test_a_paused_sync_can_be_cancelled(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        answer = await ann.post(f"/api/sync/cancel/{await paused_sync(service, ann)}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_an_ended_sync_cannot_be_cancelled(tmp_path: Path) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="0.1", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        failed = await ann.whole_sync()
        assert failed["status"] == "failed"
        refused = await ann.post(f"/api/sync/cancel/{failed['syncId']}")
        body = problem(refused, 409, "already_finished")
        assert (body["syncId"], body["syncStatus"]) == (failed["syncId"], "failed")
        assert await ann.status(failed["syncId"]) == failed
    (tmp_path / "other").mkdir()
    async with serve(tmp_path / "other", **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        problem(await ann.post(f"/api/sync/cancel/{done['syncId']}"), 409, "already_finished")
        assert await ann.status(done["syncId"]) == done


# Resume -----------------------------------------------------------------------------------------


def check_resumed(answer: httpx.Response, sync_id: str) -> None:
    assert check_accepted(answer, "Sync resumed") == sync_id


async def test_cancelled_and_failed_syncs_resume_as_a_new_attempt(tmp_path: Path) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="0.2", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        check_resumed(await ann.post(f"/api/sync/resume/{sync_id}"), sync_id)
        body = problem(await ann.post(f"/api/sync/resume/{sync_id}"), 409, "already_running")
        assert dict(sync_links(sync_id)).items() <= body.items()
        assert (await ann.status(sync_id))["attempt"] == 2
        await ann.post(f"/api/sync/cancel/{sync_id}")
        check_resumed(await ann.post(f"/api/sync/resume/{sync_id}"), sync_id)
        again = await ann.until(sync_id)
        assert (again["status"], again["attempt"]) == ("failed", 3)


async def test_a_paused_sync_resumes_in_the_same_attempt(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        connection = (await ann.status(sync_id))["connectionId"]
        await replace_token(service, connection, "good")
        check_resumed(await ann.post(f"/api/sync/resume/{sync_id}"), sync_id)
        done = await ann.until(sync_id)
        assert (done["status"], done["attempt"], done["error"]) == ("complete", 1, None)


async def test_a_complete_sync_cannot_be_resumed(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        refused = await ann.post(f"/api/sync/resume/{done['syncId']}")
        body = problem(refused, 409, "already_finished")
        assert (body["syncId"], body["syncStatus"]) == (done["syncId"], "complete")
        assert await ann.status(done["syncId"]) == done


async def test_a_sync_cannot_be_resumed_while_another_is_running(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        first = await ann.start()
        cancelled = read(await ann.post(f"/api/sync/cancel/{first}"))
        second = await ann.start()
        body = problem(await ann.post(f"/api/sync/resume/{first}"), 409, "sync_already_running")
        assert body["syncId"] == second
        assert body["statusUrl"] == f"/api/sync/status/{second}"
        assert body["streamUrl"] == f"/api/sse/sync-progress/{second}"
        assert await ann.status(first) == cancelled


async def test_simultaneous_cancels_and_resumes_leave_the_sync_consistent(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        codes: set[int] = set()

        async def repeat(user: User, verb: str) -> None:
            for _ in range(8):
                codes.add((await user.post(f"/api/sync/{verb}/{sync_id}")).status_code)

        async with anyio.create_task_group() as group:
            for verb in ("cancel", "resume", "cancel", "resume"):
                group.start_soon(repeat, ann, verb)
        assert codes <= {200, 202, 409}
        answer = await ann.post(f"/api/sync/cancel/{sync_id}")
        assert answer.json()["status"] == "cancelled"
        history = (await ann.get("/api/sync/history")).json()
        assert [sync["syncId"] for sync in history["syncs"]] == [sync_id]


# A runner that ignored a sync whose previous run is still ending would leave it queued forever.
async def test_a_sync_resumed_immediately_after_its_cancel_runs(tmp_path: Path) -> None:
    stuck = 0
    async with serve(tmp_path, DEMO_ORDERS="5000", DEMO_PAGE="10") as service:
        ann, actor = service.user(), Actor("ann", "ann")
        await ann.connect()
        registry = service.parts.registry
        for number in range(30):
            sync_id = await ann.start()
            await anyio.sleep(number * 0.001)
            await registry.cancel(actor, sync_id)
            await registry.resume(actor, sync_id)
            with anyio.move_on_after(10) as timeout:
                while (await ann.status(sync_id))["message"] == "Waiting for its turn":
                    await anyio.sleep(0.005)
            stuck += timeout.cancelled_caught
            answer = await ann.post(f"/api/sync/cancel/{sync_id}")
            assert answer.status_code == 200, answer.text
            if stuck:
                break
    assert not stuck
