"""Honest tenants beside sixteen whose source is hostile without end: how much longer they take."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx

from connectors import amazon_sandbox
from tests.benchmarks.child import child
from tests.benchmarks.starts import free_port
from tests.hostile.answers import ANSWERS
from tests.hostile.api import Case, hostile_api
from tests.hostile.honest import US, Call
from tests.journeys.process import service
from tests.serving import ENDED, Json, User, token

SYNCS = 5
"""Syncs that are timed, each of a new seller, whose quotas nobody has used."""
BOUND = 120.0
"""Seconds that one of them may take."""
SETTLED = 5.0
"""Seconds that the hostile ones have before the first honest sync begins."""
LATENCY = 0.2
"""Seconds before each answer, as from Amazon: else a whole honest sync takes but 0.1 s."""
LOOK = 2.0
"""Seconds between two looks at whether a hostile sync has ended."""

HOSTILE = (
    ("searchOrders", "a body byte by byte"),
    ("getInventorySummaries", "a head byte by byte"),
    ("download", "a body byte by byte"),
    ("listTransactions", "no answer at all"),
    ("searchOrders", "new tokens, the same page"),
    ("getShipments", "new tokens, the same page"),
    ("listTransactions", "new tokens, empty pages"),
    ("getInventorySummaries", "a token cycle of two"),
    ("searchOrders", "status 500 with words"),
    ("listTransactions", "status 503, retry in eleven days"),
    ("createReport", "429 for ever"),
    ("getShipments", "429 for ever"),
    ("download", "60 MB of line ends"),
    ("download", "rows without end"),
    ("getInventorySummaries", "a body without end"),
    ("searchOrders", "33 MiB of blanks"),
)
"""The operation of each hostile seller that is spoilt, and what is answered there."""


async def run() -> dict[str, float]:
    with child(answer) as far:
        address: str = await far.told()
        alone = await _honest(address, "alone", beside=False)
        beside = await _honest(address, "beside", beside=True)
    return {
        f"s, median of {SYNCS} syncs of an honest tenant, alone": alone,
        f"s, the same beside {len(HOSTILE)} hostile tenants": beside,
        "ratio": beside / alone,
    }


async def _honest(address: str, name: str, beside: bool) -> float:
    """The median of the seconds from a start to its last event, in a service of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with service(folder, free_port(), **amazon_sandbox.environ(address)) as near:
            async with anyio.create_task_group() as group:
                if beside:
                    for number in range(len(HOSTILE)):
                        group.start_soon(_again_and_again, near.url, f"hostile-{number}")
                    await anyio.sleep(SETTLED)
                took = [await _timed(near.url, f"{name}-{number}") for number in range(SYNCS)]
                group.cancel_scope.cancel()
    print(f"    {name}: " + ", ".join(f"{seconds:.2f} s" for seconds in took))
    return sorted(took)[SYNCS // 2]


async def _timed(url: str, seller: str) -> float:
    async with _connected(url, seller) as user:
        with anyio.fail_after(BOUND):
            begun = perf_counter()
            last: Json = {}
            async for event in user.events(await user.start()):
                last = event.json()
            took = perf_counter() - begun
    lost = [each["name"] for each in last["datasets"] if each["status"] != "complete"]
    assert last["status"] == "complete" and set(lost) <= {"claims"}, last
    return took


async def _again_and_again(url: str, seller: str) -> None:
    """A hostile seller: one sync after the other, until the measurement is over."""
    async with _connected(url, seller) as user:
        while True:
            sync_id = await user.start()
            while (await user.status(sync_id))["status"] not in ENDED:
                await anyio.sleep(LOOK)


@asynccontextmanager
async def _connected(url: str, seller: str) -> AsyncIterator[User]:
    """A user in a tenant of its own, connected as this seller."""
    headers = {"Authorization": f"Bearer {token(seller, tenant=seller)}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        user = User(http)
        await user.connect(**_connection(seller))
        yield user


def _connection(seller: str) -> dict[str, Any]:
    return {
        "connector": "amazon",
        "region": "NA",
        "environment": "production",
        "marketplaceIds": [US],
        "refreshToken": f"Atzr|{seller}",
    }


def answer(pipe: Connection) -> None:
    anyio.run(_answer, pipe, backend_options={"use_uvloop": True})


async def _answer(pipe: Connection) -> None:
    """The source, in a process of its own: what it sends without end costs this one nothing."""
    cases = {
        f"hostile-{number}": Case(operation, name, ANSWERS[name])
        for number, (operation, name) in enumerate(HOSTILE)
    }
    async with hostile_api(cases) as api:
        prompt = api._answer

        async def distant(call: Call, writer: asyncio.StreamWriter) -> bool:
            await asyncio.sleep(LATENCY)
            return await prompt(call, writer)

        api._answer = distant  # type: ignore[method-assign]
        pipe.send(api.address)
        await anyio.sleep_forever()
