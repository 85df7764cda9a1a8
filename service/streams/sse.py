"""Server-Sent Events: the response of a stream, and what it begins with."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.model import Sync
from service.streams.hub import RETRY, SLOT, Hub, Stream
from service.wire import serialize


class ProgressResponse(EventSourceResponse):
    """Sends the head and the first block, then leaves the stream to the hub, if there is one."""

    def __init__(self, hub: Hub, stream: Stream | None, first: bytes) -> None:
        super().__init__(_nothing(), headers={"Cache-Control": "no-store"}, ping=0, sep="\n")
        del self.headers["connection"]  # the server's: with its own `close` there would be two
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
            if self._stream:  # it never gets to the hand-over, which would have seen to that
                self._hub.remove(self._stream)
            raise
        if self._stream:
            scope["extensions"][SLOT].append(self._stream)


def first_block(request: Request, hub: Hub, sync: Sync) -> bytes | None:
    """What a stream begins with; None if the client knows how the sync ended."""
    asked = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
    first = serialize.block(retry=RETRY)
    if not asked:
        return first + _snapshot(hub, sync)
    if not _known(asked, sync):
        return first + serialize.block(event="reset", data="{}") + _snapshot(hub, sync)
    if int(asked) < sync.version:
        return first + _snapshot(hub, sync)
    return first if sync.live else None


def _snapshot(hub: Hub, sync: Sync) -> bytes:
    body: bytes = hub.message(sync, with_id=True)["body"]
    return body


def _known(asked: str, sync: Sync) -> bool:
    """Whether an id is one that this sync has had; past a terminal version is as good as at it."""
    if not (asked.isascii() and asked.isdigit() and len(asked) < 12):
        return False
    return 1 <= int(asked) <= sync.version or (not sync.live and int(asked) > sync.version)


async def _nothing() -> AsyncIterator[str]:
    never: tuple[str, ...] = ()
    for each in never:
        yield each
