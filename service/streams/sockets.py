"""WebSockets: the start of one, and its first messages."""

from starlette.types import Message, Receive, Scope, Send

from service.model import Sync
from service.streams.formats import MESSAGES, End
from service.streams.hub import SLOT, Hub, Stream
from service.streams.resuming import Resume, resumed_from


class ProgressSocket:
    """Accepts a WebSocket and sends the first messages. Then it hands the stream to the hub;
    without a stream, it closes."""

    def __init__(self, hub: Hub, stream: Stream | None, first: list[Message]) -> None:
        self._hub = hub
        self._stream = stream
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "websocket.accept"})
            for message in self._first:
                await send(message)
        except BaseException:
            if self._stream:  # without a handover, the hub would never remove it
                self._hub.remove(self._stream)
            raise
        if self._stream:
            scope["extensions"][SLOT].append(self._stream)
        else:
            await send(MESSAGES.end(End.ENDED))


def first_messages(hub: Hub, sync: Sync, last_id: str) -> list[Message]:
    """The first messages of a socket; none if the client has the newest version. A `reset` has an
    empty id: until the sync arrives, the client has no version."""
    messages: list[Message] = []
    resume = resumed_from(last_id, sync)
    if resume is Resume.UNKNOWN:
        messages.append(MESSAGES.message("reset", "", b"{}"))
    if resume in (Resume.UNKNOWN, Resume.OLDER):
        messages.append(hub.message(sync, with_id=True, format=MESSAGES))
    return messages
