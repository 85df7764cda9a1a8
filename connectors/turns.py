"""Fair use of the event loop: parsing a page or a piece of a report takes milliseconds, and a
hundred syncs at once must not delay a status request or a start."""

import anyio
from anyio.lowlevel import checkpoint


class FairTurns:
    """Admits one piece of work per iteration of the event loop, in order of arrival."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def take(self) -> None:
        """Wait for a turn. Await this before a few milliseconds of work."""
        async with self._lock:
            await checkpoint()
