"""Rotation of the keys that encrypt credentials. The old key can then be removed."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from connectors.base import ConnectionLost, SystemClock
from connectors.demo.connector import DemoConnectionSettings
from service.app import open_parts, rotate_credentials
from service.connections import NewConnection
from service.errors import StartupError
from service.users import Actor
from tests.serving import KEY, settings

pytestmark = pytest.mark.anyio

ANN = Actor("ann", "ann")


async def connect_accounts(folder: Path, count: int) -> list[str]:
    async with open_parts(settings(folder), SystemClock()) as parts:
        tokens = [f"secret-{number}" for number in range(count)]
        new = [NewConnection("demo", DemoConnectionSettings(refresh_token=t)) for t in tokens]
        return [(await parts.connections.connect(ANN, connection)).id for connection in new]


async def stored_token(folder: Path, keys: str, connection_id: str) -> str:
    async with open_parts(settings(folder, SECRETS_KEYS=keys), SystemClock()) as parts:
        return str((await parts.connections.open(connection_id)).settings.refresh_token)


async def test_after_a_rotation_the_new_key_decrypts_everything(tmp_path: Path) -> None:
    ids = await connect_accounts(tmp_path, 3)
    newer = Fernet.generate_key().decode()
    assert await rotate_credentials(settings(tmp_path, SECRETS_KEYS=f"{newer},{KEY}")) == 3
    for number, connection_id in enumerate(ids):
        assert await stored_token(tmp_path, newer, connection_id) == f"secret-{number}"
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        with pytest.raises(ConnectionLost, match="SECRETS_KEYS"):
            await parts.connections.open(ids[0])


async def test_a_missing_key_is_reported_before_anything_changes(tmp_path: Path) -> None:
    (connection_id,) = await connect_accounts(tmp_path, 1)
    with pytest.raises(StartupError, match="all old ones after it"):
        await rotate_credentials(settings(tmp_path, SECRETS_KEYS=Fernet.generate_key().decode()))
    assert await stored_token(tmp_path, KEY, connection_id) == "secret-0"


async def test_forgotten_connections_are_not_rotated(tmp_path: Path) -> None:
    (connection_id,) = await connect_accounts(tmp_path, 1)
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        await parts.connections.forget(ANN, connection_id, erase=False)
    assert await rotate_credentials(settings(tmp_path)) == 0


@pytest.mark.sqlite  # it locks its file; PostgreSQL serves many processes
async def test_the_keys_of_a_running_service_are_not_rotated(tmp_path: Path) -> None:
    await connect_accounts(tmp_path, 1)
    async with open_parts(settings(tmp_path), SystemClock()):
        with pytest.raises(StartupError, match="in use by process"):
            await rotate_credentials(settings(tmp_path))
