"""The turns of calls at their host, and how long a call may take."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Protocol, TypeVar

import anyio

from connectors.base import ConnectorError, Retryable

DEADLINE = 60.0
"""Seconds that a call may spend on the network, all tries together. Pauses between them and the
wait for a turn are not counted. The HTTP library limits each read, not the whole."""
SLOW = 5.0
"""Seconds after which a call returns the turn of its host and is announced to the user."""
CALLS_AT_ONCE = 16
"""Calls on their way to one host: more would only take turns at this process's one processor, and
what else it has to answer would wait for all of them. A slow host holds up nobody but its own."""


class Client(Protocol):
    """What a call is sent with."""

    async def aclose(self) -> None: ...


C = TypeVar("C", bound=Client)


class Turn(Generic[C]):
    """The place of one call among those of its host, and the client that it uses."""

    def __init__(self, turns: anyio.Semaphore, client: C) -> None:
        self._turns: anyio.Semaphore | None = turns
        self.client = client

    def give_back(self) -> None:
        turns, self._turns = self._turns, None
        if turns:
            turns.release()


class Host(Generic[C]):
    """One host's connections: a client of its own for each call under way, the warmest one first.

    (One pool for all calls would search all its connections, and ask the system about each idle
    one, at the beginning and at the end of every call.)"""

    def __init__(self, new_client: Callable[[], C]) -> None:
        self._new_client = new_client
        self._turns = anyio.Semaphore(CALLS_AT_ONCE)
        self.idle: list[C] = []

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn[C]]:
        await self._turns.acquire()
        client = self.idle.pop() if self.idle else self._new_client()
        turn = Turn(self._turns, client)
        try:
            yield turn
        finally:
            turn.give_back()
            if len(self.idle) < CALLS_AT_ONCE:
                self.idle.append(client)
            else:  # slow calls had returned their turns to others
                with anyio.CancelScope(shield=True):
                    await client.aclose()


class Patience:
    """The time that a call may spend on the network."""

    def __init__(self, host: str) -> None:
        self._host = host[:100]
        self.left = DEADLINE

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Raises Retryable when the time is over."""
        begun = anyio.current_time()
        try:
            with anyio.fail_after(max(self.left, 0.0)):
                yield
        except TimeoutError as error:
            text = f"{self._host} did not answer within {DEADLINE:,.0f} s. Try again later."
            raise Retryable(text) from error
        finally:
            self.left -= anyio.current_time() - begun


class Slow:
    """When a call takes long, its turn is returned at once and the user is informed, once."""

    def __init__(self, announce: Callable[[], Awaitable[None]]) -> None:
        self._announce = announce
        self._told: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, turn: Turn[C]) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(SLOW, self._happen, turn)
        try:
            yield
        finally:
            timer.cancel()
            if self._told:
                await self._told

    def _happen(self, turn: Turn[C]) -> None:
        turn.give_back()
        if self._told is None:
            self._told = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        with suppress(ConnectorError):  # a caller that refuses to wait has a deadline of its own
            await self._announce()
