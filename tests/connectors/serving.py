"""Serves an application on a loopback port."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn


class _Server(uvicorn.Server):
    """Stops at once instead of at the next tick, since tests start many."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = anyio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # pytest handles Ctrl-C


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Yield its address."""
    # With IPPROTO_TCP, since asyncio would not disable Nagle's algorithm otherwise, which delays
    # every response by 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        server = _Server(config)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.ended.set()
