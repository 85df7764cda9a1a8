"""Limits of connections: the slowness of a client, and the number of open connections."""

import asyncio
import concurrent.futures
import errno
import os
import resource
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import msgspec
import structlog

MAX_CONNECTIONS = 20_000
RESERVED = 256
"""File descriptors reserved for the database, the sources and files."""
LOG_INTERVAL = 10.0
"""Minimum seconds between two log lines of the same event."""
BATCH = 500
"""Connections that are checked before other tasks run."""
SHUTDOWN_GRACE = 2.0
"""Seconds that requests in progress, and sockets that are closing, get at shutdown."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE)

log = structlog.get_logger()


class Limits(msgspec.Struct, frozen=True):
    """Limits of one server. Times are in seconds. A connection over a limit is closed."""

    #: Seconds for a complete head, from its first byte.
    head: float = 15.0
    #: Seconds without a byte before a request. Longer than clients keep an idle connection
    #: (httpx 5 s, aiohttp 15 s): if the server closes it first, a request may be lost on it.
    idle: float = 20.0
    #: Period over which `rate` is measured. Also the longest time without a byte of an expected
    #: body or of a response that is being sent, such as the events of a stream.
    window: float = 30.0
    #: Minimum bytes per second of a body, and of a response that the client reads slowly.
    rate: float = 1024.0
    #: Time between two checks.
    tick: float = 1.0
    #: Maximum open connections. Further ones get a 503 response.
    connections: int = MAX_CONNECTIONS


DEFAULT = Limits()


class Checked(Protocol):
    """A connection that closes itself when it is over a limit."""

    def check(self, now: float) -> None: ...


class ThrottledLog:
    """Logs a warning at most once per LOG_INTERVAL, with the number of occurrences since."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def warning(self, event: str, now: float, **fields: Any) -> None:
        self._times[event] = self._times.get(event, 0) + 1
        if now >= self._next.get(event, now):
            log.warning(event, times=self._times.pop(event), **fields)
            self._next[event] = now + LOG_INTERVAL


throttled_log = ThrottledLog()


async def check_forever(connections: Callable[[], Iterable[Checked]], tick: float) -> None:
    """Check every open connection once per tick."""
    loop = asyncio.get_running_loop()
    while True:
        await anyio.sleep(tick)
        _check_descriptors(loop.time())
        await _check_all(tuple(connections()), loop)


async def _check_all(connections: Iterable[Checked], loop: asyncio.AbstractEventLoop) -> None:
    """Check all connections. A function of its own, so that no variable keeps a connection, and its
    stream, until the next check."""
    for number, connection in enumerate(connections):
        connection.check(loop.time())
        if number % BATCH == BATCH - 1:
            await anyio.lowlevel.checkpoint()


def raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors to the hard limit: many systems start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS refuses "unlimited"
        log.warning("descriptors_not_raised", soft=soft, hard=hard, reason=str(error))


def max_connections() -> int:
    """The number of connections that the file descriptors allow. At the system's limit `accept`
    fails: uvloop then closes new connections without a response or a log line, and neither a
    database nor a source can be opened."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - min(RESERVED, soft // 2)))


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exception handler of a loop. asyncio's own logs a traceback for every failed accept, and for
    a call of a thread that the shutdown cancels, for which anyio has an error of its own."""
    error = context.get("exception")
    if isinstance(error, concurrent.futures.CancelledError):
        return
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        throttled_log.warning("descriptors_exhausted", loop.time(), reason=str(error.strerror))
    else:
        loop.default_exception_handler(context)


def _check_descriptors(now: float) -> None:
    """Log if no file descriptor is left: uvloop does not report an accept that fails for this."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        throttled_log.warning("descriptors_exhausted", now, reason=str(error.strerror))
