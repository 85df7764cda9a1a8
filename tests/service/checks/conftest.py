"""A PostgreSQL server of the tests' own, one for each worker of pytest."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from service.store.migrations import migrate
from tests.servers import PostgresServer, postgres

_NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with postgres(max_connections=12, superuser_reserved_connections=3) as running:
        yield running


@pytest.fixture(scope="session")
def template(server: PostgresServer) -> str:
    server.run("CREATE DATABASE newest TEMPLATE template0")
    migrate(server.url("newest"))
    return "newest"


@pytest.fixture
def create(server: PostgresServer) -> Iterator[Callable[..., str]]:
    """Creates databases that are dropped after the test; returns their names."""
    made: list[str] = []

    def create(options: str = "TEMPLATE template0") -> str:
        made.append(f"sync_test_{next(_NUMBERS)}")
        server.run(f"CREATE DATABASE {made[-1]} {options}")
        return made[-1]

    yield create
    server.run(*(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in made))


@pytest.fixture
def database(create: Callable[..., str], template: str) -> str:
    """A database of the newest schema."""
    return create(f"TEMPLATE {template}")
