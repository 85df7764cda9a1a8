"""Fixtures of all tests: asyncio, and the real service on a real port."""

import gc
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import httpx
import pytest
import structlog
from httpx._transports import default
from hypothesis import settings

from connectors.amazon_sandbox import state
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.journal import ReimbursedClaims
from connectors.amazon_sandbox.generator.seller import Seller, generate
from tests.databases import DATABASES, ON_POSTGRES
from tests.selection import uses_database
from tests.serving import Serving, serve

SMALL = 1_000
"""Sellers with more orders are generated for each test, since they take memory."""

# No connector knows a database, which tests/test_architecture.py proves.
collect_ignore = ["connectors"] if ON_POSTGRES else []

# httpx reads the certificates of all authorities for each client: longer than most calls take.
setattr(default, "create_ssl_context", cache(httpx.create_ssl_context))  # noqa: B010


@lru_cache(maxsize=20)
def _generate_once(identity: Identity, day: date, sells_in: tuple[str, ...]) -> Seller:
    return generate(identity, day, sells_in)


def _generate(
    identity: Identity, day: date, sells_in: Sequence[str], reimbursed: ReimbursedClaims
) -> Seller:
    if reimbursed or identity.orders > SMALL:
        return generate(identity, day, sells_in, reimbursed)
    return _generate_once(identity, day, tuple(sells_in))


# Hundreds of tests read the same few sellers, which are values and never change.
setattr(state, "generate", _generate)  # noqa: B010

if settings.get_current_profile_name() == "default":
    # A busy machine may take any time for an example.
    settings.register_profile("tests", deadline=None)
    settings.load_profile("tests")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def log_plain_tracebacks() -> None:
    """structlog's own tracebacks draw every local variable, for seconds."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    *others, _ = structlog.get_config()["processors"]
    structlog.configure(processors=[*others, renderer])


@pytest.fixture(autouse=True)
def restore_logs() -> Iterator[None]:
    """A command of the service that runs in the test's process configures the logs."""
    root, configured = logging.getLogger(), structlog.get_config()
    level, handlers = root.level, list(root.handlers)
    yield
    structlog.configure(**configured)
    root.setLevel(level)
    for handler in root.handlers:
        if type(handler) is logging.StreamHandler and handler not in handlers:
            root.removeHandler(handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    yield
    if DATABASES.take_back() and not uses_database(item):
        pytest.fail("This test uses a database, but tests/selection.py does not see that.")


def pytest_collection_finish() -> None:
    """Collect garbage less often: the memory of the tests lasts, and is full of what they share."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish() -> None:
    DATABASES.drop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With PostgreSQL, leave out the tests of SQLite and its files and those without a database."""
    if not ON_POSTGRES:
        return
    chosen = [
        item for item in items if uses_database(item) and not item.get_closest_marker("sqlite")
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Serving]:
    """The service with the demo connector: 250 orders, no pauses."""
    async with serve(tmp_path) as serving:
        yield serving
