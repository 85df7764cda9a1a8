"""A process that has fewer descriptors than clients."""

import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.journeys.process import Process, service
from tests.serving import PATIENCE, User, token

pytestmark = pytest.mark.anyio

HARD = 160
CLIENTS = 250
HEADERS = {"Authorization": f"Bearer {token()}"}


@contextmanager
def few_descriptors(folder: Path, port: int, soft: int) -> Iterator[Process]:
    """The service in a process with these limits."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {HARD}))"
    (folder / "limited.py").write_text(
        f"{limited}\nfrom service.__main__ import main\nmain()\n", encoding="utf-8"
    )
    with service(folder, port, "limited", PYTHONPATH=str(folder)) as server:
        yield server


def connected(url: str, count: int, stack: ExitStack) -> list[socket.socket]:
    address = urlsplit(url)
    clients = []
    for _ in range(count):
        client = socket.create_connection((str(address.hostname), int(address.port or 0)), 5)
        clients.append(stack.enter_context(client))
    return clients


def _answer(client: socket.socket) -> bytes:
    """The answer; empty if the connection was reset before it was read."""
    try:
        return client.recv(10_000)
    except ConnectionResetError:
        return b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with few_descriptors(tmp_path, free_port(), 64) as server:
        limits = Path(f"/proc/{server.popen.pid}/limits").read_text(encoding="utf-8")
    (line,) = (text for text in limits.splitlines() if text.startswith("Max open files"))
    assert line.split()[3:5] == [str(HARD), str(HARD)]


async def test_clients_beyond_the_descriptors_are_refused_and_syncs_continue(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with few_descriptors(tmp_path, free_port(), HARD) as server:
        async with httpx.AsyncClient(
            base_url=server.url, headers=HEADERS, timeout=PATIENCE
        ) as client:
            ann = User(client)
            await ann.connect()
            with ExitStack() as crowd:
                clients = connected(server.url, CLIENTS, crowd)
                sync_id = await ann.start()  # on a connection that was opened before
                done = await ann.until(sync_id)
                assert done["status"] == "complete"
                answered, _, _ = select.select(clients, [], [], 5)
                answers = [_answer(client) for client in answered]
            assert len(answers) > CLIENTS - HARD
            assert all(b"too_many_connections" in answer for answer in answers if answer)
            assert any(answers), "closed without an answer"
            for _ in range(50):
                async with httpx.AsyncClient(base_url=server.url, headers=HEADERS) as other:
                    assert (await other.get("/readyz")).status_code == 200
        assert server.terminate(20) == 0
    lines = [line for line in server.log.splitlines() if "too_many_connections" in line]
    assert 1 <= len(lines) <= 5, "logged a few times only"
    assert "Traceback" not in server.log
