"""A Selling Partner API on a raw socket: for each seller, one operation is hostile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tests.hostile import honest
from tests.hostile.honest import Call


class Exchange(msgspec.Struct):
    """One request to a hostile operation, and the socket for the answer."""

    call: Call
    honest: bytes
    #: How many requests of this operation this seller sent before.
    number: int
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """A well-formed answer."""
        await self.send(reply(status, body, headers))


Answer = Callable[[Exchange], Awaitable[None]]


class Case(msgspec.Struct, frozen=True):
    """One seller: its hostile operation, and the answer of that operation."""

    operation: str
    name: str
    answer: Answer


def reply(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields = "".join(f"{name}: {value}\r\n" for name, value in {**given, **(headers or {})}.items())
    return f"HTTP/1.1 {status} Whatever\r\n{fields}\r\n".encode() + body


class HostileApi:
    """The server. `cases` holds the case of each seller; others get honest answers."""

    def __init__(self, cases: Mapping[str, Case]) -> None:
        self.cases = cases
        self.address = ""
        self.calls: Counter[tuple[str, str]] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while call := await _read(reader):
                if not await self._answer(call, writer):
                    break
        with suppress(Exception):
            writer.close()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        operation = honest.named(call)
        if not operation:
            writer.write(reply(404, b"{}"))
            return True
        body = honest.answer(call, self.address)
        case = self.cases.get(call.case)
        number = self.calls[call.case, operation]
        self.calls[call.case, operation] += 1
        if case and case.operation == operation and call.hostile:
            await case.answer(Exchange(call, body, number, writer))
            return False
        writer.write(reply(202 if operation == "createReport" else 200, body))
        await writer.drain()
        return True


async def _read(reader: asyncio.StreamReader) -> Call | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    request, *lines = head.split("\r\n")
    method, target, _ = request.split(" ", 2)
    fields = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Call(method, unquote(parts.path), parse_qs(parts.query), headers, body)


@asynccontextmanager
async def hostile_api(cases: Mapping[str, Case]) -> AsyncIterator[HostileApi]:
    """The API on a free loopback port. Its connections are closed at the end."""
    api = HostileApi(cases)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(api.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
    host, port = server.sockets[0].getsockname()
    api.address = f"http://{host}:{port}"
    try:
        yield api
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
