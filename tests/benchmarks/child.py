"""The other side of a measurement as a process of its own, so that it costs this one nothing."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import anyio


class Child:
    """What it sends is awaited; EOFError if it dies."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def told(self) -> Any:
        return await anyio.to_thread.run_sync(self._pipe.recv, abandon_on_cancel=True)

    def tell(self, value: Any) -> None:
        self._pipe.send(value)


@contextmanager
def child(target: Callable[..., None], *args: Any) -> Iterator[Child]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=target, args=(there, *args), daemon=True
    )
    process.start()
    there.close()  # so that its death is the end of the pipe
    try:
        yield Child(here)
    finally:
        process.terminate()
        process.join()
        here.close()
