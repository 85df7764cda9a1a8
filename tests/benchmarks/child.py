"""The other side of a measurement in a process of its own, so that it takes no time of this one."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import anyio


class Child:
    """A child process and the pipe to it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def received(self) -> Any:
        """The next value that the child sends. Raises EOFError if it dies."""
        return await anyio.to_thread.run_sync(self._pipe.recv, abandon_on_cancel=True)


@contextmanager
def child(target: Callable[..., None], *args: Any) -> Iterator[Child]:
    own_end, child_end = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=target, args=(child_end, *args), daemon=True
    )
    process.start()
    child_end.close()  # so that the pipe ends when the child dies
    try:
        yield Child(own_end)
    finally:
        process.terminate()
        process.join()
        own_end.close()
