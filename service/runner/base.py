"""The interface of a runner, in one process or in a cluster."""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from service.model import Sync
from service.store.engine import Statement

Run = Callable[[str], Awaitable[None]]
"""Runs the sync with this id to its end, or until another process takes it."""


class Worker(msgspec.Struct, frozen=True):
    """A process that runs syncs."""

    id: str
    started_at: datetime | None
    last_seen_at: datetime
    running: int
    #: Maximum syncs that it runs at once; None for another process.
    slots: int | None = None
    #: Whether it is this process.
    here: bool = False


class Owner(msgspec.Struct, frozen=True):
    """The worker that runs a sync, and since when."""

    worker: str
    since: datetime | None


class Fleet(msgspec.Struct, frozen=True):
    """The workers, and the owners of the running syncs by sync id."""

    workers: Sequence[Worker]
    owners: Mapping[str, Owner]


def this_process() -> str:
    """The name of this process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Runner(Protocol):
    """Runs every live sync that is not paused, once at a time."""

    def job(self, sync: Sync) -> Sequence[Statement]:
        """Statements that tell a cluster of the sync, for the write that starts or resumes it."""

    def submit(self, sync: Sync) -> None:
        """Run a sync that was started or resumed here. Call this after the commit."""

    def open(self, run: Run) -> AbstractAsyncContextManager[None]:
        """Run syncs while open. At the end, running syncs are stopped at once."""

    async def rescue(self) -> bool:
        """Give the live syncs of dead processes to others. Returns whether there were any."""

    def runs(self, sync_id: str) -> bool:
        """Whether this process is running the sync."""

    async def fleet(self) -> Fleet:
        """The living workers, and the syncs that they run."""
