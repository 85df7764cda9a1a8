"""The claims that the service finds, compared with those that the sandbox planted.

CLAIM_SELLERS=40 compares more sellers than the suite has time for, every second one with faults."""

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
from connectors.amazon.claims import RULES
from tests.connectors.amazon.planted import as_found, as_planted
from tests.journeys.test_amazon import local_sandbox
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

SIZES = (1_000, 300, 1_600, 50, 700, 2_500, 120, 1_300, 10, 5_000)
COUNT = int(os.environ.get("CLAIM_SELLERS", "2"))
CHOSEN = [(seed, SIZES[(seed - 1) % len(SIZES)]) for seed in range(1, COUNT + 1)]
FAULTS = "error500=0.02,throttle=0.02,expire_tokens=0.01,duplicate_pages=0.1,fatal_reports=0.05"
"""Faults that a sync overcomes without losing a record."""
EXACT = ("R1", "R2", "R3", "R4", "R5", "R7", "R8")
LESS_CERTAIN = ("R6", "R9", "R10")
"""Rules that depend on what a report lacks or on what the seller enters; compared separately."""
FURTHER = tuple(rule.code for rule in RULES if rule.code not in (*EXACT, *LESS_CERTAIN))
PLACES = (("US",), ("GB",), ("DE", "FR"), ("JP",))
"""The countries of a seller, in rotation."""


class MovedClock:
    """The real time, moved to the morning of a fixed day; tests move it further."""

    def __init__(self) -> None:
        self.moved = datetime(2026, 3, 4, 9, 30, tzinfo=UTC) - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Setup:
    """A seller in the sandbox, connected to a service that uses the same clock."""

    def __init__(self, folder: Path, seed: int, orders: int, faults: str = "") -> None:
        self._faults = amazon.read_faults(faults)
        self._folder, self._seed, self._orders = folder, seed, orders
        self._countries = PLACES[(seed - 1) % len(PLACES)]
        self.clock = MovedClock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Setup":
        enter = self._stack.enter_async_context
        self.url = await enter(
            local_sandbox(self.clock, orders=self._orders, speed=3000, faults=self._faults)
        )
        environ = amazon.environ(self.url)
        self.service: Serving = await enter(serve(self._folder, self.clock, **environ))
        self.sandbox = await enter(httpx.AsyncClient(base_url=self.url, timeout=PATIENCE))
        self.user: User = self.service.user()
        places = amazon.read_marketplaces(",".join(self._countries))
        body = amazon.connection(self._seed, self._orders, places)
        await self.user.connect(**body, skipHistoricalSync=True)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def sync(self) -> Json:
        done = await self.user.until(await self.user.start())
        assert done["status"] == "complete", done
        statuses = {dataset["name"]: dataset["status"] for dataset in done["datasets"]}
        if len(self._countries) > 1:  # one report in half an hour, for all marketplaces together
            assert statuses.pop("stock") in ("complete", "partial")
        assert set(statuses.values()) == {"complete"}, done["warnings"]
        return done

    async def ask(self, **params: str) -> Json:
        countries = () if self._countries == ("US",) else self._countries
        name = "-".join((str(self._seed), str(self._orders), *countries))
        path = f"/_sandbox/sellers/{name}"
        return read(await self.sandbox.get(path, params=params))

    async def planted(self, **given: str) -> list[Json]:
        found: list[Json] = (await self.ask(truth="claims", **given))["claims"]
        return found

    async def tell_what_arrived(self) -> None:
        lines = (await self.ask(truth="received"))["received"]
        answer = await self.user.http.put("/api/removals/received", json=lines)
        assert lines and read(answer)["accepted"] == len(lines), answer.text

    async def give_costs(self) -> None:
        table = (await self.ask(truth="costs"))["costs"]
        answer = await self.user.http.put("/api/costs", json=table)
        assert read(answer)["accepted"] == len(table), answer.text

    async def give_dimensions(self) -> None:
        table = (await self.ask(truth="dimensions"))["dimensions"]
        answer = await self.user.http.put("/api/dimensions", json=table)
        assert read(answer)["accepted"] == len(table), answer.text

    async def found(self) -> list[Json]:
        claims: list[Json] = []
        params: Json = {"limit": 100}
        while True:
            page = read(await self.user.get("/api/recoveries", params=params))
            claims += page["recoveries"]
            if not page["nextCursor"]:
                return claims
            params["cursor"] = page["nextCursor"]

    async def reimburse(self, claim: Json) -> None:
        body = {
            "seed": self._seed,
            "orders": self._orders,
            "countries": [] if self._countries == ("US",) else self._countries,
            "rule": claim["rule"],
            "key": claim["key"],
        }
        answer = await self.sandbox.post("/_sandbox/reimburse", json=body)
        assert answer.status_code == 200, answer.text


def assert_same(found: list[Json], planted: list[Json], rules: tuple[str, ...]) -> None:
    """Compare subject, units, amount, window, confidence and status of every claim."""
    found, planted = (
        [claim for claim in claims if claim["rule"] in rules] for claims in (found, planted)
    )
    assert sorted(map(as_found, found)) == sorted(map(as_planted, planted))
    assert count_statuses(found) == count_statuses(planted)


def count_statuses(claims: list[Json]) -> Counter[tuple[str, str]]:
    return Counter((claim["rule"], claim["status"]) for claim in claims)


@pytest.mark.parametrize(("seed", "orders"), CHOSEN)
async def test_the_rules_find_exactly_the_planted_claims(
    seed: int, orders: int, tmp_path: Path
) -> None:
    faults = FAULTS if seed % 2 == 0 else ""
    async with Setup(tmp_path, seed, orders, faults) as setup:
        done = await setup.sync()
        found, planted = await setup.found(), await setup.planted()
        assert_same(found, planted, EXACT)
        assert_same(found, planted, LESS_CERTAIN)
        assert_same(found, planted, FURTHER)
        assert done["claimsDetected"] == len(found)
        if orders >= 1_000:
            assert {claim["rule"] for claim in found} >= {*EXACT}, (
                "every rule has something to find"
            )


async def test_entered_costs_value_the_claims_of_the_next_sync(tmp_path: Path) -> None:
    async with Setup(tmp_path, 6, 1_000) as setup:
        await setup.sync()
        before = await setup.found()
        await setup.give_costs()
        await setup.sync()
        found, planted = await setup.found(), await setup.planted(costs="given")
        assert_same(found, planted, EXACT)
        assert_same(found, planted, LESS_CERTAIN)
        rules, rules_before = ({claim["rule"] for claim in claims} for claims in (found, before))
        assert rules - rules_before == {"R10"}


async def test_entered_dimensions_confirm_the_claims_of_the_next_sync(tmp_path: Path) -> None:
    async with Setup(tmp_path, 1, 1_000) as setup:
        await setup.sync()
        before = {claim["id"]: claim for claim in await setup.found() if claim["rule"] == "R19"}
        assert {claim["confidence"] for claim in before.values()} == {"low"}
        await setup.give_dimensions()
        await setup.sync()
        after = {claim["id"]: claim for claim in await setup.found() if claim["rule"] == "R19"}
        known = [claim_id for claim_id, claim in before.items() if claim["amount"]]
        assert known and before.keys() <= after.keys()
        for claim_id in known:
            assert after[claim_id]["amount"] == before[claim_id]["amount"]
            assert after[claim_id]["confidence"] == "high"


async def test_what_arrived_decides_the_claims_for_removals(tmp_path: Path) -> None:
    async with Setup(tmp_path, 7, 1_000) as setup:
        await setup.sync()
        before = {claim["id"]: claim for claim in await setup.found() if claim["rule"] == "R12"}
        assert {claim["confidence"] for claim in before.values()} == {"low"}
        await setup.tell_what_arrived()
        await setup.sync()
        found, planted = await setup.found(), await setup.planted(received="given")
        after = {claim["id"]: claim for claim in found if claim["rule"] == "R12"}
        assert after.keys() == before.keys(), "none vanishes"
        closed = [claim for claim in after.values() if claim["status"] == "closed"]
        assert closed and {claim["closedReason"] for claim in closed} == {"found"}
        still_open = [claim for claim in found if claim not in closed]
        assert_same(still_open, planted, ("R11", "R12"))
        assert {claim["confidence"] for claim in planted if claim["rule"] == "R12"} == {
            "low",
            "high",
        }


async def test_a_second_sync_repeats_no_claim_and_a_late_payment_closes_one(tmp_path: Path) -> None:
    async with Setup(tmp_path, 3, 1000) as setup:
        await setup.sync()
        before = {claim["id"]: claim for claim in await setup.found()}
        await setup.sync()
        assert {claim["id"] for claim in await setup.found()} == set(before)
        open_claims = [claim for claim in await setup.planted() if claim["status"] == "claimable"]
        paid = [
            next(claim for claim in open_claims if claim["rule"] == rule)
            for rule in ("R1", "R4", "R5")
        ]
        for claim in paid:
            await setup.reimburse(claim)
        setup.clock.moved += timedelta(hours=5)  # then Amazon makes new daily reports
        await setup.sync()
        after = await setup.found()
        reimbursed = [claim["id"] for claim in after if claim["status"] == "reimbursed"]
        closed = sorted(as_found(before[claim_id]) for claim_id in reimbursed)
        assert closed == sorted(map(as_planted, paid))
