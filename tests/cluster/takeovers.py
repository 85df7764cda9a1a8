"""How long the syncs of a dead or paused worker wait for another one."""

import signal
from collections.abc import Sequence
from time import monotonic

import anyio
from anyio import to_thread

from tests.cluster.nodes import Cluster

LOOK_EVERY = 0.05
_LOST = """
SELECT sync.id, sync.version FROM procrastinate_jobs AS job JOIN sync_progress AS sync
    ON sync.id = job.lock
 WHERE job.status = 'doing' AND job.worker_id = %s
   AND sync.status IN ('pending', 'in_progress')
"""
_VERSIONS = "SELECT id, version FROM sync_progress WHERE id = ANY(%s)"


class Takeovers:
    """Measures, for each sync that a killed or paused worker ran, the time to its next version."""

    def __init__(self, nodes: Cluster) -> None:
        self._nodes = nodes
        #: The version and the time of the kill, by sync.
        self._waiting: dict[str, tuple[int, float]] = {}
        self.seconds: list[float] = []
        self.kills = 0

    async def kill(self, number: int) -> None:
        """SIGKILL this worker. A COMMIT that it has sent may still be done, so the versions are
        read a moment later."""
        victim = self._nodes.workers[number]
        engine_id = self._nodes.engine_id(victim)
        victim.kill()
        await self._note(engine_id)
        self.kills += 1

    async def pause(self, number: int, seconds: float) -> None:
        """SIGSTOP this worker for so long."""
        victim = self._nodes.workers[number]
        victim.popen.send_signal(signal.SIGSTOP)
        try:
            await self._note(self._nodes.engine_id(victim))
            await anyio.sleep(seconds)
        finally:
            victim.popen.send_signal(signal.SIGCONT)

    async def _note(self, engine_id: int) -> None:
        """Note what this worker runs now."""
        at = monotonic()
        await anyio.sleep(0.1)
        for row in await to_thread.run_sync(self._nodes.read, _LOST, engine_id):
            self._waiting.setdefault(row["id"], (row["version"], at))

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await anyio.sleep(LOOK_EVERY)
            if self._waiting:
                rows = await to_thread.run_sync(self._nodes.read, _VERSIONS, list(self._waiting))
                now = monotonic()
                for row in rows:
                    self._look(row["id"], row["version"], now)

    def _look(self, sync_id: str, version: int, now: float) -> None:
        lost_at, at = self._waiting[sync_id]
        if version > lost_at:
            self.seconds.append(now - at)
            del self._waiting[sync_id]

    @property
    def open(self) -> int:
        """Syncs that no worker has taken over yet."""
        return len(self._waiting)


def share(figures: Sequence[float], part: float) -> float:
    """The figure that this part of the figures does not exceed; 0 without figures."""
    return sorted(figures)[min(int(len(figures) * part), len(figures) - 1)] if figures else 0.0
