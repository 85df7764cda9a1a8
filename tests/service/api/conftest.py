"""Fixtures of the API tests."""

import pytest

from tests.serving import Serving, User


@pytest.fixture
async def ann(service: Serving) -> User:
    """A user with a connection to the demo source."""
    user = service.user()
    await user.connect()
    return user
