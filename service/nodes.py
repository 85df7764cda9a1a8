"""The processes of the service, for operators. In a cluster, each one announces itself."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import anyio
import structlog

from service.runner.base import Runner, this_process
from service.store.engine import Unavailable
from service.store.nodes import Node, NodeStore

EVERY = 2.0
"""Seconds between two announcements."""
KEPT = 60.0
"""Seconds for which a process that no longer announces itself is listed."""
LONGEST_WITHDRAWAL = 0.5
"""Seconds for which an ending process waits for the database: the others notice its end anyway."""

log = structlog.get_logger()


class Nodes:
    """This process, and the others of its cluster."""

    def __init__(
        self, role: str, runner: Runner, streams: Callable[[], int], store: NodeStore | None
    ) -> None:
        """`streams` returns the number of open streams; `store` is None outside a cluster."""
        self._role = role
        self._runner = runner
        self._streams = streams
        self._store = store
        self._started_at = datetime.now(UTC)

    def here(self) -> Node:
        """This process, with its current figures."""
        worker = self._runner.here()
        return Node(
            id=this_process(),
            role=self._role,
            worker=worker.name,
            started_at=self._started_at,
            seen_at=datetime.now(UTC),
            running=worker.running,
            slots=worker.slots,
            streams=self._streams(),
        )

    async def all(self) -> Sequence[Node]:
        """This process first. Raises Unavailable."""
        here = self.here()
        others = await self._store.all() if self._store else ()
        return [here, *(node for node in others if node.id != here.id)]

    async def run(self) -> None:
        """Announce this process until cancelled; then withdraw it."""
        if self._store is None:
            return
        try:
            while True:
                try:
                    await self._store.announce(self.here(), KEPT)
                except Unavailable:
                    pass  # announced again soon
                except Exception:
                    log.exception("node_not_announced")
                await anyio.sleep(EVERY)
        finally:
            with anyio.move_on_after(LONGEST_WITHDRAWAL, shield=True):
                with suppress(Unavailable):  # the others stop listing it
                    await self._store.withdraw(this_process())
