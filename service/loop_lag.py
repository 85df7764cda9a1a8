"""Measures how late the event loop runs its tasks."""

import anyio

from service.metrics import Metrics

EVERY = 0.25


async def watch_loop(metrics: Metrics) -> None:
    """Until cancelled, observe the delay of a sleep every 250 ms."""
    while True:
        due = anyio.current_time() + EVERY
        await anyio.sleep(EVERY)
        metrics.loop_lag.observe(max(0.0, anyio.current_time() - due))
