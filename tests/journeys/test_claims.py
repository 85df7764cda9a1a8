"""What Amazon owes, found by the rules, beside what the sandbox's generator says that it planted.

CLAIM_SELLERS=10 compares more sellers than the suite has time for."""

import os
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from connectors import amazon_sandbox as amazon
from tests.connectors.amazon.planted import as_found, as_planted
from tests.journeys.test_amazon import local_sandbox
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

SIZES = (1_000, 300, 1_600, 50, 700, 2_500, 120, 1_300, 10, 5_000)
CHOSEN = list(enumerate(SIZES, start=1))[: int(os.environ.get("CLAIM_SELLERS", "2"))]
EXACT = ("R1", "R2", "R3", "R4", "R5", "R7", "R8")
PERHAPS = ("R6", "R9", "R10")
"""These rest on what is missing from a report, or on what the seller says: they are told apart."""


class MovedClock:
    """The real time, moved to the morning of a fixed day, and on when it is told to."""

    def __init__(self) -> None:
        self.moved = datetime(2026, 3, 4, 9, 30, tzinfo=UTC) - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Market:
    """A seller in the sandbox, connected to a service; both go by one clock."""

    def __init__(self, folder: Path, seed: int, orders: int) -> None:
        self._folder, self._seed, self._orders = folder, seed, orders
        self.clock = MovedClock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Market":
        enter = self._stack.enter_async_context
        self.url = await enter(local_sandbox(clock=self.clock, orders=self._orders, speed=3000))
        environ = amazon.environ(self.url)
        self.service: Serving = await enter(serve(self._folder, self.clock, **environ))
        self.door = await enter(httpx.AsyncClient(base_url=self.url, timeout=60))
        self.ann: User = self.service.user()
        body = amazon.connection(self._seed, self._orders)
        await self.ann.connect(**body, skipHistoricalSync=True)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def sync(self) -> Json:
        done = await self.ann.until(await self.ann.start(), seconds=90)
        assert done["status"] == "complete", done
        assert {each["status"] for each in done["datasets"]} == {"complete"}, done["warnings"]
        return done

    async def asked(self, **what: str) -> Json:
        path = f"/_sandbox/sellers/{self._seed}-{self._orders}"
        return read(await self.door.get(path, params=what))

    async def planted(self, **costs: str) -> list[Json]:
        found: list[Json] = (await self.asked(truth="claims", **costs))["claims"]
        return found

    async def give_costs(self) -> None:
        table = (await self.asked(truth="costs"))["costs"]
        answer = await self.ann.http.put("/api/costs", json=table)
        assert read(answer)["accepted"] == len(table), answer.text

    async def found(self) -> list[Json]:
        claims: list[Json] = []
        params: Json = {"limit": 100}
        while True:
            page = read(await self.ann.get("/api/recoveries", params=params))
            claims += page["recoveries"]
            if not page["nextCursor"]:
                return claims
            params["cursor"] = page["nextCursor"]

    async def reimburse(self, claim: Json) -> None:
        body = {
            "seed": self._seed,
            "orders": self._orders,
            "rule": claim["rule"],
            "key": claim["key"],
        }
        answer = await self.door.post("/_sandbox/reimburse", json=body)
        assert answer.status_code == 200, answer.text


def agree(found: list[Json], planted: list[Json], rules: tuple[str, ...]) -> None:
    """Thing, units, amount, window, confidence and status: all of it, of every claim."""
    found, planted = ([one for one in each if one["rule"] in rules] for each in (found, planted))
    assert sorted(map(as_found, found)) == sorted(map(as_planted, planted))
    statuses = [Counter((one["rule"], one["status"]) for one in each) for each in (found, planted)]
    assert statuses[0] == statuses[1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("seed", "orders"), CHOSEN)
async def test_the_rules_find_what_was_planted_and_nothing_else(
    seed: int, orders: int, tmp_path: Path
) -> None:
    async with Market(tmp_path, seed, orders) as market:
        done = await market.sync()
        found, planted = await market.found(), await market.planted()
        agree(found, planted, EXACT)
        agree(found, planted, PERHAPS)
        assert done["claimsDetected"] == len(found)
        if orders >= 1_000:
            assert {each["rule"] for each in found} >= {*EXACT}, "each had something to find"


@pytest.mark.timeout(120)
async def test_costs_that_are_given_value_the_claims_of_the_next_sync(tmp_path: Path) -> None:
    async with Market(tmp_path, 2, 700) as market:
        await market.sync()
        before = await market.found()
        await market.give_costs()
        await market.sync()
        found, planted = await market.found(), await market.planted(costs="given")
        agree(found, planted, EXACT)
        agree(found, planted, PERHAPS)
        assert {each["rule"] for each in found} - {each["rule"] for each in before} == {"R10"}


@pytest.mark.timeout(120)
async def test_a_second_sync_doubles_no_claim_and_a_late_payment_closes_one(tmp_path: Path) -> None:
    async with Market(tmp_path, 3, 1000) as market:
        await market.sync()
        before = {each["id"]: each for each in await market.found()}
        await market.sync()
        assert {each["id"] for each in await market.found()} == set(before)
        paid = [each for each in await market.planted() if each["status"] == "claimable"]
        chosen = [next(c for c in paid if c["rule"] == rule) for rule in ("R1", "R4", "R5")]
        for claim in chosen:
            await market.reimburse(claim)
        market.clock.moved += timedelta(hours=5)  # then Amazon makes its daily reports anew
        await market.sync()
        after = {each["id"]: each for each in await market.found()}
        closed = {i for i, each in after.items() if each["status"] == "reimbursed"}
        told = sorted(as_found(before[each]) for each in closed)
        assert told == sorted(map(as_planted, chosen))
