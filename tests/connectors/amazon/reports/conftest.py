"""Benches of the report tests."""

import pytest

from connectors.amazon_sandbox import Settings
from tests.connectors.amazon.bench import UNLIMITED, Bench


@pytest.fixture
def large() -> Bench:
    """A seller with a ledger of several pages."""
    return Bench(Settings(orders=1_250, quotas=UNLIMITED))
