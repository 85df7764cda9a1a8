"""Credentials at rest: their keys, and who gets to see them."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from connectors.base import ConnectionLost, SystemClock
from connectors.demo.connector import DemoConnectionSettings
from service.app import open_parts
from service.connections import NewConnection
from service.credentials import read_keys
from service.errors import StartupError
from service.model import Actor
from tests.serving import KEY, settings

pytestmark = pytest.mark.anyio

ANN = Actor("ann", "ann")
NEW = NewConnection("demo", DemoConnectionSettings(refresh_token="good"))


@pytest.mark.parametrize(
    "text", ["x", ",", " , ", KEY[:-1], f"{KEY},x", f"{KEY};{KEY}", "é" * 44, KEY + "\0"]
)
def test_a_malformed_key_is_named(text: str) -> None:
    with pytest.raises(StartupError, match="SECRETS_KEYS") as caught:
        read_keys(text)
    assert KEY not in str(caught.value)


async def test_a_service_does_not_open_with_a_malformed_key(tmp_path: Path) -> None:
    chosen = settings(tmp_path, SECRETS_KEYS="malformed")
    with pytest.raises(StartupError, match="SECRETS_KEYS"):
        async with open_parts(chosen, SystemClock()):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_demo_mode_needs_no_key(tmp_path: Path) -> None:
    chosen = settings(tmp_path, AUTH_MODE="demo", SECRETS_KEYS="")
    async with open_parts(chosen, SystemClock()) as parts:
        kept = await parts.connections.connect(ANN, NEW)
        assert (await parts.connections.open(kept.id)).settings.refresh_token == "good"


async def test_keys_can_be_exchanged_as_long_as_the_old_one_stays(tmp_path: Path) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        kept = await parts.connections.connect(ANN, NEW)
    newer = Fernet.generate_key().decode()
    both = settings(tmp_path, SECRETS_KEYS=f"{newer}, {KEY}")
    async with open_parts(both, SystemClock()) as parts:
        assert (await parts.connections.open(kept.id)).settings.refresh_token == "good"
    async with open_parts(settings(tmp_path, SECRETS_KEYS=newer), SystemClock()) as parts:
        with pytest.raises(ConnectionLost, match="SECRETS_KEYS"):
            await parts.connections.open(kept.id)


async def test_a_forgotten_connection_cannot_be_opened(tmp_path: Path) -> None:
    async with open_parts(settings(tmp_path), SystemClock()) as parts:
        kept = await parts.connections.connect(ANN, NEW)
        await parts.connections.forget(ANN, kept.id, erase=False)
        with pytest.raises(ConnectionLost):
            await parts.connections.open(kept.id)
        (row,) = await parts.connections.ever(ANN)
        assert row.credentials is None


def test_credentials_are_not_in_how_a_value_is_written() -> None:
    assert "good" not in repr(NEW) and "good" not in f"{NEW}"
