"""How long a start and a cancel take while 100 other syncs run."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import anyio
import httpx

from connectors import amazon_sandbox as amazon
from tests.journeys.process import free_port, sandbox, service
from tests.serving import User, serve, token

RUNNING = 100
STARTS = 50
#: Orders of each seller: a hundred of them start at once and keep one processor busy for 20 s.
ORDERS = 300


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        starts, cancels = await _demo(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        amazon_starts, amazon_cancels = await _amazon(Path(folder))
    return {
        "ms to answer a start while 100 syncs run, median": _at(starts, 0.5),
        "the same, the slowest of 50": max(starts),
        "ms to answer a cancel, the slowest of 50": max(cancels),
        "ms to answer a start while 100 Amazon syncs begin at once, median": _at(
            amazon_starts, 0.5
        ),
        "the same, nine of ten within": _at(amazon_starts, 0.9),
        "the same, the slowest of those 50": max(amazon_starts),
        "ms to answer a cancel then, nine of ten within": _at(amazon_cancels, 0.9),
    }


async def _demo(folder: Path) -> tuple[list[float], list[float]]:
    """In this process, with sources that only pause."""
    slow = serve(
        folder,
        MAX_RUNNING_SYNCS="500",
        DEMO_PAUSE="0.5",
        DEMO_PAGE="25",
        DEMO_ORDERS="100000",
    )
    async with slow as service:
        for number in range(RUNNING):
            user = service.user(f"busy-{number}")
            await user.connect()
            await user.start()
        starts, cancels = [], []
        for number in range(STARTS):
            user = service.user(f"new-{number}")
            await user.connect()
            started, cancelled = await _once(user)
            starts.append(started)
            cancels.append(cancelled)
    return starts, cancels


async def _amazon(folder: Path) -> tuple[list[float], list[float]]:
    """The service, the local Selling Partner API and this client share the machine's processors."""
    with (
        sandbox(folder, free_port(), ORDERS, 60) as source,
        service(
            folder, free_port(), MAX_RUNNING_SYNCS="500", **amazon.environ(source.url)
        ) as server,
    ):
        async with AsyncExitStack() as stack:
            busy = [
                await stack.enter_async_context(client(server.url, f"busy-{number}"))
                for number in range(RUNNING)
            ]
            new = await stack.enter_async_context(client(server.url, "new"))
            for seed, user in enumerate([*busy, new], 1):
                await user.connect(**amazon.connection(seed, ORDERS))
            async with anyio.create_task_group() as group:
                for user in busy:
                    group.start_soon(user.start)
            times = []
            for _ in range(STARTS):
                times.append(await _once(new))
                await anyio.sleep(0.2)
    return [started for started, _ in times], [cancelled for _, cancelled in times]


async def _once(user: User) -> tuple[float, float]:
    """Milliseconds of a start and of its cancel."""
    begin = perf_counter()
    sync_id = await user.start()
    started = perf_counter()
    assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
    return (started - begin) * 1000, (perf_counter() - started) * 1000


@asynccontextmanager
async def client(url: str, name: str) -> AsyncIterator[User]:
    headers = {"Authorization": f"Bearer {token(name)}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        yield User(http)


def _at(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[int(len(figures) * share)]
