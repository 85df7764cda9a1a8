"""Simulated clocks: one for a single sleeper, one for many."""

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Self

import anyio
import anyio.to_thread

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def _span(seconds: float) -> timedelta:
    """Rounded up: a real sleep never ends early."""
    return timedelta(microseconds=math.ceil(seconds * 1e6))


class JumpingClock:
    """For one sleeper at a time: a sleep moves the clock and takes no time."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now
        self.slept: list[float] = []
        self._fell: list[datetime] = []

    def pauses(self) -> list[tuple[datetime, float]]:
        """The start and the seconds of each sleep."""
        return list(zip(self._fell, self.slept, strict=True))

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._fell.append(self.time)
        self.time += _span(seconds)
        await anyio.lowlevel.checkpoint()


class Timeline:
    """For many sleepers: when no task can run, the clock moves to the next one that wakes."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now
        self._turns = itertools.count()
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = anyio.Event()
        heapq.heappush(self._sleepers, (self.time + _span(seconds), next(self._turns), woken))
        await woken.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._run)
            yield self
            group.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            if self._sleepers and _all_wait():
                self.time, _, woken = heapq.heappop(self._sleepers)
                woken.set()


def _all_wait() -> bool:
    """Whether no other task can run: the event loop has nothing left to call."""
    if anyio.to_thread.current_default_thread_limiter().borrowed_tokens:
        return False  # work in a thread takes no time
    return not asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
