"""Benches of different sizes."""

import pytest

from connectors.amazon_sandbox import Settings

from .bench import UNLIMITED, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def large() -> Bench:
    """A seller with several pages of everything: orders 13, inventory 2, transactions over 15."""
    return Bench(Settings(orders=1_250, quotas=UNLIMITED))


@pytest.fixture
def stocked() -> Bench:
    """A seller with five pages of inventory."""
    return Bench(Settings(orders=4_100, quotas=UNLIMITED))
