"""Credentials at rest: the keys that encrypt them, and their stored form."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.fernet import Fernet, MultiFernet

from service.errors import StartupError


def read_keys(text: str) -> MultiFernet:
    """Fernet keys separated by commas, newest first. Raises StartupError for a malformed key.

    Only demo mode may have no key (see the settings). Then a new key is generated for the process,
    and stored accounts must be connected again after a restart."""
    if not text:
        return MultiFernet([Fernet(Fernet.generate_key())])
    try:
        return MultiFernet([_key(key.strip()) for key in text.split(",") if key.strip()])
    except ValueError as error:
        raise StartupError(
            "SECRETS_KEYS contains a malformed key: a key is 32 bytes in URL-safe base64. Create "
            "one with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'."
        ) from error


def demo_key(data: Path) -> str:
    """The key of demo mode, which the data folder keeps from one run to the next."""
    path = data / "secrets.key"
    try:
        data.mkdir(0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(Fernet.generate_key())
        return path.read_text().strip()
    except OSError as error:
        raise StartupError(
            f"The data folder {data} cannot be used: {error.strerror}. Choose another with --data."
        ) from error


def _key(text: str) -> Fernet:
    # Python's base64 stops at the first `=`, so it would ignore a second key after a blank.
    if not re.fullmatch("[A-Za-z0-9_-]{43}=", text):
        raise ValueError("malformed")
    return Fernet(text)


def encrypt(keys: MultiFernet, secrets: Mapping[str, Any]) -> str:
    """The secret settings as one encrypted value, under the newest key."""
    return keys.encrypt(msgspec.json.encode(secrets)).decode()


def decrypt(keys: MultiFernet, stored: str) -> dict[str, Any]:
    """The secret settings of a stored value. Raises InvalidToken if no key matches.

    A value from before schema 0008 is one plain text. The migration, which has no keys, added the
    name of its field (`name:token`). A Fernet token contains no colon."""
    field, _, token = stored.rpartition(":")
    text = keys.decrypt(token.encode())
    return {field: text.decode()} if field else msgspec.json.decode(text, type=dict[str, Any])


def digest(secrets: Mapping[str, Any]) -> str | None:
    """A hash that identifies credentials without revealing them. None for no credentials.

    A single text is hashed unchanged, so that digests from before schema 0008 stay valid."""
    if not secrets:
        return None
    values = list(secrets.values())
    alone = values[0] if len(values) == 1 and isinstance(values[0], str) else None
    text = msgspec.json.encode(secrets, order="sorted") if alone is None else alone.encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
