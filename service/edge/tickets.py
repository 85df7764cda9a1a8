"""Tickets: what an EventSource opens a stream with where it can send neither header nor cookie.

They are kept nowhere: every process with the same SECRETS_KEYS can read them, after a restart too.
They are encrypted, not only signed: an address may come to eyes that need not see whose it is."""

import base64
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LIFE = timedelta(minutes=15)


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """Who may follow which sync, and until when (seconds since 1970). Tenant and `sub` together
    are the user."""

    sub: str
    tenant: str
    plan: str
    sync_id: str
    ends: float

    @property
    def until(self) -> datetime:
        return datetime.fromtimestamp(self.ends, UTC)


class Tickets:
    """Writes and reads tickets. Without keys (demo mode) they are good as long as the process."""

    def __init__(self, keys: str) -> None:
        given = [key.strip() for key in keys.split(",") if key.strip()]
        self._keys = MultiFernet(
            [_own_key(key) for key in given or [Fernet.generate_key().decode()]]
        )

    def write(self, ticket: Ticket) -> str:
        return self._keys.encrypt(msgspec.json.encode(ticket)).decode().rstrip("=")

    def read(self, text: str) -> Ticket:
        """Raises ValueError for what was not written here."""
        try:
            raw = self._keys.decrypt(text + "=" * (-len(text) % 4))
        except InvalidToken as error:
            raise ValueError("no ticket of ours") from error
        return msgspec.json.decode(raw, type=Ticket)


def _own_key(key: str) -> Fernet:
    """Made of a key for credentials, but another: neither can pass for the other's work."""
    derived = HKDF(SHA256(), 32, salt=None, info=b"stream ticket").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
