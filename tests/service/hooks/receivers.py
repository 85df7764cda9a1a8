"""Receivers of webhooks: real HTTP servers, some of them hostile."""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

from tests.serving import PATIENCE, Json

HOOKS_SETTINGS = {"WEBHOOKS_PRIVATE": "1", "WEBHOOKS_SCHEDULE": "0.1,0.2,0.2"}


class Received(NamedTuple):
    """A request to a receiver."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Json:
        found: Json = json.loads(self.raw)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def sync(self) -> str:
        return str(self.body["data"].get("syncId", ""))

    @property
    def kind(self) -> str:
        return str(self.body["type"])


class Receiver:
    """A server that notes requests and answers as the test says."""

    def __init__(self) -> None:
        self.url = ""
        #: Every request, also those that were not answered well.
        self.received: list[Received] = []
        #: Those that were answered 2xx.
        self.taken: list[Received] = []
        #: The status of answers, or how to misbehave instead.
        self.status = 200
        self.misbehave: Callable[[anyio.abc.ByteStream], Any] | None = None

    async def handle(self, stream: anyio.abc.ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with stream:
                await self._answer(stream, await _read(stream))

    async def _answer(self, stream: anyio.abc.ByteStream, request: Received) -> None:
        self.received.append(request)
        if self.misbehave:
            await self.misbehave(stream)
            return
        status = self.status
        if 200 <= status < 300:
            self.taken.append(request)
        more = "location: http://127.0.0.1:1/\r\n" if 300 <= status < 400 else ""
        await stream.send(f"HTTP/1.1 {status} X\r\n{more}content-length: 2\r\n\r\nok".encode())

    async def until(self, count: int) -> list[Received]:
        """Wait until so many events were taken."""
        with anyio.fail_after(PATIENCE):
            while len(self.taken) < count:
                await anyio.sleep(0.02)
        return self.taken

    async def until_asked(self, count: int) -> list[Received]:
        """Wait until so many requests have come."""
        with anyio.fail_after(PATIENCE):
            while len(self.received) < count:
                await anyio.sleep(0.02)
        return self.received


async def _read(stream: anyio.abc.ByteStream) -> Received:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, raw = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    while len(raw) < int(headers["content-length"]):
        raw += await stream.receive()
    return Received(first.split()[1], headers, raw)


@asynccontextmanager
async def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on 127.0.0.1."""
    receiver = Receiver()
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django
    if tls:
        listener = TLSListener(listener, tls, standard_compatible=False)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, receiver.handle)
        yield receiver
        group.cancel_scope.cancel()


# How to misbehave ---------------------------------------------------------------------------------


async def never(stream: anyio.abc.ByteStream) -> None:
    """Never answer."""
    await stream.receive()  # until the client closes the connection


async def close(stream: anyio.abc.ByteStream) -> None:
    """Close the connection."""


async def ten_megabytes(stream: anyio.abc.ByteStream) -> None:
    """Answer 200 with 10 MB."""
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
    for _ in range(100):
        await stream.send(b"x" * 100_000)


async def ten_megabytes_of_headers(stream: anyio.abc.ByteStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        await stream.send(b"x-%d: " % number + b"x" * 100_000 + b"\r\n")


async def drip_headers(stream: anyio.abc.ByteStream) -> None:
    """A byte of the head now and then, for ever."""
    await stream.send(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        await stream.send(b"x")
        await anyio.sleep(0.05)


async def drip_body(stream: anyio.abc.ByteStream) -> None:
    """Answer 200, then a byte of the body now and then, for ever."""
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
    while True:
        await stream.send(b"x")
        await anyio.sleep(0.05)


async def nonsense(stream: anyio.abc.ByteStream) -> None:
    await stream.send(b"This is not HTTP.\r\n\r\n")
