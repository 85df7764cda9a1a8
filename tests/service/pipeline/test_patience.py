"""A dataset that its source cannot deliver is retried while others are read, then given up."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import ConnectionLost, Retryable, SourceError
from service.pipeline.patience import LONGEST_PAUSE, Patience
from tests.service.clocks import FastClock, ManualClock
from tests.service.scripted import Script, scripted
from tests.serving import PATIENCE, Json, Serving, User, json_of, read, serve

pytestmark = pytest.mark.anyio

UNAVAILABLE = Retryable("The source is unavailable.")
#: More failures than any test waits for.
ALWAYS = 200


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number:02}" for number in range(35)))
    script.set_records("stock", "sku-1", "sku-2")
    return script


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    environ = {"SOURCE_PATIENCE": "120", **environ}
    async with serve(folder, FastClock(30), **environ) as service:
        ann = service.user()
        await ann.connect()
        yield service, ann


def dataset(status: Json, name: str) -> Json:
    progress: Json = next(d for d in status["datasets"] if d["name"] == name)
    return progress


def duration_of(status: Json) -> timedelta:
    start, end = (status[f"{at}At"] for at in ("started", "completed"))
    return datetime.fromisoformat(end) - datetime.fromisoformat(start)


async def until_waiting(user: User, sync_id: str, name: str) -> Json:
    with anyio.fail_after(PATIENCE):
        while True:
            progress = dataset(await user.status(sync_id), name)
            if progress["waitingUntil"]:
                return progress
            await anyio.sleep(0.01)


async def test_a_dataset_unavailable_for_a_minute_is_read_in_the_same_attempt(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE] * 5  # pauses of 2, 4, 8, 16 and 32 seconds
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"], done["warnings"]) == ("complete", 1, [])
        assert [progress["created"] for progress in done["datasets"][:2]] == [35, 2]


async def test_other_datasets_are_read_while_one_is_unavailable(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    async with serving(tmp_path, SOURCE_PATIENCE="100000") as (_, ann):
        sync_id = await ann.start()
        status = await ann.until_processed(sync_id, "orders", 35)
        assert dataset(status, "orders")["status"] == "complete"
        assert status["status"] == dataset(status, "stock")["status"] == "in_progress"


async def test_a_dataset_that_stays_unavailable_fails_alone(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"], done["error"]) == ("complete", 1, None)
        stock = dataset(done, "stock")
        assert (stock["status"], stock["error"]) == ("failed", "The source is unavailable.")
        assert stock["waitingUntil"] is None
        assert any(
            "The source is unavailable." in warning["message"] for warning in done["warnings"]
        )
        assert script.detecting == [("orders",)]
        assert ALWAYS - len(script.errors["stock"]) < 15, "pauses grow"


async def test_a_dataset_that_becomes_unavailable_is_partial_and_read_by_the_next_sync(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, *[UNAVAILABLE] * ALWAYS]
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        orders = dataset(done, "orders")
        assert (done["status"], orders["status"]) == ("complete", "partial")
        assert (orders["processed"], orders["error"]) == (20, "The source is unavailable.")
        [first] = {window for name, window in script.windows if name == "orders"}
        script.windows.clear()
        script.errors["orders"] = []
        second = await ann.whole_sync()
        assert dataset(second, "orders")["created"] == 15
        window = next(window for name, window in script.windows if name == "orders")
        assert window.until - window.since >= first.until - first.since, "nothing counts as read"


async def test_a_sync_that_read_nothing_fails_and_can_be_resumed(
    tmp_path: Path, script: Script
) -> None:
    script.errors = {"orders": [UNAVAILABLE] * ALWAYS, "stock": [UNAVAILABLE] * ALWAYS, "cases": []}
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["attempt"]) == ("failed", 4)
        assert failed["error"] == {
            "code": "source_unavailable",
            "message": "The source is unavailable.",
            "retryable": True,
        }
        assert duration_of(failed) < timedelta(seconds=2 * 120), (
            "the sync waits once, not in each attempt"
        )
        script.errors = {"orders": [], "stock": [], "cases": []}
        assert (await ann.post(f"/api/sync/resume/{failed['syncId']}")).status_code == 202
        done = await ann.until(failed["syncId"], "complete")
        assert (done["attempt"], dataset(done, "orders")["created"]) == (5, 35)


async def test_a_sync_may_be_retried_if_one_dataset_is_refused_and_another_unavailable(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [SourceError("Orders are refused.")]
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)


async def test_each_wait_is_one_version_and_longer_than_the_last(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE] * 5
    async with serving(tmp_path) as (_, ann):
        statuses = [json_of(event) async for event in ann.events(await ann.start())]
        waits = [status for status in statuses if dataset(status, "stock")["waitingUntil"]]
        assert len(statuses) < 5 + 15, "not a version for each second"
        texts = [re.search(r"Waiting (\d+) s for another", wait["message"]) for wait in waits]
        seconds = list(dict.fromkeys(int(text[1]) for text in texts if text))
        assert len(seconds) > 3 and seconds == sorted(seconds), "a wait is announced once"
        assert "for another try. The source is unavailable." in waits[-1]["message"]
        percents = [status["progress"] for status in statuses]
        assert percents == sorted(percents)


async def test_a_dataset_is_given_up_before_the_timeout_of_the_sync(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    environ = {"SOURCE_PATIENCE": "100000", "SYNC_TIMEOUT": "200"}
    async with serving(tmp_path, **environ) as (_, ann):
        done = await ann.whole_sync()
        # The timeout would have failed the sync.
        assert (done["status"], dataset(done, "stock")["status"]) == ("complete", "failed")


async def test_without_patience_an_unavailable_dataset_is_given_up_at_once(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE]
    async with serving(tmp_path, SOURCE_PATIENCE="0") as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], dataset(done, "stock")["status"]) == ("complete", "failed")


async def test_a_cancel_ends_the_wait_for_a_dataset(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await until_waiting(ann, sync_id, "stock")
        cancelled = read(await ann.post(f"/api/sync/cancel/{sync_id}"))
        assert (cancelled["status"], cancelled["attempt"]) == ("cancelled", 1)
        assert cancelled["waitingUntil"] is None
        script.errors["stock"] = []
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        assert (await ann.until(sync_id))["status"] == "complete"


async def test_a_lost_connection_ends_the_wait_for_another_dataset(
    tmp_path: Path, script: Script
) -> None:
    script.gates["orders"] = anyio.Event()
    script.errors["orders"] = [ConnectionLost("Withdrawn.")]
    script.errors["stock"] = [UNAVAILABLE]
    async with serve(tmp_path) as service:
        ann = service.user()
        connection = await ann.connect()
        sync_id = await ann.start()
        await until_waiting(ann, sync_id, "stock")
        script.gates.pop("orders").set()
        paused = await ann.until(sync_id, "paused")
        assert (paused["error"]["code"], paused["waitingUntil"]) == ("connection_lost", None)
        path = f"/api/connections/{connection['id']}/reconnect"
        read(await ann.post(path, {"refreshToken": "newer"}))
        done = await ann.until(sync_id, "complete")
        assert (done["attempt"], done["warnings"]) == (1, [])


async def test_the_next_process_continues_a_sync_that_was_waiting(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [UNAVAILABLE] * ALWAYS
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 35)
        await until_waiting(ann, sync_id, "stock")
    script.errors["stock"] = []
    script.windows.clear()
    async with serve(tmp_path) as service:
        done = await service.user().until(sync_id, "complete")
        assert (done["attempt"], done["warnings"]) == (1, [])
        assert [name for name, _ in script.windows] == ["stock"], "orders are not read again"


@given(
    st.floats(0, 1e6),
    st.lists(st.one_of(st.just("read"), st.floats(0, 5000)), max_size=60),
    st.floats(0.5, 1e6),
)
def test_no_pause_ends_after_the_patience_or_the_attempt(
    seconds: float, attempts: list[str | float], span: float
) -> None:
    """An attempt is the seconds until it fails, or "read" if a record is read."""
    clock = ManualClock()
    patience = Patience(seconds, clock)
    ends, since = clock.now() + timedelta(seconds=span), None
    for attempt in attempts:
        if isinstance(attempt, str):
            patience.restore("orders")
            since = None
            continue
        clock.advance(attempt)
        since = since or clock.now()
        pause = patience.pause("orders", ends)
        over = min(since + timedelta(seconds=seconds), ends)
        if pause is None:
            assert clock.now() >= over - timedelta(seconds=1)
        else:
            assert 0 < pause <= LONGEST_PAUSE * 1.25
            clock.advance(pause)
            assert clock.now() <= over + timedelta(milliseconds=1)
