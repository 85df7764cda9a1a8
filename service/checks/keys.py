"""Check that SECRETS_KEYS opens the stored credentials. It changes nothing."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cryptography.fernet import InvalidToken, MultiFernet

from service.check import Check, ok, problem
from service.credentials import decrypt
from service.store.connections import ConnectionStore
from service.store.engine import Engine

_STORED = "SELECT credentials FROM connections WHERE credentials IS NOT NULL"


def check_keys_of_file(path: Path, keys: MultiFernet) -> list[Check]:
    """Check the credentials in a database of SQLite; nothing is checked if it has none yet."""
    try:
        address = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=5)) as database:
            return [_check(keys, (text for (text,) in database.execute(_STORED)))]
    except (OSError, RuntimeError, sqlite3.Error):
        return []  # no database or no table yet; other checks name what is wrong


async def check_keys_of_cluster(engine: Engine, keys: MultiFernet) -> list[Check]:
    """Check the credentials in a database of the newest schema. Raises Unavailable."""
    stored = await ConnectionStore(engine).all_credentials()
    return [_check(keys, (text for _, text in stored))]


def _check(keys: MultiFernet, stored: Iterable[str]) -> Check:
    unreadable = count = 0
    for text in stored:
        count += 1
        try:
            decrypt(keys, text)
        except InvalidToken:
            unreadable += 1
    if unreadable:
        text = (
            f"SECRETS_KEYS cannot decrypt the credentials of {unreadable} of {count} connections."
        )
        remedy = "Add the key that they were encrypted with, or let their users connect again."
        return problem("keys", text, remedy)
    return ok("keys", f"SECRETS_KEYS decrypts the stored credentials, {count} in all.")
