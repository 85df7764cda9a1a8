"""HTTP as it comes over a connection, before there is a request: what is no HTTP, heads without
end, bodies that do not come."""

import asyncio
from enum import Enum
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.edge.limits import DEFAULT, Limits, seldom
from service.errors import (
    BadRequest,
    HeadTooLarge,
    RequestTimeout,
    ServiceError,
    ShuttingDown,
    TooManyConnections,
)
from service.wire import responses

LARGEST_HEAD = 64 * 1024
"""Bytes of a head that has not ended; the server would keep any number of them."""
PATIENCE = 2.0
"""Seconds that what is under way gets at shutdown to come to its end."""


class Part(Enum):
    """What of a request is arriving."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class Protocol(HttpToolsProtocol):
    """The server's own, with limits, and with problems in the shape that all others have."""

    # In its dictionary they would be the ones too many for Python to share its keys: 2 KB a stream.
    __slots__ = (
        *("_answering", "_arrived", "_cut", "_limits", "_paused", "_reading", "_since", "_task"),
        *("_unended", "_unsent"),
    )

    def __init__(self, *args: Any, limits: Limits = DEFAULT, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._answering: RequestResponseCycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut = False
        # Bytes since the parser last came to the end of something: a head, a piece of a body.
        self._unended = 0
        self._reading = Part.NOTHING
        self._since = self.loop.time()  # what is awaited from the client has been since then
        self._arrived = 0  # bytes since then
        self._paused = 0.0  # when the unsent bytes were counted; 0: the client keeps up
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            seldom.warning("too_many_connections", self.loop.time(), open=len(self.connections))
            self._refuse(TooManyConnections(headers={"Retry-After": "5"}))

    def data_received(self, data: bytes) -> None:
        self._unended += len(data)
        self._arrived += len(data)
        super().data_received(data)
        if self._unended > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        self._unended = 0
        self._await(Part.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unended = 0
        self._await(Part.BODY)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 15.2: it knows no interim answers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unended = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unended = 0
        self._await(Part.NOTHING)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._reading is not Part.BODY:
            self._await(self._reading)
        super().on_response_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """An Upgrade is an offer: who does not take it up answers as if it were not there."""

    def send_400_response(self, msg: str) -> None:
        """What the server says of what it cannot read."""
        self._refuse(BadRequest())

    def _refuse(self, error: ServiceError) -> None:
        """The answer, unless another request waits for its own or has got a part of it; then hang
        up."""
        cycle = self._unanswered()
        if cycle is None or (cycle.more_body and self._untouched(cycle)):
            self._say(error)
        self._hang_up()

    def _say(self, error: ServiceError) -> None:
        answer = responses.problem(error)
        head = [*self.server_state.default_headers, *answer.raw_headers]
        lines = b"".join(b"%s: %s\r\n" % each for each in head)
        status = f"HTTP/1.1 {error.status} {error.title}\r\n".encode()
        body = bytes(answer.body)
        self.transport.write(status + lines + b"connection: close\r\n\r\n" + body)

    def _hang_up(self) -> None:
        """What is on its way goes first; what a request may yet come to is not sent."""
        self._disconnect()
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnect()
        if self._answering:
            self._answering.message_event.set()
            self._answering = None
        super().connection_lost(exc)

    def _disconnect(self) -> None:
        """Nothing more is sent. uvicorn tells this to the newest request alone: one that waits for
        the answer to an earlier one, where there are several."""
        for cycle in (self._answering, self.cycle):
            if cycle and not cycle.response_complete:
                cycle.disconnected = True

    def _unanswered(self) -> RequestResponseCycle | None:
        """The request that has no whole answer yet."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # none before the first
        return None if cycle is None or cycle.response_complete else cycle

    def _untouched(self, cycle: RequestResponseCycle) -> bool:
        return not cycle.response_started and not self.pipeline

    # Waiting ------------------------------------------------------------------------------------

    def _await(self, part: Part) -> None:
        self._reading, self._since, self._arrived = part, self.loop.time(), 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._count_unsent(self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused = 0.0

    def check(self, now: float) -> None:
        """Hang up on a client that is over a limit; called again and again."""
        if self.transport.is_closing() or self._paused:
            self._check_sending(now)
        elif self._reading is Part.BODY:
            self._check_body(now)
        elif not self._unanswered() and now - self._since > self._limits.head:
            self._give_up(silently=self._reading is Part.NOTHING)

    def _check_sending(self, now: float) -> None:
        """An answer that the client does not read, or that it must read before the end."""
        if not self._paused:
            self._count_unsent(now)
        elif now - self._paused > self._limits.window:
            taken = self._unsent - self.transport.get_write_buffer_size()
            if taken < self._least:
                self.transport.abort()
            self._count_unsent(now)

    def _check_body(self, now: float) -> None:
        cycle = self._unanswered()
        if self.flow.read_paused or (cycle and cycle.waiting_for_100_continue):
            self._await(Part.BODY)  # it is the service that does not read
        elif now - self._since > self._limits.window:
            if self._arrived < self._least:
                self._give_up(silently=cycle is None)
            self._await(Part.BODY)

    @property
    def _least(self) -> float:
        return self._limits.rate * self._limits.window

    def _count_unsent(self, now: float) -> None:
        self._paused, self._unsent = now, self.transport.get_write_buffer_size()

    def _give_up(self, silently: bool) -> None:
        if silently:
            self._hang_up()
        else:
            self._refuse(RequestTimeout())

    # The end ------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """A body that does not come, a source that does not answer, a client that does not read:
        nothing must hold up the end."""
        super().shutdown()
        if self._unanswered() or self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(PATIENCE, self._cut_off)

    def _cut_off(self) -> None:
        cycle = self._unanswered()
        if cycle and self._untouched(cycle):
            self._say(ShuttingDown(headers={"Retry-After": "5"}))
            self._hang_up()
        else:
            self._disconnect()
            self.transport.abort()
        if self._task:
            self._cut = True
            self._task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
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
            send = _Unframed(cycle, send)
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._cut:
                raise
        finally:
            self._task = None


class _Unframed:
    """`send` for HTTP/1.0, which knows no chunks: without a Content-Length the body ends with the
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
