"""The shared part of the protocols of a connection: limits of slow clients, and problem
responses."""

import asyncio
from typing import Any

from uvicorn.server import ServerState

from service.edge.limits import DEFAULT, Limits
from service.edge.request_ids import HEADER, request_id_of
from service.errors import ServiceError
from service.wire import responses


class Sender(asyncio.Protocol):
    """A mixin of uvicorn's protocols that disconnects a client that reads too slowly."""

    __slots__ = ("_limits", "_paused_at", "_unsent")

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    server_state: ServerState

    def __init__(self, *args: Any, limits: Limits = DEFAULT, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._paused_at = 0.0  # when unsent bytes were last counted; 0 if the client keeps up
        self._unsent = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._count_unsent(self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused_at = 0.0

    def _check_sending(self, now: float) -> None:
        """Check a response that the client reads slowly, also while the connection closes."""
        if not self._paused_at:
            self._count_unsent(now)
        elif now - self._paused_at > self._limits.window:
            sent = self._unsent - self.transport.get_write_buffer_size()
            if sent < self._min_bytes:
                self.transport.abort()
            self._count_unsent(now)

    @property
    def _min_bytes(self) -> float:
        return self._limits.rate * self._limits.window

    def _count_unsent(self, now: float) -> None:
        self._paused_at, self._unsent = now, self.transport.get_write_buffer_size()

    def _write_problem(self, error: ServiceError, scope: Any = None) -> None:
        """Write a whole response that announces the end of the connection. `scope` is that of the
        request, if there is one."""
        response = responses.problem(error)
        headers = [*self.server_state.default_headers, *response.raw_headers]
        headers.append((HEADER, request_id_of(scope).encode()))
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        status = f"HTTP/1.1 {error.status} {error.title}\r\n".encode()
        body = bytes(response.body)
        self.transport.write(status + lines + b"connection: close\r\n\r\n" + body)
