"""Free ports for the processes of these tests, an event loop in a thread, and the browser."""

from collections.abc import Callable, Iterator

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.journeys import browser, process


@pytest.fixture
def free_port() -> Callable[[], int]:
    return process.free_port


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session", autouse=True)
def end_browser() -> Iterator[None]:
    yield
    browser.end_shared()
