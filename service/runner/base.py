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
    """This process as a runner of syncs."""

    #: None if it runs no syncs.
    name: str | None
    running: int
    #: Maximum syncs that it runs at once.
    slots: int


class Owner(msgspec.Struct, frozen=True):
    """The worker that runs a sync, and since when."""

    worker: str
    since: datetime | None


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

    def here(self) -> Worker:
        """This process."""

    async def owners(self) -> Mapping[str, Owner]:
        """The workers that run syncs, in any process, by sync id."""
