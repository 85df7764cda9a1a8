"""Honest tenants beside sixteen with a hostile source: how much longer their syncs take."""

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
from tests.hostile.answers import ANSWERS
from tests.hostile.api import Case, hostile_api
from tests.hostile.honest import US, Call
from tests.journeys.process import free_port, service
from tests.serving import ENDED, Json, User, token

#: Timed syncs, each of a new seller with unused quotas.
SYNCS = 5
#: Seconds that one of them may take.
BOUND = 120.0
#: Seconds for the hostile tenants to start before the first honest sync.
SETTLED = 5.0
#: Seconds before each answer, as from Amazon: without it, an honest sync takes only 0.1 s.
LATENCY = 0.2
#: Seconds between two polls of a hostile sync.
POLL = 2.0

HOSTILE = (
    ("searchOrders", "a body byte by byte"),
    ("getInventorySummaries", "a head byte by byte"),
    ("download", "a body byte by byte"),
    ("listTransactions", "no answer at all"),
    ("searchOrders", "new tokens, the same page"),
    ("getShipments", "new tokens, the same page"),
    ("listTransactions", "new tokens, empty pages"),
    ("getInventorySummaries", "a token cycle of two"),
    ("searchOrders", "status 500 with an error"),
    ("listTransactions", "status 503, retry in eleven days"),
    ("createReport", "429 forever"),
    ("getShipments", "429 forever"),
    ("download", "60 MB of line ends"),
    ("download", "rows without end"),
    ("getInventorySummaries", "a body without end"),
    ("searchOrders", "33 MiB of blanks"),
)
"""The hostile operation of each hostile seller, and its answer."""


async def run() -> dict[str, float]:
    with child(answer) as source:
        address: str = await source.received()
        alone = await _honest(address, "alone", beside=False)
        beside = await _honest(address, "beside", beside=True)
    return {
        f"s, median of {SYNCS} syncs of an honest tenant, alone": alone,
        f"s, the same beside {len(HOSTILE)} hostile tenants": beside,
        "ratio": beside / alone,
    }


async def _honest(address: str, name: str, beside: bool) -> float:
    """The median seconds from a start to its last event, in a service of its own."""
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        with service(folder, free_port(), **amazon_sandbox.environ(address)) as server:
            async with anyio.create_task_group() as group:
                if beside:
                    for number in range(len(HOSTILE)):
                        group.start_soon(_sync_repeatedly, server.url, f"hostile-{number}")
                    await anyio.sleep(SETTLED)
                took = [await _timed(server.url, f"{name}-{number}") for number in range(SYNCS)]
                group.cancel_scope.cancel()
    print(f"    {name}: " + ", ".join(f"{seconds:.2f} s" for seconds in took))
    return sorted(took)[SYNCS // 2]


async def _timed(url: str, seller: str) -> float:
    async with _connected(url, seller) as user:
        with anyio.fail_after(BOUND):
            begin = perf_counter()
            last: Json = {}
            async for event in user.events(await user.start()):
                last = event.json()
            took = perf_counter() - begin
    lost = [item["name"] for item in last["datasets"] if item["status"] != "complete"]
    assert last["status"] == "complete" and set(lost) <= {"claims"}, last
    return took


async def _sync_repeatedly(url: str, seller: str) -> None:
    """A hostile seller: one sync after the other, until cancelled."""
    async with _connected(url, seller) as user:
        while True:
            sync_id = await user.start()
            while (await user.status(sync_id))["status"] not in ENDED:
                await anyio.sleep(POLL)


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
    """The source, in a process of its own, so that endless answers take no time of this one."""
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
