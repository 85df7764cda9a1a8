"""How long a connection may keep the service waiting, and how many connections there may be."""

import asyncio
import errno
import os
import resource
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import msgspec
import structlog

MOST_CONNECTIONS = 20_000
RESERVED = 256
"""Descriptors that connections leave to the database, the sources and files."""
SELDOM = 10.0
"""Seconds between two log lines of one kind."""
AT_ONCE = 500
"""Connections that are checked before others get a turn."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE)

log = structlog.get_logger()


class Limits(msgspec.Struct, frozen=True):
    """Times are in seconds. A client that keeps to none of these gets its connection closed."""

    #: For a whole head, from the connection's begin, the last answer, or the head's first byte.
    head: float = 15.0
    #: Between two requests, without a byte.
    idle: float = 5.0
    #: Over which the rate is measured, and so the longest time without a byte of a body that is
    #: awaited, or of an answer that is being sent (a stream's events included).
    window: float = 30.0
    #: Least bytes a second of a body, and of an answer that the client is slow to read.
    rate: float = 1024.0
    #: Between two checks.
    tick: float = 1.0
    #: Open connections; beyond it a new one is answered with 503.
    connections: int = MOST_CONNECTIONS


DEFAULT = Limits()


class Watched(Protocol):
    """A connection that closes itself when it is over a limit."""

    def check(self, now: float) -> None: ...


class Seldom:
    """Logs a warning at most once in `SELDOM` seconds, with the number of times since the last."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def warning(self, event: str, now: float, **more: Any) -> None:
        self._times[event] = self._times.get(event, 0) + 1
        if now >= self._next.get(event, now):
            log.warning(event, times=self._times.pop(event), **more)
            self._next[event] = now + SELDOM


seldom = Seldom()


async def watch(connections: Callable[[], Iterable[Watched]], tick: float) -> None:
    """Check every connection, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        await anyio.sleep(tick)
        _probe(loop.time())
        for number, each in enumerate(tuple(connections())):
            each.check(loop.time())
            if number % AT_ONCE == AT_ONCE - 1:
                await anyio.lowlevel.checkpoint()


def raise_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one: many systems start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS refuses "unlimited"
        log.warning("descriptors_not_raised", soft=soft, hard=hard, reason=str(error))


def most_connections() -> int:
    """As many as the descriptors allow: at the system's limit accept fails, and uvloop then closes
    new connections without an answer or a log line; nor could a database or a source be opened."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, soft - min(RESERVED, soft // 2)))


def log_exhaustion(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler of a loop: asyncio's own logs a trace for every accept that fails."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        seldom.warning("descriptors_exhausted", loop.time(), reason=str(error.strerror))
    else:
        loop.default_exception_handler(context)


def _probe(now: float) -> None:
    """Whether a descriptor is left: uvloop does not report an accept that fails for want of one."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        seldom.warning("descriptors_exhausted", now, reason=str(error.strerror))
