"""The engine that every store test runs on. A second database is one more entry in ENGINES."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from service.store.engine import Engine
from service.store.migrations import migrate
from service.store.sqlite import SqliteEngine

OpenEngine = Callable[[Path], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Engine]:
    """A new SQLite database of the newest schema in a folder."""
    path = folder / "sync.db"
    migrate(f"sqlite:///{path}")
    engine = await SqliteEngine.open(path)
    try:
        yield engine
    finally:
        await engine.close()


ENGINES: dict[str, OpenEngine] = {"sqlite": sqlite}


@pytest.fixture(scope="session", params=list(ENGINES))
def open_engine(request: pytest.FixtureRequest) -> OpenEngine:
    """Opens an engine over a new database; for tests that need several."""
    return ENGINES[request.param]


@pytest.fixture
async def engine(open_engine: OpenEngine, tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path) as engine:
        yield engine
