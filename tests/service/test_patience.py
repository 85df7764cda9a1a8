"""A dataset that its source cannot give for now: it is asked for again while the others go on, and
after a while it is given up alone."""

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
from service.patience import LONGEST_PAUSE, Patience
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.serving import Json, Serving, User, json_of, read, serve

pytestmark = pytest.mark.anyio

AWAY = Retryable("The source is away.")
FOR_GOOD = 200


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    found = scripted(monkeypatch)
    found.has("orders", *(f"order-{number:02}" for number in range(35)))
    found.has("stock", "sku-1", "sku-2")
    return found


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    environ = {"SOURCE_PATIENCE": "120", **environ}
    async with serve(folder, FastClock(100), **environ) as service:
        ann = service.user()
        await ann.connect()
        yield service, ann


def dataset(status: Json, name: str) -> Json:
    found: Json = next(each for each in status["datasets"] if each["name"] == name)
    return found


def took(status: Json) -> timedelta:
    begun, ended = (status[f"{at}At"] for at in ("started", "completed"))
    return datetime.fromisoformat(ended) - datetime.fromisoformat(begun)


async def until_waiting(user: User, sync_id: str, name: str) -> Json:
    with anyio.fail_after(20):
        while True:
            found = dataset(await user.status(sync_id), name)
            if found["waitingUntil"]:
                return found
            await anyio.sleep(0.01)


async def test_a_dataset_away_for_a_minute_is_read_in_the_same_attempt(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY] * 5  # pauses of 2, 4, 8, 16 and 32 seconds
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"], done["warnings"]) == ("complete", 1, [])
        assert [each["created"] for each in done["datasets"][:2]] == [35, 2]


async def test_the_others_are_read_while_one_is_away(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [AWAY] * FOR_GOOD
    async with serving(tmp_path, SOURCE_PATIENCE="100000") as (_, ann):
        sync_id = await ann.start()
        found = await ann.until_processed(sync_id, "orders", 35)
        assert dataset(found, "orders")["status"] == "complete"
        assert (found["status"], dataset(found, "stock")["status"]) == (
            "in_progress",
            "in_progress",
        )


async def test_a_dataset_that_stays_away_fails_alone_and_the_rest_is_detected(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY] * FOR_GOOD
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"], done["error"]) == ("complete", 1, None)
        stock = dataset(done, "stock")
        assert (stock["status"], stock["error"]) == ("failed", "The source is away.")
        assert stock["waitingUntil"] is None
        assert any("The source is away." in str(each) for each in done["warnings"])
        assert script.detecting == [("orders",)]
        assert FOR_GOOD - len(script.errors["stock"]) < 15, "pauses grow"


async def test_a_dataset_that_goes_away_midway_is_partial_and_read_again_by_the_next_sync(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, *[AWAY] * FOR_GOOD]
    async with serving(tmp_path) as (_, ann):
        done = await ann.whole_sync()
        orders = dataset(done, "orders")
        assert (done["status"], orders["status"]) == ("complete", "partial")
        assert (orders["processed"], orders["error"]) == (20, "The source is away.")
        [(_, first)] = {each for each in script.windows if each[0] == "orders"}
        script.windows.clear()
        script.errors["orders"] = []
        again = await ann.whole_sync()
        assert dataset(again, "orders")["created"] == 15
        window = next(window for name, window in script.windows if name == "orders")
        assert window.until - window.since >= first.until - first.since, "nothing counts as read"


async def test_where_nothing_at_all_could_be_read_the_sync_fails_and_can_be_resumed(
    tmp_path: Path, script: Script
) -> None:
    script.errors = {"orders": [AWAY] * FOR_GOOD, "stock": [AWAY] * FOR_GOOD, "cases": []}
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["attempt"]) == ("failed", 4)
        assert failed["error"] == {
            "code": "source_unavailable",
            "message": "The source is away.",
            "retryable": True,
        }
        begun, ended = (
            datetime.fromisoformat(failed[f"{at}At"]) for at in ("started", "completed")
        )
        assert ended - begun < timedelta(seconds=2 * 120), "it waits once, not in each attempt"
        script.errors = {"orders": [], "stock": [], "cases": []}
        assert (await ann.post(f"/api/sync/resume/{failed['syncId']}")).status_code == 202
        done = await ann.until(failed["syncId"], "complete")
        assert (done["attempt"], dataset(done, "orders")["created"]) == (5, 35)


async def test_of_what_is_refused_and_what_is_away_the_second_decides(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [SourceError("It is refused.")]
    script.errors["stock"] = [AWAY] * FOR_GOOD
    async with serving(tmp_path) as (_, ann):
        failed = await ann.whole_sync()
        assert (failed["status"], failed["error"]["retryable"]) == ("failed", True)


async def test_each_wait_is_shown_by_one_version_and_is_longer_than_the_last(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY] * 5
    async with serving(tmp_path) as (_, ann):
        statuses = [json_of(event) async for event in ann.events(await ann.start())]
        waits = [each for each in statuses if dataset(each, "stock")["waitingUntil"]]
        assert len(statuses) < 5 + 15, "no version a second"
        told = [re.search(r"Waiting (\d+) s for another", each["message"]) for each in waits]
        seconds = list(dict.fromkeys(int(each[1]) for each in told if each))
        assert len(seconds) > 3 and seconds == sorted(seconds), "a wait is never told twice"
        assert "for another try. The source is away." in waits[-1]["message"]
        percents = [each["progress"] for each in statuses]
        assert percents == sorted(percents)


async def test_a_dataset_is_given_up_before_the_time_of_the_sync_is_over(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY] * FOR_GOOD
    environ = {"SOURCE_PATIENCE": "100000", "SYNC_TIMEOUT": "200"}
    async with serving(tmp_path, **environ) as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], dataset(done, "stock")["status"]) == ("complete", "failed")
        assert took(done) < timedelta(seconds=200)


async def test_without_patience_a_dataset_is_given_up_at_once(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY]
    async with serving(tmp_path, SOURCE_PATIENCE="0") as (_, ann):
        done = await ann.whole_sync()
        assert (done["status"], dataset(done, "stock")["status"]) == ("complete", "failed")


async def test_a_cancel_ends_the_wait_for_a_dataset(tmp_path: Path, script: Script) -> None:
    script.errors["stock"] = [AWAY] * FOR_GOOD
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


async def test_a_lost_connection_ends_the_wait_of_another_dataset(
    tmp_path: Path, script: Script
) -> None:
    script.gates["orders"] = anyio.Event()
    script.errors["orders"] = [ConnectionLost("Withdrawn.")]
    script.errors["stock"] = [AWAY]
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


async def test_a_process_that_ends_in_the_wait_leaves_the_sync_to_the_next(
    tmp_path: Path, script: Script
) -> None:
    script.errors["stock"] = [AWAY] * FOR_GOOD
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
        assert [name for name, _ in script.windows] == ["stock"], "what was read stays read"


@given(
    st.floats(0, 1e6),
    st.lists(st.one_of(st.just("read"), st.floats(0, 5000)), max_size=60),
    st.floats(0.5, 1e6),
)
def test_pauses_never_go_beyond_the_patience_nor_the_end(
    seconds: float, tries: list[str | float], span: float
) -> None:
    """`tries` are how long each try takes until it fails; or a record is read."""
    patience, now = Patience(seconds), datetime.fromisoformat("2026-03-02T09:30:00Z")
    ends, since = now + timedelta(seconds=span), None
    for each in tries:
        if isinstance(each, str):
            patience.restore("orders")
            since = None
            continue
        now += timedelta(seconds=each)
        since = since or now
        pause = patience.pause("orders", now, ends)
        over = min(since + timedelta(seconds=seconds), ends)
        if pause is None:
            assert now >= over - timedelta(seconds=1)
        else:
            assert 0 < pause <= LONGEST_PAUSE * 1.25
            now += timedelta(seconds=pause)
            assert now <= over + timedelta(milliseconds=1)
