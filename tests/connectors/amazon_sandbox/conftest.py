"""The fixture for tests of the sandbox."""

import pytest

from .bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
