"""A seller whom Amazon never reimbursed: it makes no report of reimbursements for them, and they
are owed most. Their claims have low confidence until a second report says the same; a kill of the
service in between forgets nothing."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import amazon_sandbox as amazon
from connectors.amazon_sandbox.faults import EventReport, Faults
from tests.journeys.process import Died, Process, dying_service
from tests.journeys.test_amazon import local_sandbox
from tests.journeys.test_claims import MovedClock
from tests.serving import PATIENCE, Json, User, read, token

pytestmark = pytest.mark.anyio

ORDERS = 1_000
REIMBURSEMENTS: EventReport = "GET_FBA_REIMBURSEMENTS_DATA"


class Account:
    """A seller of the sandbox, and the service as processes that are killed."""

    def __init__(self, folder: Path, free_port: Callable[[], int], clock: MovedClock) -> None:
        self._folder, self._free_port, self._clock = folder, free_port, clock
        self.url = ""
        self.sync_id = ""

    @asynccontextmanager
    async def service(self, **environ: str) -> AsyncIterator[tuple[Process, User]]:
        """The service at the time of the clock, with what its processes have stored so far."""
        ahead = str(self._clock.moved.total_seconds())
        environ |= {"CLOCK_AHEAD": ahead, **amazon.environ(self.url)}
        with dying_service(self._folder, self._free_port(), **environ) as server:
            headers = {"Authorization": f"Bearer {token()}"}
            async with httpx.AsyncClient(
                base_url=server.url, headers=headers, timeout=PATIENCE
            ) as http:
                yield server, User(http)

    async def sync(self, user: User) -> tuple[Json, list[Json]]:
        """A sync to its end, and the claims of R1."""
        self.sync_id = self.sync_id or await user.start()
        done = await user.until(self.sync_id)
        assert done["status"] == "complete", done
        self.sync_id = ""
        return done, await claims(user)

    async def planted(self) -> list[Json]:
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as control:
            path = f"/_sandbox/sellers/1-{ORDERS}"
            planted = read(await control.get(path, params={"truth": "claims"}))["claims"]
        return [claim for claim in planted if claim["rule"] == "R1"]


async def claims(user: User) -> list[Json]:
    claims: list[Json] = []
    params: dict[str, Any] = {"limit": 100, "rule": "R1"}
    while True:
        page = read(await user.get("/api/recoveries", params=params))
        claims += page["recoveries"]
        if not page["nextCursor"]:
            return claims
        params["cursor"] = page["nextCursor"]


def reimbursements(done: Json) -> tuple[str, int]:
    [dataset] = [item for item in done["datasets"] if item["name"] == "reimbursements"]
    return dataset["status"], dataset["processed"]


async def test_a_seller_who_was_never_reimbursed_sees_what_amazon_owes(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    clock = MovedClock()
    faults = Faults(reports_without_data=(REIMBURSEMENTS,))
    async with local_sandbox(clock=clock, orders=ORDERS, speed=3000, faults=faults) as url:
        account = Account(tmp_path, free_port, clock)
        account.url = url
        async with account.service() as (server, user):
            await user.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
            done, first = await account.sync(user)
            server.kill()
        assert reimbursements(done) == ("complete", 0)
        [warning] = [
            warning["message"]
            for warning in done["warnings"]
            if REIMBURSEMENTS in warning["message"]
        ]
        assert "there is no data" in warning
        products = {claim["details"]["fnsku"] for claim in first}
        assert products >= {claim["fnsku"] for claim in await account.planted()} != set()
        assert {claim["confidence"] for claim in first} == {"low"}
        assert all("no later report has confirmed" in rests_on(claim) for claim in first)

        clock.moved += timedelta(hours=1)  # within the interval
        async with account.service() as (server, user):
            done, again = await account.sync(user)
            server.kill()
        assert reimbursements(done) == ("complete", 0)
        assert {claim["confidence"] for claim in again} == {"low"}

        clock.moved += timedelta(hours=4)
        await die(account, "detect:50")
        async with account.service() as (_, user):
            done, last = await account.sync(user)
        assert {claim["id"] for claim in last} >= {claim["id"] for claim in first}
        assert all("nor in that of" in rests_on(claim) for claim in last)
        assert sum(claim["confidence"] == "high" for claim in last) > len(last) / 2


def rests_on(claim: Json) -> str:
    text: str = claim["details"]["emptyInputs"]
    return text


async def die(account: Account, place: str) -> None:
    """A sync during which the service is killed; the next process continues it."""
    try:
        async with account.service(DIE_AT=place) as (server, user):
            account.sync_id = await user.start()
            await user.until(account.sync_id)
    except (httpx.TransportError, Died):
        assert server.popen.wait(20) == -signal.SIGKILL, server.log
        return
    raise AssertionError(f"The process has not passed {place}.")
