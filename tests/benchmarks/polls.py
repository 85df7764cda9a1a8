"""Status polls beside a bare Starlette route, in the same process and the same run."""

import socket
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.server import Server, address, listen
from tests.benchmarks.child import child
from tests.serving import serve, token

SECONDS = 3.0
CLIENTS = 8


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder), DEMO_PAUSE="600") as service:
            ann = service.user()
            await ann.connect()
            sync_id = await ann.start()
            body = (await ann.get(f"/api/sync/status/{sync_id}")).content

            async def bare(_: Request) -> Response:
                return Response(body, media_type="application/json")

            app = Starlette(routes=[Route("/api/sync/status/{sync_id}", bare)])
            bound = listen("127.0.0.1", 0)
            server = Server(app, None, signals=False)
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: server.serve(sockets=[bound]))
                path = f"/api/sync/status/{sync_id}"
                polls = await _measure(service.url, path)
                baseline = await _measure(address(bound), path)
                server.should_exit = True
    return {
        "status polls a second": polls,
        "a bare Starlette route with the same bytes": baseline,
        "ratio": polls / baseline,
    }


async def _measure(url: str, path: str) -> float:
    with child(poll, url, path, token()) as client:
        rate: float = await client.received()
    return rate


def poll(
    pipe: Connection,
    url: str,
    path: str,
    bearer: str,
    clients: int = CLIENTS,
    seconds: float = SECONDS,
) -> None:
    """Keep some requests in flight on persistent connections; send the number a second."""
    import selectors

    to = urlsplit(url)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {to.netloc}\r\nAuthorization: Bearer {bearer}\r\n\r\n"
    ).encode()
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        client = socket.create_connection((to.hostname or "", to.port or 0))
        client.sendall(request)
        selector.register(client, selectors.EVENT_READ, bytearray())
    count, begin = 0, perf_counter()
    while (now := perf_counter()) - begin < seconds:
        for key, _ in selector.select():
            key.data.extend(key.fileobj.recv(65536))  # type: ignore[union-attr]
            if _whole(key.data):
                key.data.clear()
                key.fileobj.sendall(request)  # type: ignore[union-attr]
                count += 1
    pipe.send(count / (now - begin))


def _whole(answer: bytearray) -> bool:
    """Whether a response is complete. Anything but 200 ends the measurement."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not body:
        return False
    assert head.startswith(b"HTTP/1.1 200"), head
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
