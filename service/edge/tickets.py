"""Tickets open a stream for an EventSource that can send neither a header nor a cookie.

They are not stored: every process with the same SECRETS_KEYS can read them, also after a restart.
They are encrypted, not only signed, because URLs appear in logs and must not reveal the user."""

import base64
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LIFETIME = timedelta(minutes=15)


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """Permission of one user to follow one sync. `tenant` and `sub` together are the user."""

    sub: str
    tenant: str
    plan: str
    sync_id: str
    #: The time when it expires, in seconds since 1970.
    expires: float

    @property
    def until(self) -> datetime:
        return datetime.fromtimestamp(self.expires, UTC)


class Tickets:
    """Creates and reads tickets. Without keys (demo mode), tickets are valid while the process
    runs."""

    def __init__(self, secrets_keys: str) -> None:
        keys = [key.strip() for key in secrets_keys.split(",") if key.strip()]
        self._cipher = MultiFernet(
            [_derive(key) for key in keys or [Fernet.generate_key().decode()]]
        )

    def write(self, ticket: Ticket) -> str:
        return self._cipher.encrypt(msgspec.json.encode(ticket)).decode().rstrip("=")

    def read(self, text: str) -> Ticket:
        """Raises ValueError for a ticket that was not issued with one of the keys."""
        try:
            raw = self._cipher.decrypt(text + "=" * (-len(text) % 4))
        except InvalidToken as error:
            raise ValueError("not a ticket of this service") from error
        return msgspec.json.decode(raw, type=Ticket)


def _derive(key: str) -> Fernet:
    """A separate key derived from a key for credentials: neither can decrypt the other's data."""
    derived = HKDF(SHA256(), 32, salt=None, info=b"stream ticket").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
