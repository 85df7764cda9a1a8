"""Free ports for the processes of these tests."""

from collections.abc import Callable

import pytest

from tests.journeys import process


@pytest.fixture
def free_port() -> Callable[[], int]:
    return process.free_port
