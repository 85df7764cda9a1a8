"""HTTP as it comes over a connection, before there is a request: what is no HTTP, heads without
end, bodies that do not come."""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api import wire
from service.errors import BadRequest, HeadTooLarge, ServiceError, ShuttingDown

LARGEST_HEAD = 64 * 1024
"""Bytes of a head that has not ended; the server would keep any number of them."""
PATIENCE = 2.0
"""Seconds that what is under way gets at shutdown to come to its end."""


class Protocol(HttpToolsProtocol):
    """The server's own, with limits, and with problems in the shape that all others have."""

    # In its dictionary they would be the ones too many for Python to share its keys: 2 KB a stream.
    __slots__ = ("_cut", "_task", "_unended")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._task: asyncio.Task[None] | None = None
        self._cut = False
        # Bytes since the parser last came to the end of something: a head, a piece of a body.
        self._unended = 0

    def data_received(self, data: bytes) -> None:
        self._unended += len(data)
        super().data_received(data)
        if self._unended > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        self._unended = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unended = 0
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 15.2: it knows no interim answers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unended = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unended = 0
        super().on_message_complete()

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
        answer = wire.problem(error)
        head = [*self.server_state.default_headers, *answer.raw_headers]
        lines = b"".join(b"%s: %s\r\n" % each for each in head)
        status = f"HTTP/1.1 {error.status} {error.title}\r\n".encode()
        body = bytes(answer.body)
        self.transport.write(status + lines + b"connection: close\r\n\r\n" + body)

    def _hang_up(self) -> None:
        """What is on its way goes first; what a request may yet come to is not sent."""
        if cycle := self._unanswered():
            cycle.disconnected = True
        self.transport.close()

    def _unanswered(self) -> RequestResponseCycle | None:
        """The request that has no whole answer yet."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # none before the first
        return None if cycle is None or cycle.response_complete else cycle

    def _untouched(self, cycle: RequestResponseCycle) -> bool:
        return not cycle.response_started and not self.pipeline

    # The end ------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """A body that does not come, a source that does not answer, a client that does not read:
        nothing must hold up the end."""
        super().shutdown()
        if self._unanswered():
            asyncio.get_running_loop().call_later(PATIENCE, self._cut_off)

    def _cut_off(self) -> None:
        cycle = self._unanswered()
        if cycle is None:
            return
        if self._untouched(cycle):
            self._say(ShuttingDown(headers={"Retry-After": "5"}))
            self._hang_up()
        else:
            cycle.disconnected = True
            self.transport.abort()
        if self._task:
            self._cut = True
            self._task.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
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
