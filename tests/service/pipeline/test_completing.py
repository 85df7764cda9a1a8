"""Records that other datasets show and that a sync lacks are read in the same sync."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

import anyio
import pytest

import connectors
from connectors.base import (
    Clock,
    Connection,
    ConnectionLost,
    Page,
    Record,
    Retryable,
    SourceError,
    SystemClock,
    Waiting,
    Window,
)
from connectors.completing import Compared, DatasetDay, Gap, Gaps, StoredRows
from tests.service.clocks import FastClock
from tests.service.scripted import Script, ScriptedConnector, scripted
from tests.serving import PATIENCE, Json, User, read, serve

pytestmark = pytest.mark.anyio

DAY = date(2026, 6, 1)
AT_ONCE = 2


class Witness(Script):
    """A source whose payments name orders."""

    def __init__(self) -> None:
        super().__init__()
        #: The orders that payments name, and those of them that the source can deliver.
        self.named: list[str] = []
        self.deliverable: set[str] = set()
        #: The orders that were requested one by one.
        self.asked: list[str] = []
        #: Raised instead of an order.
        self.failing: dict[str, Exception] = {}
        #: Orders that wait for an event.
        self.held: dict[str, anyio.Event] = {}
        self.waits = False
        self.now = SystemClock().now
        self.closed: list[AbstractSet[str]] = []
        #: The datasets to compare and those that were read, at each comparison.
        self.compared: list[tuple[set[str], set[str]]] = []
        self.last: list[Compared | None] = []


class WitnessedConnector(ScriptedConnector):
    """Compares its orders with the payments."""

    def __init__(self, script: Witness) -> None:
        super().__init__(script)
        self._witness = script

    def complete(
        self,
        connection: Connection,
        stored: StoredRows,
        windows: Mapping[str, Window],
        datasets: AbstractSet[str],
    ) -> Sequence[Gaps]:
        self._witness.compared.append((set(datasets), set(windows)))
        self._witness.last.append(stored.compared("orders"))
        if "orders" not in datasets:
            return ()
        self._witness.closed.append(stored.closed("orders", self._witness.named))
        missing = stored.lacking("orders", self._witness.named) - self._witness.closed[-1]
        gaps = [
            Gap(name, DAY + timedelta(days=int(name[-1])), ("payments",))
            for name in self._witness.named
            if name in missing
        ]
        days = []
        for number in range(10):
            at = DAY + timedelta(days=number)
            count = sum(gap.day == at for gap in gaps)
            filled = "single_sourced" if number == 9 else "confirmed"
            days.append(DatasetDay(at, "short" if count else filled, 0, count, filled))  # type: ignore[arg-type]
        return [Gaps("orders", days, gaps)]

    async def fill(
        self, connection: Connection, gaps: Gaps, waiting: Waiting
    ) -> AsyncIterator[Page]:
        script = self._witness
        keys = [gap.key for gap in gaps.gaps]
        for start in range(0, len(keys), AT_ONCE):
            batch = keys[start : start + AT_ONCE]
            for key in batch:
                if gate := script.held.get(key):
                    await waiting(script.now() + timedelta(seconds=90), "the quota")
                    script.waits = True
                    await gate.wait()
                if error := script.failing.get(key):
                    raise error
                script.asked.append(key)
            yield Page(
                [Record(key, b'{"value":"1"}') for key in batch if key in script.deliverable],
                absent=[key for key in batch if key not in script.deliverable],
            )


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Witness:
    script = Witness()

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[WitnessedConnector]:
        yield WitnessedConnector(script)

    monkeypatch.setattr(connectors, "names", lambda: ("demo",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    script.set_records("orders", *(f"order-{number}" for number in range(4)))
    script.set_records("stock", "sku-1")
    script.named = [f"order-{number}" for number in range(8)]
    script.deliverable = set(script.named)
    return script


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[User]:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        yield ann


async def shown(user: User, sync: Json) -> Json:
    return read(await user.get(f"/api/connections/{sync['connectionId']}/sync-status"))


def days_of(status: Json, dataset: str = "orders") -> list[Json]:
    days: list[Json] = next(item["days"] for item in status["datasets"] if item["name"] == dataset)
    return days


async def until_it_waits(script: Witness) -> None:
    with anyio.fail_after(PATIENCE):
        while not script.waits:
            await anyio.sleep(0.005)


async def test_missing_records_are_read_in_the_same_sync_and_counted(
    tmp_path: Path, script: Witness
) -> None:
    async with serving(tmp_path) as ann:
        done = await ann.whole_sync()
        assert (done["status"], done["warnings"]) == ("complete", [])
        orders = done["datasets"][0]
        assert (orders["status"], orders["processed"], orders["total"]) == ("complete", 8, 8)
        assert orders["created"] == 8
        assert done["completeness"] == {"confirmed": 9, "singleSourced": 1, "short": 0}
        assert len(await ann.records("orders")) == 8
        status = await shown(ann, done)
        assert status["completeness"] == done["completeness"]
        days = days_of(status)
        assert [day["fetched"] for day in days] == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
        assert days[4] == {
            "day": "2026-06-05",
            "state": "confirmed",
            "records": 0,
            "missing": 0,
            "fetched": 1,
        }
        assert days_of(status, "stock") == []


async def test_what_stays_missing_is_a_warning_and_the_next_sync_reads_it(
    tmp_path: Path, script: Witness
) -> None:
    script.failing["order-6"] = SourceError("The role is missing.")
    async with serving(tmp_path) as ann:
        first = await ann.whole_sync()
        assert first["status"] == "complete"
        warning = first["warnings"][0]["message"]
        assert "2 orders of 2026-06-07 to 2026-06-08 (2 days) are missing" in warning
        assert "The role is missing." in warning
        assert first["completeness"] == {"confirmed": 7, "singleSourced": 1, "short": 2}
        status = await shown(ann, first)
        states = [day["state"] for day in days_of(status)]
        assert states[5:8] == ["confirmed", "short", "short"]
        assert (status["syncNeeded"], status["reason"]) == (True, "short")
        assert status["message"] == "2 days lack records that other datasets show."
        script.failing.clear()
        second = await ann.whole_sync()
        assert (second["warnings"], second["completeness"]["short"]) == ([], 0)
        assert [day["fetched"] for day in days_of(await shown(ann, second))][4:8] == [1, 1, 1, 1]
        assert script.asked.count("order-4") == 1
        assert (await shown(ann, second))["reason"] == "up_to_date"


@pytest.mark.parametrize("error", [Retryable("Amazon is busy."), SourceError("No role.")])
async def test_a_fill_that_fails_does_not_fail_the_sync(
    tmp_path: Path, script: Witness, error: Exception
) -> None:
    script.failing["order-4"] = error
    async with serving(tmp_path) as ann:
        done = await ann.whole_sync()
        assert (done["status"], done["attempt"]) == ("complete", 1)
        assert str(error) in str(done["warnings"])
        assert {item["name"]: item["status"] for item in done["datasets"]}["claims"] == "complete"


async def test_a_record_that_the_source_does_not_have_is_no_longer_looked_for(
    tmp_path: Path, script: Witness
) -> None:
    script.deliverable.remove("order-5")
    async with serving(tmp_path) as ann:
        first = await ann.whole_sync()
        assert (first["warnings"], first["completeness"]["short"]) == ([], 0)
        assert [day["fetched"] for day in days_of(await shown(ann, first))][4:8] == [1, 0, 1, 1]
        await ann.whole_sync()
        assert script.asked.count("order-5") == 1
        assert script.closed[-1] == {"order-5"}


async def test_lost_credentials_pause_the_sync_which_then_reads_the_rest(
    tmp_path: Path, script: Witness
) -> None:
    script.failing["order-6"] = ConnectionLost("Revoked.")
    async with serving(tmp_path) as ann:
        sync_id = await ann.start()
        paused = await ann.until(sync_id, "paused")
        assert paused["completeness"] is None
        script.failing.clear()
        path = f"/api/connections/{paused['connectionId']}/reconnect"
        await ann.post(path, {"refreshToken": "better"})
        done = await ann.until(sync_id, "complete")
        assert script.asked == ["order-4", "order-5", "order-6", "order-7"]
        assert (done["datasets"][0]["created"], done["completeness"]["short"]) == (8, 0)


async def test_a_cancelled_fill_stops_at_once_and_a_resume_reads_the_rest(
    tmp_path: Path, script: Witness
) -> None:
    script.held["order-6"] = anyio.Event()
    async with serving(tmp_path) as ann:
        sync_id = await ann.start()
        await until_it_waits(script)
        running = await ann.status(sync_id)
        assert running["message"].startswith("Fetching missing orders (2 of 4). Waiting ")
        assert running["estimatedSecondsRemaining"] >= 60
        assert running["datasets"][0]["status"] == "complete"
        assert (running["stage"], running["progress"]) == ("processing", 60)
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert (await ann.status(sync_id))["status"] == "cancelled"
        script.held.clear()
        await ann.post(f"/api/sync/resume/{sync_id}")
        done = await ann.until(sync_id, "complete")
        assert script.asked == ["order-4", "order-5", "order-6", "order-7"]
        assert done["datasets"][0]["created"] == 8


async def test_a_process_that_ends_during_a_fill_loses_no_record(
    tmp_path: Path, script: Witness
) -> None:
    script.held["order-6"] = anyio.Event()
    async with serving(tmp_path) as ann:
        sync_id = await ann.start()
        await until_it_waits(script)
    script.held.clear()
    async with serve(tmp_path) as service:
        ann = service.user()
        done = await ann.until(sync_id, "complete")
        assert script.asked == ["order-4", "order-5", "order-6", "order-7"]
        assert (done["datasets"][0]["created"], len(await ann.records("orders"))) == (8, 8)


async def test_a_dry_run_compares_nothing(tmp_path: Path, script: Witness) -> None:
    async with serving(tmp_path) as ann:
        done = await ann.whole_sync(dryRun=True)
        assert (done["completeness"], script.compared) == (None, [])


async def test_a_sync_of_other_datasets_keeps_the_days(tmp_path: Path, script: Witness) -> None:
    async with serving(tmp_path) as ann:
        first = await ann.whole_sync()
        before = days_of(await shown(ann, first))
        second = await ann.whole_sync(datasets=["stock"])
        assert second["completeness"] is None
        assert days_of(await shown(ann, second)) == before
        assert script.compared[-1] == ({"stock"}, {"orders", "stock"}), "earlier reads witness, too"


async def test_a_later_sync_compares_only_what_has_changed(tmp_path: Path, script: Witness) -> None:
    async with serving(tmp_path) as ann:
        for _ in range(2):
            await ann.whole_sync()
        first, second = script.last
        assert first is None
        assert second is not None
        assert set(second.windows) == {"orders", "stock"}
        assert [day.missing for day in second.days] == [0] * 10
        await ann.whole_sync(overwrite=True)
        assert script.last[-1] is None, "a full refresh may delete records"


async def test_everything_is_compared_if_the_clock_was_set_back(
    tmp_path: Path, script: Witness
) -> None:
    clock = FastClock(now=SystemClock().now())
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        clock.jump(timedelta(hours=-1))
        await ann.whole_sync()
        assert script.last == [None, None]


async def test_a_dataset_that_was_not_read_completely_is_not_compared(
    tmp_path: Path, script: Witness
) -> None:
    script.errors["orders"] = [SourceError("No role.")]
    async with serving(tmp_path) as ann:
        done = await ann.whole_sync()
        assert (done["completeness"], script.asked) == (None, [])


async def test_a_connector_that_compares_nothing_has_no_completeness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = scripted(monkeypatch)
    plain.set_records("orders", "order-1")
    async with serving(tmp_path) as ann:
        done = await ann.whole_sync()
        assert done["completeness"] is None
        status = await shown(ann, done)
        assert (status["completeness"], days_of(status)) == (None, [])


async def test_a_forgotten_connection_leaves_no_days(tmp_path: Path, script: Witness) -> None:
    script.deliverable.remove("order-5")
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        connection = done["connectionId"]
        store = service.parts.completeness
        assert await store.days(connection)
        assert await store.closed(connection, "orders", ["order-5"])
        assert await store.compared(connection, "orders")
        await ann.http.delete(f"/api/connections/{connection}?data=erase")
        assert not await store.days(connection)
        assert not await store.closed(connection, "orders", ["order-5"])
        assert not await store.compared(connection, "orders")
