"""The server: uvicorn with connection limits and an orderly shutdown."""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, cast

import anyio
import uvicorn
from starlette.types import ASGIApp

from service.edge import limits
from service.edge.protocol import Protocol
from service.edge.sockets import SocketProtocol
from service.errors import StartupError
from service.streams.hub import Hub

SHUTDOWN_SECONDS = 3
"""Seconds that open responses get at shutdown. Streams end within the first third."""
FIRST_REQUEST_SECONDS = 0.5
"""Seconds that a new connection gets at shutdown to send its request."""
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
            ws=cast(Any, partial(SocketProtocol, limits=allowed)) if hub is not None else "none",
            ws_per_message_deflate=False,
            ws_ping_interval=None,  # the hub sends pings
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

    def _connections(self) -> Iterable[Protocol | SocketProtocol]:
        return cast(Iterable[Protocol | SocketProtocol], self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # a second signal stops the server at once
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another process reserved the same address and listened first
            host, port = sockets[0].getsockname()[:2] if sockets else ("", 0)
            raise _cannot_listen(host, port, error) from error

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        waiting = _accept_all(sockets or [])
        for server in self.servers:
            server.close()
        for accepted in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
        async with anyio.create_task_group() as group:
            if self._hub is not None:
                group.start_soon(self._hub.close, SHUTDOWN_SECONDS / 3)
                await self._read_first_requests()
            await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        """Create the protocol of a connection, as uvicorn does."""
        protocol: asyncio.Protocol = cast(Any, self.config.http_protocol_class)(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def _read_first_requests(self) -> None:
        """Wait for the first requests of new connections: a proxy would not repeat a request that
        changes something."""
        with anyio.move_on_after(FIRST_REQUEST_SECONDS):
            while any(one.is_new for one in self._connections()):  # noqa: ASYNC110 - no signal
                await anyio.sleep(0.01)


def _accept_all(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Accept the connections that wait in the kernel, which resets them when the socket is
    closed."""
    accepted: list[socket.socket] = []
    for bound in sockets:
        with suppress(OSError):  # BlockingIOError: no other connection waits
            while True:
                connection, _ = bound.accept()
                connection.setblocking(False)
                accepted.append(connection)
    return accepted


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket: connections wait until the server runs."""
    bound = bind(host, port)
    bound.listen(2048)
    return bound


def bind(host: str, port: int) -> socket.socket:
    """Reserve an address. Connections are refused until the server runs, so that a proxy sends its
    requests to other processes meanwhile."""
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
        raise _cannot_listen(host, port, error) from error
    bound.setblocking(False)
    return bound


def _cannot_listen(host: str, port: int, error: OSError) -> StartupError:
    return StartupError(
        f"Cannot listen on {host}:{port}: {error.strerror}. Choose another PORT or HOST."
    )


def address(bound: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
