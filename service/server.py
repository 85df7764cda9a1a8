"""The server: uvicorn, with the ends and the limits that this service needs."""

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

GRACE = 3
"""Seconds that open answers get at shutdown; streams are told to end at its beginning."""
UNSENT = 16 * 1024
"""Bytes that may wait in the kernel for a slow reader: more would hide stale events."""


class Server(uvicorn.Server):
    """uvicorn, but its streams end before it waits for them, a signal is no failure, and every
    connection is held to limits."""

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
            timeout_keep_alive=cast(int, allowed.idle),  # a part of a second will do, too
            # There is none. Its handshakes would be logged with the query, where tickets are.
            ws="none",
            log_config=None,
            server_header=False,
            # Whom the service believes is set by TRUSTED_PROXIES, for all of it in one place. The
            # sandbox believes what uvicorn does: a TLS proxy on this machine.
            proxy_headers=hub is None,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._hub = hub
        self._signals = signals
        self._limits = allowed

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._signals:  # one server of two listens to them
            yield
            return
        with super().capture_signals():
            yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:
            if self._hub is not None:
                group.start_soon(limits.watch, self._watched, self._limits.tick)
            await super().serve(sockets)
            group.cancel_scope.cancel()

    def _watched(self) -> Iterable[Protocol]:
        return cast(Iterable[Protocol], self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # the second time, at once
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:
            if self._hub is not None:
                group.start_soon(self._hub.close, GRACE / 3)
            await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; its address may be asked for before anybody is served."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not switch Nagle off and every answer would take 44 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
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
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
