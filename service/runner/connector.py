"""The engine's connections to PostgreSQL, with a time limit for every statement."""

import asyncio
from typing import Any

import procrastinate
import psycopg

from service.store.postgres_session import ANSWER_TIMEOUT, CLOSE_TIMEOUT, LIBPQ, SESSION


class BoundedConnector(procrastinate.PsycopgConnector):
    """Raises TimeoutError for a statement without a response; the worker then restarts. The
    engine's own listener waits for notifications without a limit: LIBPQ detects a dead network, and
    the worker also polls for jobs every second."""

    def __init__(self, url: str) -> None:
        super().__init__(
            conninfo=url,
            min_size=1,
            max_size=2,
            timeout=ANSWER_TIMEOUT,
            kwargs=LIBPQ,
            configure=prepare,
        )

    async def abandon(self) -> None:
        """Close the pool, which stays open if the opening was interrupted. Its tasks would keep the
        process from ending."""
        if self._async_pool is not None:
            pool, self._async_pool = self._async_pool, None
            await pool.close(timeout=CLOSE_TIMEOUT)

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await super().execute_query_async(query, **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
        return row

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            rows: list[dict[str, Any]] = await super().execute_query_all_async(query, **arguments)
        return rows


async def prepare(connection: psycopg.AsyncConnection[Any]) -> None:
    """Set the limits of a new connection."""
    async with asyncio.timeout(ANSWER_TIMEOUT):
        await connection.execute(SESSION.encode())
        await connection.commit()
