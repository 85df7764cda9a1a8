"""HTTP as it comes over a connection, before there is a request: what is no HTTP, heads without
end, bodies that do not come."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api import wire
from service.errors import BadRequest, HeadTooLarge, ServiceError

LARGEST_HEAD = 64 * 1024
"""Bytes of a head that has not ended; the server would keep any number of them."""
PATIENCE = 1.0
"""Seconds that a body gets at shutdown to come to its end."""


class Protocol(HttpToolsProtocol):
    """The server's own, with limits, and with problems in the shape that all others have."""

    _unended = 0
    """Bytes since the parser last came to the end of something: a head, a piece of a body."""

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
        if cycle is None or (cycle.more_body and not cycle.response_started and not self.pipeline):
            answer = wire.problem(error)
            head = [*self.server_state.default_headers, *answer.raw_headers]
            lines = b"".join(b"%s: %s\r\n" % each for each in head)
            status = f"HTTP/1.1 {error.status} {error.title}\r\n".encode()
            body = bytes(answer.body)
            self.transport.write(status + lines + b"connection: close\r\n\r\n" + body)
            if cycle:
                cycle.disconnected = True  # it was this one, and what it comes to is not sent
        self.transport.close()

    def _unanswered(self) -> RequestResponseCycle | None:
        """The request that has no whole answer yet."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # none before the first
        return None if cycle is None or cycle.response_complete else cycle

    def shutdown(self) -> None:
        """A body that does not come must not hold up the end."""
        super().shutdown()
        if (cycle := self._unanswered()) and cycle.more_body:
            asyncio.get_running_loop().call_later(PATIENCE, self._give_up, cycle)

    def _give_up(self, cycle: RequestResponseCycle) -> None:
        if cycle.more_body and not cycle.response_started:
            self.transport.close()
