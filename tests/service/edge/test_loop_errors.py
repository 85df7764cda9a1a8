"""The exception handler of the service's event loop."""

import asyncio

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from service.edge.limits import log_loop_error


@pytest.mark.parametrize("handled", [True, False])
def test_a_call_of_a_thread_that_ends_after_its_sync_leaves_no_traceback(
    handled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a worker is stopped while a sync detects claims: asyncio itself would log one."""

    async def lasts(reached: anyio.Event) -> None:
        reached.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)

    async def main() -> None:
        if handled:
            asyncio.get_running_loop().set_exception_handler(log_loop_error)
        reached = anyio.Event()
        async with anyio.create_task_group() as group:

            async def detect() -> None:
                await anyio.to_thread.run_sync(
                    anyio.from_thread.run, lasts, reached, abandon_on_cancel=True
                )

            group.start_soon(detect)
            await reached.wait()
            group.cancel_scope.cancel()

    anyio.run(main)
    assert ("unhandled exception" in caplog.text) is not handled
