"""WebSockets as a client library opens them, with the messages and the code of the end."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.contract import matches_schema
from tests.serving import PATIENCE, Json, Serving, token

PATH = "/ws/sync-progress/"
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Socket:
    """An open WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def message(self, seconds: float = PATIENCE) -> Json:
        """The next message."""
        with anyio.fail_after(seconds):
            text = await self.connection.recv()
        message: Json = json.loads(text)
        assert list(message) == ["event", "id", "data"] and isinstance(message["id"], str)
        assert message["event"] == "reset" or matches_schema(message["data"], "SyncStatus")
        return message

    async def rest(self, seconds: float = PATIENCE) -> list[Json]:
        """All messages until the end."""
        messages = []
        with anyio.fail_after(seconds):
            while True:
                try:
                    messages.append(await self.message(seconds))
                except ConnectionClosed:
                    return messages

    async def code(self, seconds: float = PATIENCE) -> int | None:
        """The code of the end, which must come without another message."""
        assert await self.rest(seconds) == []
        return self.connection.close_code

    @property
    def reason(self) -> str:
        return self.connection.close_reason or ""


def bearer(user: str = "ann", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


@asynccontextmanager
async def socket(
    service: Serving, path: str, headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """Open the socket of a sync, or of a path; as ann, if no other headers are given."""
    path = path if path.startswith("/") else PATH + path
    async with connect(
        service.url.replace("http", "ws", 1) + path,
        additional_headers=bearer() if headers is None else headers,
        proxy=None,
        ping_interval=None,
        close_timeout=5,
        **options,
    ) as connection:
        yield Socket(connection)


async def refusal(
    service: Serving, path: str, headers: Mapping[str, str] | None = None, **options: Any
) -> tuple[int | None, str]:
    """The code and the reason with which a socket is closed instead of sending messages."""
    async with socket(service, path, headers, **options) as opened:
        return await opened.code(), opened.reason
