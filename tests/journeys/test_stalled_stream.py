"""A client that stops reading a stream, like a sleeping laptop, and then disconnects."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.journeys.process import service
from tests.service.api.streams import request
from tests.serving import PATIENCE, User, token

pytestmark = pytest.mark.anyio

MANY_EVENTS = {"DEMO_ORDERS": "3000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.001"}
"""More bytes of events than all buffers between the service and a client hold."""


async def test_a_stream_that_is_not_read_and_then_closed_does_not_hang_the_service(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    with service(tmp_path, free_port(), **MANY_EVENTS) as server, ExitStack() as stack:
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, timeout=PATIENCE
        ) as client:
            ann = User(client)
            await ann.connect()
            sync_id = await ann.start()
            paths = [f"/api/sse/sync-progress/{sync_id}", "/api/sse/syncs"] * 2
            stalled = [stack.enter_context(_unread(server.url, path)) for path in paths]
            await ann.until(sync_id)
            for client_socket in stalled:
                client_socket.close()
            for _ in range(20):
                assert (await client.get("/healthz")).status_code == 200
        assert server.terminate(20) == 0
    for word in ("error", "Traceback", "warning"):
        assert word not in server.log


def _unread(url: str, path: str) -> socket.socket:
    """Open a stream and read only its first bytes."""
    address = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port))
    client.sendall(request(path))
    assert client.recv(100)
    return client
