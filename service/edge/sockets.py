"""WebSocket on a connection (RFC 6455): uvicorn's protocol with limits, pings and shutdown.

A socket only sends. Messages from the client are discarded; a client that sends too much is
disconnected. There is no compression: its buffers would cost more memory than everything else."""

import asyncio
import logging
from collections.abc import Generator, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Message
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets import protocol
from websockets.datastructures import Headers
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from service.edge.limits import SHUTDOWN_GRACE
from service.edge.sender import Sender
from service.errors import BadRequest, ServiceError, ShuttingDown
from service.wire import responses
from service.wire.frames import FRAME, CloseCode

MAX_MESSAGE = 4 * 1024
"""Bytes of one message from a client."""
MAX_RECEIVED = 64 * 1024
"""Bytes of everything that a client sends during the life of a socket: pongs are a few hundred."""
LINGER = 1.0
"""Seconds that a client gets to read why its socket failed."""

log = logging.getLogger(__name__)
# The libraries log addresses, which contain tickets, as information.
log.setLevel(logging.WARNING)


class Handshake(ServerProtocol):
    """The state of a connection. Its HTTP request has been parsed before."""

    def parse(self) -> Generator[None]:
        return protocol.Protocol.parse(self)

    def reject(self, status: int, text: str) -> Response:
        """Refuse an invalid handshake with a problem."""
        error: ServiceError = ServiceError()
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            error = BadRequest(" ".join(text.split()))
        problem = responses.problem(error)
        headers = Headers(problem.headers.items())
        headers["Connection"] = "close"
        headers["Sec-WebSocket-Version"] = "13"
        return Response(error.status, error.title, headers, bytes(problem.body))


class Inbox:
    """The messages for `receive`: the start and the end of a socket. uvicorn's queue is 3 KB
    larger."""

    __slots__ = ("_arrived", "_messages")

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived: asyncio.Future[None] | None = None

    def put_nowait(self, message: Message) -> None:
        self._messages.append(message)
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)

    async def get(self) -> Message:
        while not self._messages:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._messages.pop(0)


class SocketProtocol(Sender, WebSocketsSansIOProtocol):
    """uvicorn's protocol with limits. It sends encoded frames besides the messages of ASGI."""

    __slots__ = ("_cancelled", "_failed", "_received", "_task", "server_state")

    #: Its request is complete before the connection becomes a socket.
    is_new = False

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **options: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **options)
        self.server_state = server_state
        self.logger = log
        self.queue = cast(Any, Inbox())
        self.conn = Handshake(max_size=MAX_MESSAGE, logger=log)
        self._received = 0
        self._failed = False
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    def open(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Start the handshake of a request whose head has been parsed."""
        names = [(name.decode("ascii"), value.decode("latin-1")) for name, value in headers]
        self.handle_connect(Request(url.decode("ascii"), Headers(names)))
        if not self.transport.is_closing():
            self.transport.pause_reading()  # until the application has accepted

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.conn.parser.close()  # its frame refers to `conn`, which delays freeing the memory

    # Sending ------------------------------------------------------------------------------------

    async def send(self, message: Any) -> None:
        """Send a message. Like a response over HTTP, it is discarded if the client has gone."""
        if message["type"] == FRAME:
            await self.writable.wait()
            if self.conn.state is protocol.State.OPEN and not self.transport.is_closing():
                self.transport.write(message["frame"])
        elif not self.close_sent:
            with suppress(ClientDisconnected):
                await super().send(message)
            if message["type"] == "websocket.accept" and self.handshake_complete:
                del self.request, self.response  # so that their memory is freed
                self.transport.resume_reading()

    async def receive(self) -> Any:
        return await self.queue.get()

    async def run_asgi(self) -> None:
        """Run the application. It accepts each socket and closes it by itself."""
        self._task = asyncio.current_task()
        try:
            await self.app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._cancelled:
                raise
        except Exception:
            log.exception("socket_failed")
            await self.send({"type": "websocket.accept"}) if not self.handshake_complete else None
            self._fail(CloseCode.FAILED)
        finally:
            self._task = None
        if self.close_timer is None:
            self.transport.close()

    # Receiving ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._failed:
            return
        if self._received > MAX_RECEIVED:
            self._fail(CloseCode.TOO_LARGE, "too many messages")
        else:
            super().data_received(data)

    def handle_text(self, event: Frame) -> None:
        """Discard a part of a message. uvicorn would store it and wake the application."""

    handle_bytes = handle_cont = handle_text

    def handle_ping(self) -> None:
        """Send the pong, unless the client does not read: pongs must not fill the memory."""
        pong = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(pong))

    def check(self, now: float) -> None:
        """Disconnect a client that reads too slowly. Called once per tick."""
        if self.transport.is_closing() or self._paused_at:
            self._check_sending(now)

    def _fail(self, code: CloseCode, reason: str = "") -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """End the connection after a close frame for an error. It is not closed at once: while the
        client sends, that would reset it, and the client would not see the frame."""
        self._failed = self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.TOO_LARGE})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(LINGER, self.transport.close)

    # Shutdown -----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Cut the connection after SHUTDOWN_GRACE. The hub closes sockets before that."""
        self.loop.call_later(SHUTDOWN_GRACE, self._cut_off)

    def _cut_off(self) -> None:
        if self.transport.is_closing():
            pass
        elif not self.handshake_complete:
            self.handshake_complete = True
            self._write_problem(ShuttingDown(headers={"Retry-After": "5"}))
            self.transport.close()
        else:
            super().shutdown()
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        if self._task:
            self._cancelled = True
            self._task.cancel()
