"""Connections: their credentials are encrypted at rest and opened only by a key in use."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from connectors.base import ConnectionLost, Granted, SystemClock
from connectors.demo.connector import DemoConnectionSettings
from service.app import open_parts
from service.connections import NewConnection
from service.errors import ConnectionRefused, StartupError
from service.store.engine import Statement
from service.users import Actor
from tests.serving import KEY, settings

pytestmark = pytest.mark.anyio

ANN = Actor("ann", "ann")
NEW = NewConnection("demo", DemoConnectionSettings(refresh_token="good"))


async def test_a_service_does_not_open_with_a_malformed_key(tmp_path: Path) -> None:
    chosen = settings(tmp_path, SECRETS_KEYS="malformed")
    with pytest.raises(StartupError, match="SECRETS_KEYS"):
        async with open_parts(chosen, SystemClock()):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_demo_mode_needs_no_key(tmp_path: Path) -> None:
    chosen = settings(tmp_path, AUTH_MODE="demo", SECRETS_KEYS="")
    async with open_parts(chosen, SystemClock()) as parts:
        stored = await parts.connections.connect(ANN, NEW)
        assert (await parts.connections.open(stored.id)).settings.refresh_token == "good"


async def test_a_new_key_opens_old_credentials_only_beside_the_old_key(tmp_path: Path) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        stored = await parts.connections.connect(ANN, NEW)
    newer = Fernet.generate_key().decode()
    both = settings(tmp_path, SECRETS_KEYS=f"{newer}, {KEY}")
    async with open_parts(both, SystemClock()) as parts:
        assert (await parts.connections.open(stored.id)).settings.refresh_token == "good"
    async with open_parts(settings(tmp_path, SECRETS_KEYS=newer), SystemClock()) as parts:
        with pytest.raises(ConnectionLost, match="SECRETS_KEYS"):
            await parts.connections.open(stored.id)


async def test_a_forgotten_connection_cannot_be_opened(tmp_path: Path) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        stored = await parts.connections.connect(ANN, NEW)
        await parts.connections.forget(ANN, stored.id, erase=False)
        with pytest.raises(ConnectionLost):
            await parts.connections.open(stored.id)
        (row,) = await parts.connections.list_with_forgotten(ANN)
        assert row.credentials is None


def test_the_repr_of_a_new_connection_has_no_credentials() -> None:
    assert "good" not in repr(NEW) and "good" not in f"{NEW}"


async def test_settings_that_the_connector_no_longer_accepts_lose_the_connection(
    tmp_path: Path,
) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        stored = await parts.connections.connect(ANN, NEW)
        sql = "UPDATE connections SET settings = :settings WHERE id = :id RETURNING id"
        row = {"id": stored.id, "settings": '{"environment":"gone","dropped":1}'}
        assert await parts.store.write(Statement(sql, [row]))
        with pytest.raises(ConnectionLost, match="do not fit this version"):
            await parts.connections.open(stored.id)
        with pytest.raises(ConnectionRefused, match="do not fit this connection"):
            await parts.connections.reconnect(ANN, stored.id, Granted({"refreshToken": "good"}))


async def test_a_setting_that_the_connector_no_longer_declares_is_ignored(tmp_path: Path) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        stored = await parts.connections.connect(ANN, NEW)
        sql = "UPDATE connections SET settings = :settings WHERE id = :id RETURNING id"
        row = {"id": stored.id, "settings": '{"region":"EU","dropped":1}'}
        assert await parts.store.write(Statement(sql, [row]))
        assert (await parts.connections.open(stored.id)).settings.region == "EU"
