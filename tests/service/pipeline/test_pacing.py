"""Running syncs rest only if other syncs run, too, and the processor is fully used."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from service.pipeline.pacing import BUSY, LONGEST_REST, REST, Pacer
from tests.service.clocks import FastClock, ManualClock
from tests.serving import PATIENCE, serve

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=10)


async def rest_once(clock: ManualClock, worked: timedelta, runs: int, round_of_loop: float) -> None:
    """Rest once, while another task needs `round_of_loop` seconds in each round of the loop."""
    pacer = Pacer(clock)

    async def busy() -> None:
        while True:
            clock.advance(round_of_loop)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(busy)
        with pacer.running():
            if runs == 1:
                await pacer.rest(worked)
            else:
                with pacer.running():
                    await pacer.rest(worked)
        group.cancel_scope.cancel()


async def test_a_sync_rests_in_proportion_to_its_work() -> None:
    clock = ManualClock()
    await rest_once(clock, SHORT, runs=2, round_of_loop=2 * BUSY)
    assert clock.sleeps == [pytest.approx(SHORT.total_seconds() * REST)]


async def test_a_rest_has_an_upper_limit() -> None:
    clock = ManualClock()
    await rest_once(clock, timedelta(hours=1), runs=2, round_of_loop=2 * BUSY)
    assert clock.sleeps == [LONGEST_REST]


async def test_a_clock_set_back_makes_no_rest_negative() -> None:
    clock = ManualClock()
    await rest_once(clock, timedelta(hours=-1), runs=2, round_of_loop=2 * BUSY)
    assert clock.sleeps == [0.0]


async def test_a_sync_that_runs_alone_never_rests() -> None:
    clock = ManualClock()
    await rest_once(clock, timedelta(hours=1), runs=1, round_of_loop=2 * BUSY)
    assert clock.sleeps == []


async def test_a_sync_does_not_rest_while_the_processor_has_time() -> None:
    clock = ManualClock()
    await rest_once(clock, timedelta(hours=1), runs=2, round_of_loop=BUSY / 2)
    assert clock.sleeps == []


class EndlessRest(FastClock):
    """A clock so fast that every round of the loop counts as busy. The longest rest never ends."""

    def __init__(self) -> None:
        super().__init__(speed=1000)
        self.resting = 0
        self.woken = 0

    async def sleep(self, seconds: float) -> None:
        if seconds != LONGEST_REST:
            await super().sleep(seconds)
            return
        self.resting += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.woken += 1


async def test_a_cancel_ends_a_rest(tmp_path: Path) -> None:
    clock = EndlessRest()
    environ = {"DEMO_ORDERS": "40", "DEMO_PAGE": "10", "DEMO_PAUSE": "100"}
    async with serve(tmp_path, clock, **environ) as service:
        ann, bob = service.user("ann"), service.user("bob")
        for user in (ann, bob):
            await user.connect()
        started = [(user, await user.start()) for user in (ann, bob)]
        with anyio.fail_after(PATIENCE):
            while not clock.resting:
                await anyio.sleep(0.005)
        for user, sync_id in started:
            assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
        with anyio.fail_after(PATIENCE):
            while clock.woken < clock.resting:
                await anyio.sleep(0.005)
