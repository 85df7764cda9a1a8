"""Server-Sent Events: the response of a stream, and its first block."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.model import Sync
from service.streams.hub import RETRY, SLOT, Hub, Stream
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


def first_block(request: Request, hub: Hub, sync: Sync) -> bytes | None:
    """The first block of a stream; None if the client has already seen the end of the sync."""
    last_id = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
    first = serialize.block(retry=RETRY)
    if not last_id:
        return first + _snapshot(hub, sync)
    if not _is_version(last_id, sync):
        return first + serialize.block(event="reset", data="{}") + _snapshot(hub, sync)
    if int(last_id) < sync.version:
        return first + _snapshot(hub, sync)
    return first if sync.live else None


def _snapshot(hub: Hub, sync: Sync) -> bytes:
    body: bytes = hub.message(sync, with_id=True)["body"]
    return body


def _is_version(event_id: str, sync: Sync) -> bool:
    """Whether an ID is a version of the sync. After the end, any later ID is accepted, too."""
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) < 12):
        return False
    return 1 <= int(event_id) <= sync.version or (not sync.live and int(event_id) > sync.version)


async def _no_events() -> AsyncIterator[str]:
    events: tuple[str, ...] = ()
    for event in events:
        yield event
