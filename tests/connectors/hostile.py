"""A TCP server that responds as slowly and as wrongly as a test needs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

Answer = Callable[[bytes, "ServerConnection"], Awaitable[None]]


class ServerConnection:
    """One connection of a client."""

    def __init__(self, stream: SocketStream, received: BufferedByteReceiveStream) -> None:
        self.stream = stream
        self.received = received

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def reply(self, body: bytes, status: bytes = b"200 OK", *headers: bytes) -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def trickle(self, data: bytes, pause: float) -> None:
        for byte in data:
            await self.send(bytes([byte]))
            await anyio.sleep(pause)

    async def hang(self) -> None:
        """Send nothing until the client closes the connection."""
        while True:
            await self.received.receive()


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """Yield the base address. `answer` receives the request line of each request."""

    async def accept(stream: SocketStream) -> None:
        received = BufferedByteReceiveStream(stream)
        over = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead)
        async with stream:
            with suppress(*over):
                while True:
                    head = await received.receive_until(b"\r\n\r\n", 1_000_000)
                    lines = head.lower().split(b"\r\n")
                    [*length] = [line for line in lines if line.startswith(b"content-length:")]
                    if length:
                        await received.receive_exactly(int(length[0].split(b":")[1]))
                    await answer(head.split(b"\r\n")[0], ServerConnection(stream, received))

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, accept)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        yield f"http://127.0.0.1:{port}"
        group.cancel_scope.cancel()
