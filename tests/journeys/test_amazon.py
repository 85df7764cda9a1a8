"""The Amazon connector inside the service, against the local Selling Partner API."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors import amazon_sandbox as amazon
from connectors.base import Clock
from service.server import Server, address, listen
from tests.journeys import process
from tests.serving import Serving, User, serve, token

pytestmark = pytest.mark.anyio

STARVED = {"createReport": (0.001, 1.0)}


@asynccontextmanager
async def far_side(clock: Clock | None = None, **settings: Any) -> AsyncIterator[str]:
    """A sandbox on a loopback port, in this process."""
    async with served(amazon.create_app(amazon.Settings(**settings), clock)) as url:
        yield url


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    bound = listen("127.0.0.1", 0)
    server = Server(app, None, signals=False)
    with closing(bound):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: server.serve(sockets=[bound]))
            try:
                yield address(bound)
            finally:
                server.should_exit = True


@asynccontextmanager
async def connected(
    folder: Path, url: str, orders: int
) -> AsyncIterator[tuple[Serving, User, httpx.AsyncClient]]:
    async with (
        serve(folder, None, **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url) as door,
    ):
        ann = service.user()
        await ann.connect(**amazon.connection(1, orders), skipHistoricalSync=True)
        yield service, ann, door


async def test_everything_that_the_seller_has_arrives(tmp_path: Path) -> None:
    async with (
        far_side(orders=700, speed=600) as url,
        connected(tmp_path, url, 700) as (_, ann, door),
    ):
        done = await ann.whole_sync()
        assert done["status"] == "complete"
        counts = (await door.get("/_sandbox/sellers/1-700")).json()["counts"]
        for dataset in ("orders", "inventory", "transactions"):
            assert len(await ann.records(dataset)) == counts[dataset]["total"] > 0
        assert done["ordersProcessed"] == 700


async def test_amazons_static_sandbox_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Green with what it offers; of the rest it is said that it is unknown, and why."""
    async with (
        far_side(orders=0, static=True) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        await ann.connect(**{**amazon.connection(1, 0), "environment": "sandbox"})
        done = await ann.whole_sync()
        outcomes = {each["name"]: each["status"] for each in done["datasets"]}
        read = {name for name, status in outcomes.items() if status == "complete"}
        assert done["status"] == "complete"
        assert read == {"orders", "inventory", "transactions", "shipments"}
        assert {status for name, status in outcomes.items() if name not in read} == {"unknown"}
        for dataset in ("orders", "transactions", "shipments"):
            assert len(await ann.records(dataset)) == 1
        said = [each for each in done["warnings"] if "static sandbox makes no such report" in each]
        assert len(said) == 6


async def test_several_marketplaces_are_read_and_what_lacks_is_named(tmp_path: Path) -> None:
    """Amazon makes one report of the stock in half an hour, for whichever of them."""
    places = ("ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8")
    async with (
        far_side(orders=120, speed=60, marketplaces=places) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        await ann.connect(**{**amazon.connection(1, 120), "marketplaceIds": list(places)})
        done = await ann.whole_sync()
        outcomes = {each["name"]: each["status"] for each in done["datasets"]}
        assert done["status"] == "complete"
        assert outcomes.pop("stock") == "partial"
        assert set(outcomes.values()) == {"complete"}
        [said] = done["warnings"]
        assert all(each in said for each in places[1:]) and places[0] not in said
        assert len(await ann.records("stock")) > 0


async def test_an_order_is_unchanged_whichever_way_it_is_read_again(tmp_path: Path) -> None:
    """The first time by report, since nothing is known; then by search, since there are few."""
    async with (
        far_side(orders=300, speed=3000) as url,
        connected(tmp_path, url, 300) as (_, ann, door),
    ):
        await ann.whole_sync(datasets=["orders"])
        again = (await ann.whole_sync(datasets=["orders"], overwrite=True))["datasets"][0]
        calls = (await door.get("/_sandbox/log")).json()["calls"]
        names = [call["operation"] for call in calls]
        assert names.count("download") == 3 and names.count("searchOrders") > 3
        assert (again["unchanged"], again["updated"], again["created"]) == (300, 0, 0)


async def test_where_reports_are_refused_the_orders_are_searched(tmp_path: Path) -> None:
    """As for an application without the roles for reports. What needs them says so."""
    refusal = b'{"errors":[{"code":"Unauthorized","message":"Denied."}]}'

    async def without_reports(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/reports/"):
            await Response(refusal, 403)(scope, receive, send)
        else:
            await whole(scope, receive, send)

    whole = amazon.create_app(amazon.Settings(orders=300, speed=3000))
    async with (
        served(without_reports) as url,
        connected(tmp_path, url, 300) as (_, ann, _door),
    ):
        done = await ann.whole_sync()
        outcomes = {each["name"]: each["status"] for each in done["datasets"]}
        assert (done["status"], done["ordersProcessed"]) == ("complete", 300)
        assert (outcomes["orders"], outcomes["transactions"]) == ("complete", "complete")
        assert outcomes["ledger"] == "failed" and outcomes["claims"] == "unknown"
        assert any("lacks the role Amazon Fulfillment" in each for each in done["warnings"])


async def test_a_missing_role_names_itself_and_the_others_are_read(tmp_path: Path) -> None:
    async with (
        far_side(orders=200, speed=3000) as url,
        connected(tmp_path, url, 200) as (_, ann, door),
    ):
        await door.post("/_sandbox/faults", json={"missingRoles": ["Finance and Accounting"]})
        done = await ann.whole_sync()
        outcomes = {each["name"]: each["status"] for each in done["datasets"]}
        assert done["status"] == "complete"
        assert outcomes.pop("transactions") == "failed"
        assert outcomes.pop("claims") == "partial"  # rules without transactions found what they can
        assert set(outcomes.values()) == {"complete"}
        assert any("lacks the role Finance and Accounting" in each for each in done["warnings"])


async def test_a_report_that_fails_makes_claims_partial_and_never_a_silent_zero(
    tmp_path: Path,
) -> None:
    async with (
        far_side(orders=200, speed=3000) as url,
        connected(tmp_path, url, 200) as (_, ann, door),
    ):
        await door.post("/_sandbox/faults", json={"fatalReports": 1})
        done = await ann.whole_sync(datasets=["ledger", "reimbursements", "transactions"])
        outcomes = {each["name"]: each["status"] for each in done["datasets"]}
        assert (outcomes["ledger"], outcomes["transactions"]) == ("unknown", "complete")
        assert (outcomes["claims"], done["claimsDetected"]) == ("unknown", 0)
        assert any("Claims are unknown" in warning for warning in done["warnings"])


async def test_tokens_that_die_in_the_middle_are_renewed(tmp_path: Path) -> None:
    async with (
        far_side(orders=1000, speed=60) as url,
        connected(tmp_path, url, 1000) as (_, ann, door),
    ):
        sync_id = await ann.start()
        for count in (200, 500, 800):
            await ann.until_processed(sync_id, "orders", count)
            await door.post("/_sandbox/expire")
        done = await ann.until(sync_id)
        assert (done["status"], done["ordersProcessed"]) == ("complete", 1000)


async def test_an_authorisation_that_is_revoked_in_the_middle_pauses_the_sync(
    tmp_path: Path,
) -> None:
    async with (
        far_side(orders=1000, speed=60) as url,
        connected(tmp_path, url, 1000) as (_, ann, door),
    ):
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 200)
        body = {"refreshToken": str(amazon.connection(1, 1000)["refreshToken"])}
        await door.post("/_sandbox/revoke", json=body)
        paused = await ann.until(sync_id)
        assert paused["status"] == "paused"
        assert paused["error"]["code"] == "connection_lost"
        assert len(await ann.records("orders")) == paused["ordersProcessed"] >= 200


async def test_a_cancel_reaches_a_sync_that_sleeps_for_a_quota(tmp_path: Path) -> None:
    async with (
        far_side(orders=1000, quotas=STARVED) as url,
        connected(tmp_path, url, 1000) as (service, ann, _door),
    ):
        sync_id = await ann.start(datasets=["orders"])
        with anyio.fail_after(20):
            while not (waiting := await ann.status(sync_id))["waitingUntil"]:
                await anyio.sleep(0.01)
        assert "Waiting" in waiting["message"] and "quota for createReport" in waiting["message"]
        assert waiting["estimatedSecondsRemaining"] > 60
        cancelled = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()
        assert (cancelled["status"], cancelled["waitingUntil"]) == ("cancelled", None)
        with anyio.fail_after(2):  # it would have slept for many minutes
            while service.parts.registry._runner._running:
                await anyio.sleep(0.005)
        assert len(await ann.records("orders")) == cancelled["ordersProcessed"] == 0


@pytest.mark.timeout(90)
async def test_a_restart_remembers_the_quota_and_is_never_refused(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """At 60 times the speed a call comes every 3 s once the burst of 20 is spent; a process that
    forgot that would ask 20 times at once and be told 429."""
    port = free_port()
    headers = {"Authorization": f"Bearer {token()}"}
    with process.sandbox(tmp_path, free_port(), orders=2300, speed=60) as far:
        environ = amazon.environ(far.url)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers
        ) as client:
            ann = User(client)
            with process.service(tmp_path, port, **environ) as near:
                await ann.connect(**amazon.connection(1, 2300), skipHistoricalSync=True)
                sync_id = await ann.start(datasets=["orders"])
                await ann.until_processed(sync_id, "orders", 2000)
                near.kill()
            with process.service(tmp_path, port, **environ):
                done = await ann.until(sync_id, seconds=40)
        async with httpx.AsyncClient(base_url=far.url) as door:
            calls = (await door.get("/_sandbox/log")).json()["calls"]
    assert (done["status"], done["ordersProcessed"]) == ("complete", 2300)
    assert [call for call in calls if call["status"] == 429] == []
    checks = [call for call in calls if call["operation"] == "getMarketplaceParticipations"]
    assert len(checks) == 1, "an account check of this hour is not repeated"
