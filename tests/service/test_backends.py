"""Waiting for PostgreSQL, and what is wrong if it does not come."""

import socket

import anyio
import pytest

import service.backends
from service.backends import open_database, wait_for_database
from service.errors import StartupError
from service.settings import read_settings
from tests.serving import KEY, PATIENCE, SECRET

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_a_database_that_does_not_come_is_named(
    command: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service.backends, "PATIENCE", 0.5)
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://postgres@127.0.0.1:{bound.getsockname()[1]}/sync"
        settings = read_settings({"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "DATABASE_URL": url})
        with anyio.fail_after(PATIENCE), pytest.raises(StartupError, match="DATABASE_URL"):
            if command == "migrate":
                await wait_for_database(settings)
            async with open_database(settings):
                pass
