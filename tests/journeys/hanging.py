"""A proxy before the service whose streams can hang: nothing ends them, and nothing arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers import Proxy

STREAMS = (b"GET /api/sse/", b"GET /ws/")


class HangingProxy(Proxy):
    """Forwards everything. While its streams hang, it takes requests for streams and holds what is
    sent on them; other calls pass."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._hanging = False
        #: The writers to clients that have asked for a stream on their connection.
        self._streams: set[asyncio.StreamWriter] = set()
        #: How many streams were asked for.
        self.asked = 0

    def hang(self) -> None:
        self._hanging = True

    def flow(self) -> None:
        """Pass streams that are opened from now on; those that hang stay so."""
        self._hanging = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(back)
            await asyncio.gather(self._ask(reader, back, writer), self._answer(there, writer))
            self._writers -= {writer, back}
        writer.close()
        self._streams.discard(writer)
        self._tasks.discard(asyncio.current_task())

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError):
            while block := await reader.read(65536):
                self._streams.discard(client)
                if block.startswith(STREAMS):
                    self._streams.add(client)
                    self.asked += 1
                await self._open.wait()
                writer.write(block)
                await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stuck = False
        with suppress(OSError):
            while block := await reader.read(65536):
                await self._open.wait()
                stuck = writer in self._streams and (stuck or self._hanging)
                if not stuck:
                    writer.write(block)
                    await writer.drain()
        if not stuck:
            writer.close()


@asynccontextmanager
async def hanging_proxy(port: int) -> AsyncIterator[HangingProxy]:
    """A proxy before a port of this machine."""
    forwarding = HangingProxy(port)
    server = await asyncio.start_server(forwarding.serve, "127.0.0.1", 0)
    forwarding.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarding
    finally:
        server.close()
        await forwarding.close()
