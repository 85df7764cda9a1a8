"""Clients of the measurements: keep-alive requests and event streams with little work of their own.

httpx takes a millisecond of processor time per request, more than the service does."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.serving import token

LARGEST_HEAD = 65_536
LONGEST_IDLE = 5.0
"""Seconds after which a client opens a new connection: the service closes idle ones after 20 s."""
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_TAG = re.compile(rb'\r\netag: "(\d+)"', re.IGNORECASE)


class Answer(msgspec.Struct, frozen=True):
    """A response with its head as received."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def version(self) -> int:
        """The version of the sync that a status shows."""
        tag = _TAG.search(self.head)
        assert self.status == 200 and tag, (self.status, self.head, self.body[:500])
        return int(tag[1])


class StreamEvent(msgspec.Struct, frozen=True):
    """An event of a stream."""

    name: str
    #: The version of the sync; 0 for an event without an id.
    id: int
    data: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.data)

    @property
    def ends(self) -> bool:
        """Whether the sync has ended."""
        return self.name in ("complete", "failed", "cancelled")


class Connection:
    """One connection of a user to a node. It sends one request at a time."""

    def __init__(self, url: str, user: str) -> None:
        self._to = urlsplit(url)
        self._head = f"Host: {self._to.netloc}\r\nAuthorization: Bearer {token(user)}\r\n"

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def _open(self) -> None:
        self._stream = await anyio.connect_tcp(self._to.hostname or "", self._to.port or 0)
        self._buffer = BufferedByteReceiveStream(self._stream)
        self._used = monotonic()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def get(self, path: str) -> Answer:
        return await self.send("GET", path)

    async def post(self, path: str, body: Any = None) -> Answer:
        return await self.send("POST", path, msgspec.json.encode(body or {}))

    async def send(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send a request and read the whole response. Raises OSError or an error of anyio if the
        connection ends."""
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = await self.request(method, path, more, body)
        length = _LENGTH.search(head)
        content = await self._buffer.receive_exactly(int(length[1])) if length else b""
        return Answer(int(head[9:12]), head, content)

    async def request(self, method: str, path: str, more: str = "", body: bytes = b"") -> bytes:
        """Send a request with `more` headers; returns the head of the response."""
        if monotonic() - self._used > LONGEST_IDLE:
            await anyio.aclose_forcefully(self._stream)
            await self._open()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{more}\r\n"
        await self._stream.send(head.encode() + body)
        answer = await self._buffer.receive_until(b"\r\n\r\n", LARGEST_HEAD)
        self._used = monotonic()
        return answer

    async def chunk(self) -> bytes:
        """The next chunk of a response; empty at its end."""
        size = int(await self._buffer.receive_until(b"\r\n", 100), 16)
        return (await self._buffer.receive_exactly(size + 2))[:-2]


class OpenStream:
    """The open stream of one sync."""

    def __init__(self, connection: Connection, status: int) -> None:
        self._connection = connection
        #: 204: the client has seen the end of the sync.
        self.status = status

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Every event until the service ends the stream."""
        rest = b""
        while chunk := await self._connection.chunk():
            *blocks, rest = (rest + chunk).split(b"\n\n")
            for block in blocks:
                if event := _event(block):
                    yield event


@asynccontextmanager
async def follow(
    url: str, user: str, sync_id: str, last: int | None = None
) -> AsyncIterator[OpenStream]:
    """Open the stream of a sync at this node, after the event `last`."""
    more = "" if last is None else f"Last-Event-ID: {last}\r\n"
    async with Connection(url, user) as connection:
        head = await connection.request("GET", f"/api/sse/sync-progress/{sync_id}", more)
        yield OpenStream(connection, int(head[9:12]))


async def connect(connection: Connection, **fields: Any) -> None:
    """Connect this user to the demo source, without the automatic first sync."""
    body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True, **fields}
    answer = await connection.post("/api/connections", body)
    assert answer.status == 201, answer.body


async def start(connection: Connection) -> str:
    answer = await connection.post("/api/sync/start")
    assert answer.status == 202, answer.body
    return str(answer.json["syncId"])


def _event(block: bytes) -> StreamEvent | None:
    """The event of a block; None for a comment and for `retry` alone."""
    fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
    if b"data" not in fields:
        return None
    name = fields.get(b"event", b"message").decode()
    return StreamEvent(name, int(fields.get(b"id", 0)), fields[b"data"])
