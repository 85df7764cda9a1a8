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
from tests.serving import PATIENCE, BodyError, Serving, User, serve, token

pytestmark = pytest.mark.anyio

STARVED = {"createReport": (0.001, 1.0)}


@asynccontextmanager
async def local_sandbox(clock: Clock | None = None, **settings: Any) -> AsyncIterator[str]:
    """The sandbox on a loopback port, in this process."""
    async with served(amazon.create_app(amazon.Settings(**settings), clock)) as url:
        yield url


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """An application on a loopback port, in this process."""
    bound = listen("127.0.0.1", 0)
    server = Server(app, None, signals=False)
    body = BodyError()
    with body.raised(), closing(bound):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: server.serve(sockets=[bound]))
            try:
                with body.caught():
                    yield address(bound)
            finally:
                server.should_exit = True


@asynccontextmanager
async def connected(
    folder: Path, url: str, orders: int
) -> AsyncIterator[tuple[Serving, User, httpx.AsyncClient]]:
    async with (
        serve(folder, None, **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url) as control,
    ):
        ann = service.user()
        await ann.connect(**amazon.connection(1, orders), skipHistoricalSync=True)
        yield service, ann, control


async def test_every_record_of_the_seller_is_stored(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=700, speed=600) as url,
        connected(tmp_path, url, 700) as (_, ann, control),
    ):
        done = await ann.whole_sync()
        assert done["status"] == "complete"
        counts = (await control.get("/_sandbox/sellers/1-700")).json()["counts"]
        for dataset in ("orders", "inventory", "transactions"):
            assert len(await ann.records(dataset)) == counts[dataset]["total"] > 0
        assert done["ordersProcessed"] == 700


async def test_amazons_static_sandbox_completes_with_unknown_reports(tmp_path: Path) -> None:
    """The datasets that it does not offer are unknown, each with a warning."""
    async with (
        local_sandbox(orders=0, static=True) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        await ann.connect(**{**amazon.connection(1, 0), "environment": "sandbox"})
        done = await ann.whole_sync()
        outcomes = {item["name"]: item["status"] for item in done["datasets"]}
        read = {name for name, status in outcomes.items() if status == "complete"}
        assert done["status"] == "complete"
        assert read == {"orders", "inventory", "transactions", "shipments"}
        # Some rules need transactions only.
        assert outcomes.pop("claims") == "partial"
        assert {status for name, status in outcomes.items() if name not in read} == {"unknown"}
        for dataset in ("orders", "transactions", "shipments"):
            assert len(await ann.records(dataset)) == 1
        warnings = [
            text["message"] for text in done["warnings"] if "static sandbox" in text["message"]
        ]
        assert len(warnings) == len(outcomes) - len(read)


async def test_several_marketplaces_are_read_and_missing_ones_are_named(tmp_path: Path) -> None:
    """Amazon makes one stock report in half an hour, for any one marketplace."""
    places = ("ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8")
    async with (
        local_sandbox(orders=120, speed=60, marketplaces=places) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        await ann.connect(**{**amazon.connection(1, 120), "marketplaceIds": list(places)})
        done = await ann.whole_sync()
        outcomes = {item["name"]: item["status"] for item in done["datasets"]}
        assert done["status"] == "complete"
        assert outcomes.pop("stock") == "partial"
        assert set(outcomes.values()) == {"complete"}
        warning = done["warnings"][0]["message"]
        assert all(place in warning for place in places[1:]) and places[0] not in warning
        assert len(await ann.records("stock")) > 0


async def test_an_order_read_by_report_is_unchanged_when_read_by_search(tmp_path: Path) -> None:
    """The first sync reads orders by report, since it cannot know how many there are; the second
    by search, since they are few."""
    async with (
        local_sandbox(orders=300, speed=3000) as url,
        connected(tmp_path, url, 300) as (_, ann, control),
    ):
        await ann.whole_sync(datasets=["orders"])
        again = (await ann.whole_sync(datasets=["orders"], overwrite=True))["datasets"][0]
        calls = (await control.get("/_sandbox/log")).json()["calls"]
        names = [call["operation"] for call in calls]
        assert names.count("download") == 3 and names.count("searchOrders") > 3
        assert (again["unchanged"], again["updated"], again["created"]) == (300, 0, 0)


async def test_orders_are_searched_if_reports_are_denied(tmp_path: Path) -> None:
    """As for an application without the roles for reports, which the warnings name."""
    refusal = b'{"errors":[{"code":"Unauthorized","message":"Denied."}]}'

    async def without_reports(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/reports/"):
            await Response(refusal, 403)(scope, receive, send)
        else:
            await whole(scope, receive, send)

    whole = amazon.create_app(amazon.Settings(orders=300, speed=3000))
    async with (
        served(without_reports) as url,
        connected(tmp_path, url, 300) as (_, ann, _),
    ):
        done = await ann.whole_sync()
        outcomes = {item["name"]: item["status"] for item in done["datasets"]}
        assert (done["status"], done["ordersProcessed"]) == ("complete", 300)
        assert (outcomes["orders"], outcomes["transactions"]) == ("complete", "complete")
        assert outcomes["ledger"] == "failed" and outcomes["claims"] == "partial"
        assert any(
            "lacks the role Amazon Fulfillment" in text["message"] for text in done["warnings"]
        )


async def test_a_missing_role_is_named_and_other_datasets_are_read(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=200, speed=3000) as url,
        connected(tmp_path, url, 200) as (_, ann, control),
    ):
        await control.post("/_sandbox/faults", json={"missingRoles": ["Finance and Accounting"]})
        done = await ann.whole_sync()
        outcomes = {item["name"]: item["status"] for item in done["datasets"]}
        assert done["status"] == "complete"
        assert outcomes.pop("transactions") == "failed"
        assert outcomes.pop("claims") == "partial"  # rules that need no transactions did run
        assert set(outcomes.values()) == {"complete"}
        assert any(
            "lacks the role Finance and Accounting" in text["message"] for text in done["warnings"]
        )


async def test_a_fatal_report_makes_claims_unknown_with_a_warning(
    tmp_path: Path,
) -> None:
    async with (
        local_sandbox(orders=200, speed=3000) as url,
        connected(tmp_path, url, 200) as (_, ann, control),
    ):
        await control.post("/_sandbox/faults", json={"fatalReports": 1})
        done = await ann.whole_sync(datasets=["ledger", "reimbursements", "inventory"])
        outcomes = {item["name"]: item["status"] for item in done["datasets"]}
        assert outcomes["ledger"] == "unknown"
        assert (outcomes["claims"], done["claimsDetected"]) == ("unknown", None)
        assert any("Claims are unknown" in warning["message"] for warning in done["warnings"])


async def test_access_tokens_that_expire_during_a_sync_are_renewed(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=1000, speed=60) as url,
        connected(tmp_path, url, 1000) as (_, ann, control),
    ):
        sync_id = await ann.start()
        for count in (200, 500, 800):
            await ann.until_processed(sync_id, "orders", count)
            await control.post("/_sandbox/expire")
        done = await ann.until(sync_id)
        assert (done["status"], done["ordersProcessed"]) == ("complete", 1000)


async def test_an_authorisation_revoked_during_a_sync_pauses_it(
    tmp_path: Path,
) -> None:
    async with (
        local_sandbox(orders=1000, speed=60) as url,
        connected(tmp_path, url, 1000) as (_, ann, control),
    ):
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 200)
        body = {"refreshToken": str(amazon.connection(1, 1000)["refreshToken"])}
        await control.post("/_sandbox/revoke", json=body)
        paused = await ann.until(sync_id)
        assert paused["status"] == "paused"
        assert paused["error"]["code"] == "connection_lost"
        assert len(await ann.records("orders")) == paused["ordersProcessed"] >= 200


async def test_a_cancel_ends_a_sync_that_waits_for_a_quota(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=1000, quotas=STARVED) as url,
        connected(tmp_path, url, 1000) as (service, ann, _),
    ):
        sync_id = await ann.start(datasets=["orders"])
        with anyio.fail_after(PATIENCE):
            while not (waiting := await ann.status(sync_id))["waitingUntil"]:
                await anyio.sleep(0.01)
        assert "Waiting" in waiting["message"] and "quota for createReport" in waiting["message"]
        assert waiting["estimatedSecondsRemaining"] > 60
        cancelled = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()
        assert (cancelled["status"], cancelled["waitingUntil"]) == ("cancelled", None)
        with anyio.fail_after(PATIENCE):  # the wait would last many minutes
            while service.parts.registry.runs(sync_id):
                await anyio.sleep(0.005)
        # The page that estimates the number of orders is stored before reports are ordered.
        assert len(await ann.records("orders")) == cancelled["ordersProcessed"] < 1000


async def test_a_restarted_service_remembers_the_quota(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """At 60 times the speed, one call is allowed every 3 s once the burst of 20 is spent. A process
    that forgot the spent burst would send 20 calls at once and receive 429."""
    port = free_port()
    headers = {"Authorization": f"Bearer {token()}"}
    with process.sandbox(tmp_path, free_port(), orders=2300, speed=60) as source:
        environ = amazon.environ(source.url)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers
        ) as client:
            ann = User(client)
            with process.service(tmp_path, port, **environ) as server:
                await ann.connect(**amazon.connection(1, 2300), skipHistoricalSync=True)
                sync_id = await ann.start(datasets=["orders"])
                await ann.until_processed(sync_id, "orders", 2000)
                server.kill()
            with process.service(tmp_path, port, **environ):
                done = await ann.until(sync_id)
        async with httpx.AsyncClient(base_url=source.url) as control:
            calls = (await control.get("/_sandbox/log")).json()["calls"]
    assert (done["status"], done["ordersProcessed"]) == ("complete", 2300)
    assert [call for call in calls if call["status"] == 429] == []
    checks = [call for call in calls if call["operation"] == "getMarketplaceParticipations"]
    assert len(checks) == 1, "an account check of this hour is not repeated"
