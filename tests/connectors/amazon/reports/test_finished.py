"""Reads that wait for a report go on when a notification says that it is finished."""

import anyio
import pytest

from connectors.amazon.reports.finished import FinishedReports
from connectors.base import SystemClock

pytestmark = pytest.mark.anyio


async def test_a_notification_ends_the_waits_for_its_report_only() -> None:
    finished, clock, ended = FinishedReports(), SystemClock(), list[str]()

    async def wait(report: str) -> None:
        await finished.sleep(clock, 3600, report)
        ended.append(report)

    async with anyio.create_task_group() as group:
        for report in ("a", "a", "b"):
            group.start_soon(wait, report)
        await anyio.wait_all_tasks_blocked()
        assert finished.finish("a") and not finished.finish("c")
        with anyio.fail_after(30):
            while len(ended) < 2:
                await anyio.sleep(0.01)
        assert ended == ["a", "a"]
        assert not finished.finish("a"), "nothing waits any more"
        group.cancel_scope.cancel()
    assert not finished.finish("b")


async def test_without_a_notification_the_pause_takes_its_time() -> None:
    finished, clock = FinishedReports(), SystemClock()
    with anyio.fail_after(30):
        await finished.sleep(clock, 0.01, "a")
    assert not finished.finish("a")
