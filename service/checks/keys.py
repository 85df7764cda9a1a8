"""Check that SECRETS_KEYS opens the stored credentials. It changes nothing."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cryptography.fernet import InvalidToken, MultiFernet

from service.check import Check, ok, problem
from service.credentials import decrypt
from service.store.engine import Engine

STORED = "SELECT credentials FROM connections WHERE credentials IS NOT NULL"


def check_keys_of_file(path: Path, keys: MultiFernet) -> list[Check]:
    """Check the credentials in a database of SQLite; nothing is checked if it has none yet."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            return [_check(keys, (text for (text,) in database.execute(STORED)))]
    except sqlite3.Error:  # no database or no table yet; another check names what is wrong
        return []


async def check_keys_of_cluster(engine: Engine, keys: MultiFernet) -> list[Check]:
    """Check the credentials in a database of the newest schema. Raises Unavailable."""
    rows = await engine.read(STORED, {})
    return [_check(keys, (row["credentials"] for row in rows))]


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
