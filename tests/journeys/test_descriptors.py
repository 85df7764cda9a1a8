"""A process with few descriptors, and more clients than it has descriptors for."""

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
from tests.serving import User, token

pytestmark = pytest.mark.anyio

HARD = 160
CLIENTS = 250
HEADERS = {"Authorization": f"Bearer {token()}"}


@contextmanager
def few_descriptors(folder: Path, port: int, soft: int) -> Iterator[Process]:
    """The service as a child that inherits these limits."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {HARD}))"
    (folder / "limited.py").write_text(
        f"{limited}\nfrom service.__main__ import main\nmain()\n", encoding="utf-8"
    )
    with service(folder, port, "limited", PYTHONPATH=str(folder)) as near:
        yield near


def connected(url: str, count: int, stack: ExitStack) -> list[socket.socket]:
    address = urlsplit(url)
    found = []
    for _ in range(count):
        opened = socket.create_connection((str(address.hostname), int(address.port or 0)), 5)
        found.append(stack.enter_context(opened))
    return found


def _answer(client: socket.socket) -> bytes:
    """Empty where the reset, which the bytes sent before it cause, was quicker."""
    try:
        return client.recv(10_000)
    except ConnectionResetError:
        return b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with few_descriptors(tmp_path, free_port(), 64) as near:
        limits = Path(f"/proc/{near.popen.pid}/limits").read_text(encoding="utf-8")
    (line,) = (each for each in limits.splitlines() if each.startswith("Max open files"))
    assert line.split()[3:5] == [str(HARD), str(HARD)]


@pytest.mark.timeout(120)
async def test_more_clients_than_descriptors_are_refused_and_the_syncs_go_on(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with few_descriptors(tmp_path, free_port(), HARD) as near:
        async with httpx.AsyncClient(base_url=near.url, headers=HEADERS, timeout=20) as client:
            ann = User(client)
            await ann.connect()
            with ExitStack() as crowd:
                clients = connected(near.url, CLIENTS, crowd)
                sync_id = await ann.start()  # on its own connection, from before
                done = await ann.until(sync_id, seconds=30)
                assert done["status"] == "complete"
                answered, _, _ = select.select(clients, [], [], 5)
                answers = [_answer(each) for each in answered]
            assert len(answers) > CLIENTS - HARD
            assert all(b"too_many_connections" in each for each in answers if each)
            assert any(answers), "closed without a word"
            for _ in range(50):
                async with httpx.AsyncClient(base_url=near.url, headers=HEADERS) as other:
                    assert (await other.get("/readyz")).status_code == 200
        assert near.terminate(20) == 0
    lines = [each for each in near.log.splitlines() if "too_many_connections" in each]
    assert 1 <= len(lines) <= 5, "seldom, however many there are"
    assert "Traceback" not in near.log
