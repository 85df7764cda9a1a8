"""The processes of a cluster: a table of PostgreSQL in which each one announces itself.

Times are those of the database: the clocks of the processes may differ."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.store.engine import Engine, Statement

_ANNOUNCE = """
INSERT INTO nodes (id, role, worker, started_at, seen_at, running, slots, streams)
VALUES (:id, :role, :worker, clock_timestamp() - make_interval(secs => :age), clock_timestamp(),
        :running, :slots, :streams)
ON CONFLICT (id) DO UPDATE
   SET role = excluded.role, worker = excluded.worker, started_at = excluded.started_at,
       seen_at = excluded.seen_at, running = excluded.running, slots = excluded.slots,
       streams = excluded.streams
RETURNING id
"""
# A process that was only paused announces itself again.
_FORGET = """
DELETE FROM nodes WHERE seen_at < clock_timestamp() - make_interval(secs => :seconds) RETURNING id
"""
_WITHDRAW = "DELETE FROM nodes WHERE id = :id RETURNING id"
_READ = """
SELECT id, role, worker, started_at, seen_at, running, slots, streams FROM nodes ORDER BY role, id
"""


class Node(msgspec.Struct, frozen=True):
    """A process of the service."""

    id: str
    #: `all`, `web` or `worker`.
    role: str
    #: The runner's name of this process, as in `Owner`; None if it runs no syncs.
    worker: str | None
    started_at: datetime
    seen_at: datetime
    #: Syncs that it runs, and the most that it runs at once.
    running: int
    slots: int
    #: Its open streams.
    streams: int


class NodeStore:
    """The table of a cluster."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def announce(self, node: Node, keep: float) -> None:
        """Store the current figures of this process, and delete those of processes that have not
        announced themselves for `keep` seconds."""
        row = {name: getattr(node, name) for name in ("id", "role", "worker")}
        row |= {name: getattr(node, name) for name in ("running", "slots", "streams")}
        row["age"] = (node.seen_at - node.started_at).total_seconds()
        # Neither needs the other: two writes of one statement take less than a transaction of both.
        await self._engine.write(Statement(_ANNOUNCE, [row]), [])
        await self._engine.write(Statement(_FORGET, [{"seconds": keep}]), [])

    async def withdraw(self, node: str) -> None:
        """Delete the row of a process that ends."""
        await self._engine.write(Statement(_WITHDRAW, [{"id": node}]), [])

    async def all(self) -> Sequence[Node]:
        return [msgspec.convert(dict(row), Node) for row in await self._engine.read(_READ, {})]
