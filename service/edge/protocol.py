"""HTTP/1.1 on a connection: invalid requests, limits on heads and bodies, and shutdown."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.edge.limits import SHUTDOWN_GRACE, throttled_log
from service.edge.sender import Sender
from service.edge.sockets import SocketProtocol
from service.errors import (
    BadRequest,
    HeadTooLarge,
    RequestTimeout,
    ServiceError,
    ShuttingDown,
    TooManyConnections,
)

MAX_HEAD = 64 * 1024
"""The maximum size of an incomplete request head, in bytes. uvicorn does not limit it."""
_NO_LINGER = struct.pack("ii", 1, 0)
"""A socket option: closing the socket discards unsent bytes and resets the connection."""
SOCKETS = b"/ws/"
"""The prefix of the paths that accept a WebSocket."""


class Receiving(Enum):
    """The part of a request that is being received."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class Protocol(Sender, HttpToolsProtocol):
    """uvicorn's protocol with limits. Its error responses are problems (RFC 9457), like those of
    the API."""

    # Slots: as dictionary entries these would exceed what Python shares between instances, which
    # costs 2 KB per stream.
    __slots__ = (
        *("_buffered", "_cancelled", "_receiving", "_received", "_since", "_started", "_task"),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started: RequestResponseCycle | None = None  # the newest that the application got
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        # Bytes since the parser last completed a head or a piece of a body.
        self._buffered = 0
        self._receiving = Receiving.NOTHING
        self._since = self.loop.time()  # when the wait for the client started
        self._received = 0  # bytes since then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            number = len(self.connections)
            throttled_log.warning("too_many_connections", self.loop.time(), open=number)
            self._refuse(TooManyConnections(headers={"Retry-After": "5"}))

    @property
    def is_new(self) -> bool:
        """Whether the connection is still waiting for the head of its first request."""
        return self.cycle is None

    def data_received(self, data: bytes) -> None:
        self._buffered += len(data)
        self._received += len(data)
        super().data_received(data)
        if self._buffered > MAX_HEAD and not self.transport.is_closing():
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        self._buffered = 0
        self._wait_for(Receiving.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._buffered = 0
        self._wait_for(Receiving.BODY)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 15.2: HTTP/1.0 has no interim responses
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._buffered = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._buffered = 0
        self._wait_for(Receiving.NOTHING)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._receiving is not Receiving.BODY:
            self._wait_for(self._receiving)
        super().on_response_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore an Upgrade without a log line: the client only offers it."""

    def _should_upgrade(self) -> bool:
        """Whether a request opens a WebSocket. uvicorn calls this several times for each request.
        An upgrade that does not wait for the response to an earlier request is ignored."""
        return (
            super()._should_upgrade()
            and self.url.startswith(SOCKETS)
            and (self.scope["method"], self.scope["http_version"]) == ("GET", "1.1")
            and not self._unanswered()
        )

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over. Unlike uvicorn, do not parse the head again: the parser of
        WebSockets has lower limits."""
        make = cast(Callable[..., SocketProtocol], self.ws_protocol_class)
        protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        self.connections.discard(self)
        protocol.connection_made(self.transport)
        if self.flow.write_paused:  # the transport reports a full buffer only once
            protocol.pause_writing()
        self.transport.set_protocol(protocol)
        protocol.open(self.url, self.headers)
        # These refer to this protocol. Such cycles delay freeing the memory.
        self.parser = self.cycle = None  # type: ignore[assignment]
        self._started = None

    def send_400_response(self, msg: str) -> None:
        """Respond with a problem. uvicorn calls this for a request that it cannot parse."""
        self._refuse(BadRequest())

    def _refuse(self, error: ServiceError) -> None:
        """Respond and close. Only close if the response would interrupt another response."""
        cycle = self._unanswered()
        if cycle is None or (cycle.more_body and self._can_answer(cycle)):
            self._write_problem(error)
        self._close()

    def _write_problem(self, error: ServiceError, scope: Any = None) -> None:
        cycle = self._unanswered()
        super()._write_problem(error, cycle.scope if cycle else scope)

    def _close(self) -> None:
        """Send what is already written, then close. Later output of requests is discarded."""
        self._mark_disconnected()
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._mark_disconnected()
        if self._started:
            self._started.message_event.set()
            self._started = None
        super().connection_lost(exc)

    def _mark_disconnected(self) -> None:
        """Discard further output. uvicorn marks the newest request only, which may be waiting for
        the response to an earlier one."""
        for cycle in (self._started, self.cycle):
            if cycle and not cycle.response_complete:
                cycle.disconnected = True

    def _unanswered(self) -> RequestResponseCycle | None:
        """The newest request if its response is not complete."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None before the first request
        return None if cycle is None or cycle.response_complete else cycle

    def _can_answer(self, cycle: RequestResponseCycle) -> bool:
        return not cycle.response_started and not self.pipeline

    # Slow clients -------------------------------------------------------------------------------

    def _wait_for(self, part: Receiving) -> None:
        self._receiving, self._since, self._received = part, self.loop.time(), 0

    def check(self, now: float) -> None:
        """Close the connection if it is over a limit. Called once per tick."""
        if self.transport.is_closing() or self._paused_at:
            self._check_sending(now)
        elif self._receiving is Receiving.BODY:
            self._check_body(now)
        elif not self._unanswered():
            idle = self._receiving is Receiving.NOTHING
            if now - self._since > (self._limits.idle if idle else self._limits.head):
                self._time_out(silently=idle)

    def _check_body(self, now: float) -> None:
        cycle = self._unanswered()
        if self.flow.read_paused or (cycle and cycle.waiting_for_100_continue):
            self._wait_for(Receiving.BODY)  # the service is not reading; the client is not slow
        elif now - self._since > self._limits.window:
            if self._received < self._min_bytes:
                self._time_out(silently=cycle is None)
            self._wait_for(Receiving.BODY)

    def _time_out(self, silently: bool) -> None:
        if silently:
            self._close()
        else:
            self._refuse(RequestTimeout())

    def _reset(self) -> None:
        """Cut the connection during a response that failed. A client of HTTP/1.0 only learns from a
        reset that the response is not complete."""
        self._mark_disconnected()
        bound = self.transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):  # the client has gone
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    # Shutdown -----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Cut the connection after SHUTDOWN_GRACE: a missing body, a source that does not respond
        or a client that does not read must not delay the shutdown."""
        super().shutdown()
        if self._unanswered() or self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(SHUTDOWN_GRACE, self._cut_off)

    def _cut_off(self) -> None:
        cycle = self._unanswered()
        if cycle and self._can_answer(cycle):
            self._write_problem(ShuttingDown(headers={"Retry-After": "5"}))
            self._close()
        else:
            self._mark_disconnected()
            self.transport.abort()
        if self._task:
            self._cancelled = True
            self._task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._started = cycle
        super()._start_asgi_task(cycle, cast(ASGI3Application, partial(self._run, app, cycle)))

    async def _run(
        self,
        app: ASGI3Application,
        cycle: RequestResponseCycle,
        scope: Any,
        receive: Any,
        send: Any,
    ) -> None:
        self._task = asyncio.current_task()
        if scope["http_version"] == "1.0":
            send = _SendUnframed(cycle, send)
        try:
            await app(scope, receive, send)
            if cycle.response_started and not (cycle.response_complete or cycle.disconnected):
                self._reset()
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
        finally:
            self._task = None


class _SendUnframed:
    """`send` for HTTP/1.0, which has no chunks: without a Content-Length the body ends with the
    connection (RFC 9112, 6.3). uvicorn sends chunks, or counts down to the length."""

    def __init__(self, cycle: RequestResponseCycle, send: Any) -> None:
        self._cycle = cycle
        self._send = send
        self._without_length = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            bodiless = self._cycle.scope["method"] == "HEAD" or message["status"] in (204, 304)
            names = {name.lower() for name, _ in message.get("headers", ())}
            if not bodiless and b"content-length" not in names:
                self._without_length = True
                self._cycle.chunked_encoding = False
        elif self._without_length:
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)
