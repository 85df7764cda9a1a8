"""Complete syncs at the published quotas, concurrently on a simulated clock: none is refused."""

from datetime import timedelta

import anyio
import pytest

from connectors import calls
from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.operations import OPERATIONS
from connectors.base import Connection, Dataset
from tests.connectors.clocks import Timeline

from .bench import DATASETS, Bench, connect

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def never_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes no simulated time, and however long in real time: hundreds run side by side."""
    monkeypatch.setattr(calls, "SLOW", 1e6)
    monkeypatch.setattr(calls, "DEADLINE", 1e6)


async def sync(bench: Bench, connection: Connection) -> dict[str, str]:
    """Read all datasets concurrently. Returns what was learned."""
    learned: dict[str, str] = dict(connection.learned)

    async def read(dataset: Dataset) -> None:
        window = bench.window(dataset)
        reading = bench.connector.read(connection, dataset, window, None, bench.waiting)
        async for page in reading:
            learned.update(page.learned)

    async with anyio.create_task_group() as group:
        for dataset in DATASETS:
            group.start_soon(read, dataset)
    return learned


async def refusals(bench: Bench) -> dict[str, int]:
    counts: dict[str, int] = {}
    for call in await bench.calls():
        if call["status"] == 429:
            key = f"{call['seller']} {call['operation']}"
            counts[key] = counts.get(key, 0) + 1
    return counts


@pytest.mark.parametrize(("sellers", "size"), [(1, 2_500), (20, 150)])
async def test_whole_syncs_at_real_quotas_are_never_refused(sellers: int, size: int) -> None:
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=size), clock)
        async with anyio.create_task_group() as group:
            for seed in range(sellers):
                group.start_soon(sync, bench, connect(f"{seed + 1}-{size}"))
        assert await refusals(bench) == {}


@pytest.mark.parametrize("factor", [0.5, 10.0])
async def test_another_rate_is_learned_from_the_first_response(factor: float) -> None:
    quotas = {
        operation.name: (operation.rate * factor, operation.burst) for operation in OPERATIONS
    }
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=1_000, quotas=quotas), clock)
        learned = await sync(bench, connect("1-1000"))
        clock.time += timedelta(hours=5)
        bench.restart()
        await sync(bench, connect("1-1000", **learned))
        assert await refusals(bench) == {}


async def test_another_burst_is_learned_from_its_refusal() -> None:
    """The burst is not announced. Concurrent readers may be refused together, and afterwards never
    again."""
    quotas = {
        operation.name: (operation.rate / 2, max(1.0, operation.burst // 2))
        for operation in OPERATIONS
    }
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=1_000, quotas=quotas), clock)
        learned = await sync(bench, connect("1-1000"))
        before = await refusals(bench)
        assert 0 < sum(before.values()) < 2 * len(before)
        for hours in (0.05, 5, 5):
            clock.time += timedelta(hours=hours)
            bench.restart()
            learned = await sync(bench, connect("1-1000", **learned))
            assert await refusals(bench) == before


@pytest.mark.parametrize("orders", [120, 2_500])
async def test_a_sync_takes_hardly_longer_than_its_quotas_and_reports(
    orders: int,
) -> None:
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=orders), clock)
        begun = clock.now()
        await sync(bench, connect(f"1-{orders}"))
        took = (clock.now() - begun).total_seconds()
        rows = (await bench.rows(f"1-{orders}"))["ledger"]
        least = [60 + rows / 1000]
        for operation in OPERATIONS:
            if operation.name != "getReport":  # its number of calls depends on the time
                calls = len(await bench.calls(operation.name))
                least.append((calls - operation.burst) / operation.rate)
        assert max(least) <= took + 1 <= max(least) * 1.05 + 1
