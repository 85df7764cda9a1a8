"""The runner: fair turns of tenants, priority, and closing."""

from collections.abc import Mapping
from datetime import UTC, datetime

import anyio
import msgspec
import pytest

from service.model import Options, Sync
from service.runner.base import Worker, this_process
from service.runner.runner import LocalRunner
from tests.service.test_model import new_sync
from tests.serving import PATIENCE

pytestmark = pytest.mark.anyio


async def nothing_unfinished() -> list[Sync]:
    return []


async def test_waiting_tenants_take_turns_regardless_of_how_many_syncs_wait() -> None:
    order = await _order([("big", 0)] * 6 + [("small", 0)] + [("other", 0)], at_once=2)
    assert order.index("small-6") < 4 and order.index("other-7") < 5, order


async def test_priority_orders_the_waiting_syncs_of_a_tenant() -> None:
    order = await _order([("a", 0), ("a", 0), ("a", 5), ("a", -5), ("a", 9)], at_once=1)
    assert order == ["a-0", "a-4", "a-2", "a-1", "a-3"], "the first was already running"


async def test_priority_does_not_overtake_another_tenant() -> None:
    order = await _order([("a", 9), ("a", 9), ("a", 9), ("b", 0)], at_once=1)
    assert order == ["a-0", "b-3", "a-1", "a-2"]


async def test_the_tenant_with_the_fewest_running_syncs_is_next() -> None:
    order = await _order([("a", 0), ("a", 0), ("b", 0), ("a", 9), ("b", -9)], at_once=2)
    assert order == ["a-0", "a-1", "b-2", "a-3", "b-4"]


async def test_of_tenants_with_equal_shares_the_one_that_has_waited_longer_is_next() -> None:
    runner, started = LocalRunner(3, nothing_unfinished), list[str]()
    ends = {name: anyio.Event() for name in ("x-0", "a-0", "b-0", "b-1", "a-1")}

    async def run(sync_id: str) -> None:
        started.append(sync_id)
        await ends[sync_id].wait()

    async with runner.open(run):
        for sync_id in ends:  # three run; a's turn ended when its first sync started
            runner.submit(_sync(sync_id, sync_id[0], 0))
        ends["x-0"].set()
        with anyio.fail_after(PATIENCE):
            while len(started) < 4:
                await anyio.sleep(0.002)
    assert started == ["x-0", "a-0", "b-0", "b-1"]


async def _order(waiting: list[tuple[str, int]], at_once: int) -> list[str]:
    """Submit syncs of these tenants and priorities; returns their ids in the order of the runs."""
    started: list[str] = []
    runner = LocalRunner(at_once, nothing_unfinished)

    async def run(sync_id: str) -> None:
        started.append(sync_id)
        await anyio.sleep(0.005)

    async with runner.open(run):
        for number, (tenant, priority) in enumerate(waiting):
            runner.submit(_sync(f"{tenant}-{number}", tenant, priority))
        with anyio.fail_after(PATIENCE):
            while len(started) < len(waiting):
                await anyio.sleep(0.002)
    return started


def _sync(sync_id: str, tenant: str, priority: int) -> Sync:
    changes: Mapping[str, object] = {"tenant": tenant, "options": Options(priority=priority)}
    return msgspec.structs.replace(new_sync(), id=sync_id, **changes)


async def test_a_sync_submitted_while_its_last_run_ends_runs_again() -> None:
    runs = 0
    runner = LocalRunner(5, nothing_unfinished)
    sync = _sync("sync-1", "a", 0)

    async def run(sync_id: str) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            runner.submit(sync)
            runner.submit(sync)

    async with runner.open(run):
        runner.submit(sync)
        with anyio.fail_after(PATIENCE):
            while runs < 2:
                await anyio.sleep(0.002)
        await anyio.sleep(0.05)
    assert runs == 2


async def test_closing_the_runner_stops_running_syncs_and_refuses_new_ones() -> None:
    started: list[str] = []
    runner = LocalRunner(1, nothing_unfinished)

    async def run(sync_id: str) -> None:
        started.append(sync_id)
        await anyio.sleep_forever()

    async with runner.open(run):
        runner.submit(_sync("sync-1", "a", 0))
        runner.submit(_sync("sync-2", "a", 0))
        with anyio.fail_after(PATIENCE):
            while not runner.runs("sync-1"):
                await anyio.sleep(0.002)
        await anyio.sleep(0.01)
    runner.submit(_sync("sync-3", "a", 0))
    assert started == ["sync-1"] and not runner.runs("sync-1")


async def test_the_owner_of_a_running_sync_is_this_process() -> None:
    runner, ends = LocalRunner(2, nothing_unfinished), anyio.Event()

    async def run(sync_id: str) -> None:
        await ends.wait()

    async with runner.open(run):
        assert runner.here() == Worker(this_process(), 0, 2)
        assert await runner.owners() == {}
        before = datetime.now(UTC)
        for number in range(3):
            runner.submit(_sync(f"sync-{number}", "a", 0))
        assert runner.here() == Worker(this_process(), 2, 2)
        owners = await runner.owners()
        assert sorted(owners) == ["sync-0", "sync-1"]
        for owner in owners.values():
            assert owner.worker == this_process()
            assert owner.since and before <= owner.since <= datetime.now(UTC)
        ends.set()
        with anyio.fail_after(PATIENCE):
            while runner.here().running:
                await anyio.sleep(0.002)
        assert await runner.owners() == {}


async def test_a_run_that_fails_makes_room_for_the_next() -> None:
    started: list[str] = []
    runner = LocalRunner(1, nothing_unfinished)

    async def run(sync_id: str) -> None:
        started.append(sync_id)
        raise RuntimeError("out of order")

    async with runner.open(run):
        for number in range(3):
            runner.submit(_sync(f"sync-{number}", "a", 0))
        with anyio.fail_after(PATIENCE):
            while len(started) < 3:
                await anyio.sleep(0.002)
    assert started == ["sync-0", "sync-1", "sync-2"]


async def test_syncs_that_an_earlier_process_left_run_first() -> None:
    started: list[str] = []

    async def left() -> list[Sync]:
        return [_sync("sync-1", "a", 0)]

    async def run(sync_id: str) -> None:
        started.append(sync_id)

    runner = LocalRunner(1, left)
    async with runner.open(run):
        runner.submit(_sync("sync-2", "a", 0))
        with anyio.fail_after(PATIENCE):
            while len(started) < 2:
                await anyio.sleep(0.002)
    assert started == ["sync-1", "sync-2"]
    assert (await runner.rescue(), list(runner.job(_sync("sync-3", "a", 0)))) == (False, [])
