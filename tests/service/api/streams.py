"""Streams as they arrive over a connection: block by block, with comments and retries."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import httpx

from tests.serving import PATIENCE, Json, Serving, User, token


class Stream:
    """An open stream. A block is a dict of its fields; a comment has the name ''."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def block(self, seconds: float = PATIENCE) -> dict[str, str] | None:
        """The next block; None at the end."""
        fields: dict[str, str] = {}
        with anyio.fail_after(seconds):
            async for line in self._lines:
                if not line:
                    return fields
                name, _, value = line.partition(":")
                assert name not in fields, fields
                fields[name] = value.removeprefix(" ")
        assert not fields, "the stream ended inside a block"
        return None

    async def event(self, seconds: float = PATIENCE) -> dict[str, str]:
        """The next block with an event."""
        while True:
            block = await self.block(seconds)
            assert block is not None, "the stream has ended"
            if "event" in block:
                return block

    async def rest(self, seconds: float = PATIENCE) -> list[dict[str, str]]:
        """All blocks until the end."""
        blocks = []
        with anyio.fail_after(seconds):
            while (block := await self.block(seconds)) is not None:
                blocks.append(block)
        return blocks


@asynccontextmanager
async def stream(user: User, path: str, **headers: str) -> AsyncIterator[Stream]:
    path = path if path.startswith("/") else f"/api/sse/sync-progress/{path}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with user.http.stream("GET", path, headers=headers, timeout=PATIENCE) as answer:
        yield Stream(answer)


def data(block: dict[str, str]) -> Json:
    status: Json = json.loads(block["data"])
    return status


def request(path: str, user: str = "ann", more: str = "") -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n"
    return f"{head}{more}\r\n".encode()


class Reader:
    """A client on a bare socket that reads only on request."""

    def __init__(
        self, service: Serving, path: str, user: str = "ann", more: str = "", times: int = 1
    ) -> None:
        self._service = service
        self._request = request(path, user, more) * times
        self.read = b""

    async def __aenter__(self) -> Self:
        address = urlsplit(self._service.url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((address.hostname, address.port))
        self._socket.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(self._socket, self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read_some(self) -> bytes:
        """Read what has arrived, at most 64 KiB; empty at the end."""
        received = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        self.read += received
        return received

    async def until(self, expected: bytes, seconds: float = PATIENCE) -> None:
        """Read until these bytes have arrived."""
        with anyio.fail_after(seconds):
            while expected not in self.read:
                assert await self.read_some(), "the connection has ended"


ENDED = b"0\r\n\r\n"
"""The last chunk: the response ended in order."""


async def until_streams(service: Serving, count: int, seconds: float = PATIENCE) -> None:
    """Wait until this many streams are open."""
    with anyio.fail_after(seconds):
        while service.parts.hub.count != count:
            await anyio.sleep(0.005)
