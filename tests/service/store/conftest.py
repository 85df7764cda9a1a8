"""The engine that every store test runs on. A second database is one more entry in ENGINES."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from service.store.engine import Engine
from service.store.postgres import PostgresEngine
from tests.databases import DATABASES, ON_POSTGRES
from tests.service.nodes import new_engine

OpenEngine = Callable[[Path], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Engine]:
    """An empty PostgreSQL database of the newest schema."""
    with DATABASES.one() as url:
        engine = await PostgresEngine.open(url, pool=4)
        try:
            yield engine
        finally:
            await engine.close()


ENGINES: dict[str, OpenEngine] = {} if ON_POSTGRES else {"sqlite": new_engine}
ENGINES["postgres"] = postgres


@pytest.fixture(scope="session", params=list(ENGINES))
def open_engine(request: pytest.FixtureRequest) -> OpenEngine:
    """Opens an engine over a new database; for tests that need several."""
    return ENGINES[request.param]


@pytest.fixture
async def engine(open_engine: OpenEngine, tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path) as engine:
        yield engine
