"""The server: uvicorn with connection limits and an orderly shutdown."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, cast

import anyio
import uvicorn
from starlette.types import ASGIApp

from service.edge import limits
from service.edge.protocol import Protocol
from service.errors import StartupError
from service.streams.hub import Hub

SHUTDOWN_SECONDS = 3
"""Seconds that open responses get at shutdown. Streams end within the first third."""
MAX_UNSENT = 16 * 1024
"""Bytes that may wait in the kernel for a slow client: more would hide stale events."""


class Server(uvicorn.Server):
    """uvicorn, except that streams end before it waits for responses, a signal is not a failure,
    and connections are limited. Without a hub (the sandbox), it is plain uvicorn."""

    def __init__(
        self,
        app: ASGIApp,
        hub: Hub | None,
        signals: bool = True,
        allowed: limits.Limits = limits.DEFAULT,
    ) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            http=cast(Any, partial(Protocol, limits=allowed)) if hub is not None else "auto",
            timeout_keep_alive=cast(int, allowed.idle),  # uvicorn accepts fractions too
            # No WebSockets: uvicorn would log a handshake with its query, including the ticket.
            ws="none",
            log_config=None,
            server_header=False,
            # The service itself applies TRUSTED_PROXIES. The sandbox uses uvicorn's default, which
            # trusts a TLS proxy on this machine.
            proxy_headers=hub is None,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self._hub = hub
        self._signals = signals
        self._limits = allowed

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._signals:  # of two servers in a process, one handles signals
            yield
            return
        with super().capture_signals():
            yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:
            if self._hub is not None:
                group.start_soon(limits.check_forever, self._connections, self._limits.tick)
            await super().serve(sockets)
            group.cancel_scope.cancel()

    def _connections(self) -> Iterable[Protocol]:
        return cast(Iterable[Protocol], self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # a second signal stops the server at once
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:
            if self._hub is not None:
                group.start_soon(self._hub.close, SHUTDOWN_SECONDS / 3)
            await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket. Its address is known before the server runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without IPPROTO_TCP asyncio does not set TCP_NODELAY, and every response takes 44 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise StartupError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another PORT or HOST."
        ) from error
    bound.listen(2048)
    bound.setblocking(False)
    return bound


def address(bound: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
