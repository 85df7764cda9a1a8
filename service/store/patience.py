"""Retries calls of running syncs until the database is available."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import anyio
import structlog

from service.store.engine import Engine, Source, Statement, Table, Unavailable, Values

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

T = TypeVar("T")

log = structlog.get_logger()


async def retry_until_available(call: Callable[[], Awaitable[T]]) -> T:
    """The result of the call, which is retried while the database is unavailable."""
    pause = FIRST_PAUSE
    while True:
        try:
            result = await call()
        except Unavailable as error:
            if pause == FIRST_PAUSE and not error.logged:
                log.error("database_away", reason=str(error))
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            if pause > FIRST_PAUSE:
                log.warning("database_back")
            return result


class PatientEngine:
    """An engine whose calls, except `ping` and `snapshot`, wait instead of raising Unavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ping(self) -> None:
        await self._engine.ping()

    async def read(self, sql: str, values: Values) -> Sequence[Values]:
        return await retry_until_available(lambda: self._engine.read(sql, values))

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        return await retry_until_available(lambda: self._engine.fetch(sql, columns, values, table))

    def snapshot(self) -> AbstractAsyncContextManager[Source]:
        return self._engine.snapshot()

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        return await retry_until_available(lambda: self._engine.write(guard, rest))

    async def wipe(self, thoroughly: bool) -> bool:
        return await retry_until_available(lambda: self._engine.wipe(thoroughly))

    async def close(self) -> None:
        await self._engine.close()
