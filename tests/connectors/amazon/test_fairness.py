"""Whole syncs at true quotas, side by side on a clock of their own: nobody is ever refused."""

from datetime import timedelta

import anyio
import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.operations import OPERATIONS
from connectors.base import Connection, Dataset
from tests.connectors.clocks import Timeline

from .bench import DATASETS, Bench, connect

pytestmark = pytest.mark.anyio


async def sync(bench: Bench, connection: Connection) -> dict[str, str]:
    """All datasets side by side; what was learned."""
    told: dict[str, str] = dict(connection.learned)

    async def read(dataset: Dataset) -> None:
        window = bench.window(dataset)
        reading = bench.connector.read(connection, dataset, window, None, bench.waiting)
        async for page in reading:
            told.update(page.learned)

    async with anyio.create_task_group() as group:
        for dataset in DATASETS:
            group.start_soon(read, dataset)
    return told


async def refusals(bench: Bench) -> dict[str, int]:
    found: dict[str, int] = {}
    for call in await bench.calls():
        if call["status"] == 429:
            key = f"{call['seller']} {call['operation']}"
            found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize("sellers", [1, 50])
async def test_whole_syncs_at_true_quotas_meet_no_refusal(sellers: int) -> None:
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=2_500 if sellers == 1 else 150), clock)
        async with anyio.create_task_group() as group:
            for seed in range(sellers):
                size = 2_500 if sellers == 1 else 150
                group.start_soon(sync, bench, connect(f"{seed + 1}-{size}"))
        assert await refusals(bench) == {}


@pytest.mark.parametrize("factor", [0.5, 2.0, 10.0])
async def test_another_rate_is_learned_from_the_first_answer(factor: float) -> None:
    quotas = {each.name: (each.rate * factor, each.burst) for each in OPERATIONS}
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=2_500, quotas=quotas), clock)
        told = await sync(bench, connect("1-2500"))
        clock.time += timedelta(hours=5)
        bench.restart()
        await sync(bench, connect("1-2500", **told))
        assert await refusals(bench) == {}


async def test_another_burst_is_learned_from_its_refusal() -> None:
    """It is not told. Nine readers may be refused together; from then on none is."""
    quotas = {each.name: (each.rate / 2, max(1.0, each.burst // 2)) for each in OPERATIONS}
    clock = Timeline()
    async with clock.running():
        bench = Bench(Settings(orders=2_500, quotas=quotas), clock)
        told = await sync(bench, connect("1-2500"))
        before = await refusals(bench)
        assert 0 < sum(before.values()) < 2 * len(before)
        for hours in (0.05, 5, 5):
            clock.time += timedelta(hours=hours)
            bench.restart()
            told = await sync(bench, connect("1-2500", **told))
            assert await refusals(bench) == before


@pytest.mark.parametrize("orders", [120, 2_500])
async def test_hardly_any_time_is_lost_over_what_the_quotas_and_the_reports_take(
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
        for each in OPERATIONS:
            if each.name != "getReport":  # as many as there is time for
                calls = len(await bench.calls(each.name))
                least.append((calls - each.burst) / each.rate)
        assert max(least) <= took + 1 <= max(least) * 1.05 + 1
