"""Server-Sent Events: the response of a stream, and its first block."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from service.model import Sync
from service.streams.formats import RETRY
from service.streams.hub import SLOT, Hub, Stream
from service.streams.resuming import Resume, resumed_from
from service.wire import serialize


class ProgressResponse(EventSourceResponse):
    """Sends the head and the first block. Then it hands the stream to the hub; without a stream, it
    ends."""

    def __init__(self, hub: Hub, stream: Stream | None, first: bytes) -> None:
        super().__init__(_no_events(), headers={"Cache-Control": "no-store"}, ping=0, sep="\n")
        del self.headers["connection"]  # the server sets this header; two would conflict
        self._hub = hub
        self._stream = stream
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = self._stream is not None
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
            )
            await send({"type": "http.response.body", "body": self._first, "more_body": more})
        except BaseException:
            if self._stream:  # without a handover, the hub would never remove it
                self._hub.remove(self._stream)
            raise
        if self._stream:
            scope["extensions"][SLOT].append(self._stream)


def first_block(hub: Hub, sync: Sync, last_id: str) -> bytes | None:
    """The first block of a stream; None if the client has already seen the end of the sync."""
    resume = resumed_from(last_id, sync)
    if resume is Resume.OVER:
        return None
    block = serialize.block(retry=RETRY)
    if resume is Resume.UNKNOWN:
        block += serialize.block(event="reset", data="{}")
    if resume is not Resume.NEWEST:
        block += hub.message(sync, with_id=True)["body"]
    return block


async def _no_events() -> AsyncIterator[str]:
    events: tuple[str, ...] = ()
    for event in events:
        yield event
