"""The server stops without dropping a request: a proxy repeats none that changes something."""

import socket
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from connectors.base import SystemClock
from service.errors import StartupError
from service.server import Server, bind, listen
from service.streams.hub import Hub
from service.wire.serialize import Encoder

pytestmark = pytest.mark.anyio
REQUEST = b"POST /start HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def _start(request: Request) -> PlainTextResponse:
    return PlainTextResponse("started")


class Running:
    """A server that runs, and its address."""

    def __init__(self, server: Server, bound: socket.socket) -> None:
        self.server = server
        self.bound = bound
        self.address = bound.getsockname()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    bound = listen("127.0.0.1", 0)
    hub = Hub(SystemClock(), Encoder(), 10)
    server = Server(Starlette(routes=[Route("/start", _start, methods=["POST"])]), hub)
    async with hub.open():
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([bound])
        yield Running(server, bound)


async def _answer(client: socket.socket) -> bytes:
    def read() -> bytes:
        with client:
            return b"".join(iter(lambda: client.recv(4096), b""))

    return await anyio.to_thread.run_sync(read)


async def test_a_connection_that_the_server_has_not_accepted_yet_is_answered(
    running: Running,
) -> None:
    client = running.connect()  # the loop does not run meanwhile, so nobody accepts it
    client.sendall(REQUEST)
    await running.server.shutdown([running.bound])
    assert (await _answer(client)).endswith(b"started")


async def test_a_connection_that_has_not_sent_its_request_yet_is_answered(
    running: Running,
) -> None:
    client = running.connect()
    while not running.server.server_state.connections:
        await anyio.sleep(0.001)
    async with anyio.create_task_group() as group:
        group.start_soon(running.server.shutdown, [running.bound])
        await anyio.lowlevel.checkpoint()
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        client.sendall(REQUEST)
    assert (await _answer(client)).endswith(b"started")


async def test_a_connection_that_sends_nothing_is_closed(running: Running) -> None:
    client = running.connect()
    await running.server.shutdown([running.bound])
    assert await _answer(client) == b""


async def test_an_address_refuses_connections_until_the_server_runs() -> None:
    """A proxy then sends its requests to a process that is ready."""
    bound = bind("127.0.0.1", 0)
    with bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname(), timeout=10)


async def test_of_two_processes_that_reserve_an_address_the_second_one_says_so() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port) as second:
            first.listen()
            server = Server(Starlette(), None)
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            with pytest.raises(StartupError, match=f"127.0.0.1:{port}"):
                await server.startup([second])
