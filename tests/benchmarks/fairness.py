"""Ten small tenants beside one with a hundred times their data: how much longer they take."""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import anyio

from connectors import amazon_sandbox as amazon
from tests.benchmarks.starts import client
from tests.journeys.process import free_port, sandbox, service
from tests.serving import Json, User

SMALL, BIG = 100, 10_000
TENANTS = 10


async def run() -> dict[str, float]:
    alone = await _median(beside=False)
    beside = await _median(beside=True)
    return {
        f"s, median sync of ten tenants of {SMALL} orders, alone": alone,
        f"s, the same beside one of {BIG:,} orders": beside,
        "ratio": beside / alone,
    }


async def _median(beside: bool) -> float:
    """The median duration of the small tenants; the big one starts first and runs until the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox(Path(folder), free_port(), SMALL, 60) as source,
        service(Path(folder), free_port(), **amazon.environ(source.url)) as server,
    ):
        async with AsyncExitStack() as stack:

            async def connected(name: str, seed: int, orders: int) -> User:
                user = await stack.enter_async_context(client(server.url, name))
                await user.connect(**amazon.connection(seed, orders))
                return user

            small = [await connected(f"small-{n}", n + 2, SMALL) for n in range(TENANTS)]
            big = await connected("big", 1, BIG)
            if beside:
                big_id = await big.start()
                await big.until_processed(big_id, "orders", 1)
            ended: list[Json] = []
            async with anyio.create_task_group() as group:
                for user in small:
                    group.start_soon(_sync, user, ended)
            if beside:
                status = await big.until(big_id, seconds=600)
                print(
                    f"    the big one: {status['duration']} s, {status['recordsProcessed']} records"
                )
    return sorted(float(status["duration"]) for status in ended)[TENANTS // 2]


async def _sync(user: User, ended: list[Json]) -> None:
    """Follow a sync by its stream: hundreds of polls would be a load of their own."""
    async for event in user.events(await user.start()):
        last: Json = event.json()
    ended.append(last)
