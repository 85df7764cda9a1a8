"""Fixtures of all tests: asyncio, and the real service on a real port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving import Serving, serve


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Serving]:
    """The service with the demo connector: 250 orders, no pauses."""
    async with serve(tmp_path) as serving:
        yield serving
