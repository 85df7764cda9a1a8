"""Limits of HTTP calls: how many run at once per host, and how long one may take."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Protocol, TypeVar

import anyio

from connectors.base import ConnectorError, Retryable

DEADLINE = 60.0
"""Seconds that a call may spend on the network, all attempts together. Pauses between attempts and
the wait for a slot do not count. The HTTP library limits each read, not the whole call."""
SLOW = 5.0
"""Seconds after which a call gives its slot back and is announced to the user."""
CALLS_AT_ONCE = 16
"""Concurrent calls per host. More would only compete for the one processor of this process and
delay its other requests. The limit is per host, so that a slow host delays only its own calls."""


class Client(Protocol):
    """An HTTP client of any library."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Client)


class CallSlot(Generic[C]):
    """The slot of one call among those of its host, and the client that it uses."""

    def __init__(self, slots: anyio.Semaphore, client: C) -> None:
        self._slots: anyio.Semaphore | None = slots
        self.client = client

    def give_back(self) -> None:
        slots, self._slots = self._slots, None
        if slots:
            slots.release()


class Host(Generic[C]):
    """The connections to one host: one client per concurrent call, the last used one first.

    One pool for all calls would be slower: it searches all its connections, and polls the system
    about each idle one, at the start and at the end of every call."""

    def __init__(self, new_client: Callable[[], C]) -> None:
        self._new_client = new_client
        self._slots = anyio.Semaphore(CALLS_AT_ONCE)
        self.idle: list[C] = []

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[CallSlot[C]]:
        await self._slots.acquire()
        client = self.idle.pop() if self.idle else self._new_client()
        slot = CallSlot(self._slots, client)
        try:
            yield slot
        finally:
            slot.give_back()
            if len(self.idle) < CALLS_AT_ONCE:
                self.idle.append(client)
            else:  # slow calls gave their slots to others, which brought their own clients
                with anyio.CancelScope(shield=True):
                    await client.aclose()


class TimeBudget:
    """The time that a call may spend on the network."""

    def __init__(self, host: str) -> None:
        self._host = host[:100]
        self.left = DEADLINE

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Raises Retryable when the time is used up."""
        begun = anyio.current_time()
        try:
            with anyio.fail_after(max(self.left, 0.0)):
                yield
        except TimeoutError as error:
            text = f"{self._host} did not answer within {DEADLINE:,.0f} s. Try again later."
            raise Retryable(text) from error
        finally:
            self.left -= anyio.current_time() - begun


class SlowCall:
    """Watches for a slow call: gives its slot back at once and announces it to the user, once."""

    def __init__(self, announce: Callable[[], Awaitable[None]]) -> None:
        self._announce = announce
        self._announcement: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, slot: CallSlot[C]) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(SLOW, self._on_slow, slot)
        try:
            yield
        finally:
            timer.cancel()
            if self._announcement:
                await self._announcement

    def _on_slow(self, slot: CallSlot[C]) -> None:
        slot.give_back()
        if self._announcement is None:
            self._announcement = asyncio.get_running_loop().create_task(self._announce_once())

    async def _announce_once(self) -> None:
        with suppress(ConnectorError):  # a caller that refuses to wait has its own deadline
            await self._announce()
