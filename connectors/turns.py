"""Fair turns on the event loop: reading a page or a slice of a report is work, and the work of a
hundred syncs at once must not keep a poll or a start waiting."""

import anyio
from anyio.lowlevel import checkpoint


class FairTurns:
    """Lets one after the other go on, at most one in each round of the loop."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def take(self) -> None:
        """Before a few milliseconds of work."""
        async with self._lock:
            await checkpoint()
