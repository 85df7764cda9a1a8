"""Downloads: files of any size that are created while they are sent, and a limit of running ones.

A download holds a snapshot of the database. Limits end those whose client does not read."""

import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager

import anyio
import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.errors import DownloadsBusy, TooManyDownloads

MAX_DOWNLOADS = 4
"""Maximum downloads of this process. Each has a connection to the database."""
MAX_OF_USER = 2
RETRY_AFTER = "10"
"""Seconds after which a refused client tries again."""
IDLE = 30.0
"""Seconds within which the client must read a piece of about 64 KB."""
LONGEST = 3600.0
"""Seconds that a download may take. SQLite's log grows while one runs."""
GZIP_LEVEL = 4
"""Level 6 takes 50 % longer, for files that are 7 % smaller."""

_GZIP_BITS = 16 + zlib.MAX_WBITS
_compressors = anyio.CapacityLimiter(MAX_DOWNLOADS)

log = structlog.get_logger()

Chunks = AsyncIterator[bytes]


class OpenFile(msgspec.Struct, frozen=True):
    """A file that is about to be sent."""

    etag: str
    #: At least one chunk.
    chunks: Chunks


Opened = Callable[[], AbstractAsyncContextManager[OpenFile]]


class Downloads:
    """The downloads of this process, by user."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return self._users.total()

    @contextmanager
    def admitted(self, user: str) -> Iterator[None]:
        """Count a download while it runs. Raises TooManyDownloads or DownloadsBusy."""
        if self._users[user] >= MAX_OF_USER:
            raise TooManyDownloads(headers={"Retry-After": RETRY_AFTER})
        if self.count >= MAX_DOWNLOADS:
            raise DownloadsBusy(headers={"Retry-After": RETRY_AFTER})
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1
            self._users = +self._users  # without users who have none


class DownloadResponse(Response):
    """Sends the chunks of a file. If that fails, the response is not completed, so the server cuts
    the connection and the client sees that the file is incomplete. `opened` yields the file, and is
    closed when the download ends or fails. Its errors and those of the first chunk become
    problems."""

    def __init__(
        self,
        opened: Opened,
        name: str,
        media_type: str,
        headers: Mapping[str, str],
        gzipped: bool,
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        if gzipped:
            self.headers["Content-Encoding"] = "gzip"
        self._opened = opened
        self._gzipped = gzipped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send(self._head())
            await send(_body(b"", more=False))
            return
        async with self._opened() as file:
            self.headers["ETag"] = file.etag
            chunks = _compressed(file.chunks) if self._gzipped else file.chunks
            first = await anext(chunks)
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
                await self._send(first, chunks, send)
                group.cancel_scope.cancel()

    async def _send(self, first: bytes, chunks: Chunks, send: Send) -> None:
        try:
            with anyio.fail_after(LONGEST):
                await send(self._head())
                await _send_in_time(_body(first), send)
                async for chunk in chunks:
                    await _send_in_time(_body(chunk), send)
                await _send_in_time(_body(b"", more=False), send)
        except TimeoutError:
            log.warning("download_cut", reason="The client read too slowly.")
        except Exception as error:
            log.error("download_cut", reason=repr(error))

    def _head(self) -> Message:
        return {"type": "http.response.start", "status": 200, "headers": self.raw_headers}


def _body(chunk: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


async def _send_in_time(message: Message, send: Send) -> None:
    """Send a piece. Raises TimeoutError if the client does not read the pieces before it."""
    with anyio.fail_after(IDLE):
        await send(message)


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _compressed(chunks: Chunks) -> Chunks:
    """The chunks as gzip. zlib runs in a thread and does not hold the interpreter's lock."""
    gzip = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_BITS)
    async for chunk in chunks:
        packed = await anyio.to_thread.run_sync(gzip.compress, chunk, limiter=_compressors)
        yield packed
    yield gzip.flush()
