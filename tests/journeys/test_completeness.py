"""Reports that silently lose rows: the sync notices and reads what they lack."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import anyio
import httpx
import pytest

from connectors import amazon_sandbox as amazon
from connectors.amazon.orders.report import BY_UPDATE
from connectors.amazon_sandbox.faults import Faults, is_hidden
from tests.journeys.process import Process, dying_service
from tests.journeys.test_amazon import local_sandbox
from tests.serving import PATIENCE, Json, User, read, serve, token

pytestmark = pytest.mark.anyio

ORDERS = 1_200
MANY = 2_400
"""So many that a search would take longer than its burst allows."""
FETCHED = re.compile("Fetching missing orders .[1-9]")


async def synced(user: User, orders: int = ORDERS) -> Json:
    await user.connect(**amazon.connection(1, orders), skipHistoricalSync=True)
    return await user.until(await user.start())


async def test_a_fifth_of_the_orders_is_hidden_and_read_in_the_same_sync(tmp_path: Path) -> None:
    faults = Faults(hidden_rows=0.2)
    async with (
        local_sandbox(orders=ORDERS, speed=3000, faults=faults) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        done = await synced(ann)
        assert (done["status"], done["warnings"]) == ("complete", [])
        assert done["completeness"]["short"] == 0
        assert done["completeness"]["confirmed"] > 80
        stored = {record["id"] for record in await ann.records("orders")}
        traced = await traced_orders(ann)
        hidden = {order for order in traced if is_hidden(order, 1, 0.2)}
        assert len(hidden) > 150
        assert len(hidden & stored) >= 0.99 * len(hidden)
        path = f"/api/connections/{done['connectionId']}/sync-status"
        datasets = {item["name"]: item for item in read(await ann.get(path))["datasets"]}
        assert sum(day["fetched"] for day in datasets["orders"]["days"]) > 150
        for name in ("orders", "transactions", "returns", "reimbursements", "ledger"):
            days = datasets[name]["days"]
            counted = sum(day["records"] for day in days)  # reports may begin a day earlier
            assert 0.98 * datasets[name]["records"] <= counted <= datasets[name]["records"], name
            assert name == "orders" or {day["state"] for day in days} == {"single_sourced"}
        assert datasets["inventory"]["days"] == []


async def test_many_hidden_orders_are_read_by_a_report_of_another_type(tmp_path: Path) -> None:
    faults = Faults(hidden_rows=0.2, hidden_in=(BY_UPDATE,))
    async with (
        local_sandbox(orders=MANY, speed=3000, faults=faults) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url) as control,
    ):
        ann = service.user()
        done = await synced(ann, MANY)
        assert (done["status"], done["warnings"]) == ("complete", [])
        assert done["completeness"]["short"] == 0
        stored = {record["id"] for record in await ann.records("orders")}
        hidden = {order for order in await traced_orders(ann) if is_hidden(order, 1, 0.2)}
        assert len(hidden) > 300
        assert len(hidden & stored) >= 0.99 * len(hidden)
        calls = (await control.get("/_sandbox/log")).json()["calls"]
        assert sum(call["operation"] == "getOrder" for call in calls) < 0.1 * len(hidden)


async def traced_orders(user: User) -> set[str]:
    """The orders on Amazon's marketplaces that transactions show as shipped lately."""
    newest = max(t["data"]["postedDate"] for t in await user.records("transactions"))
    return {
        identifier["relatedIdentifierValue"]
        for transaction in await user.records("transactions")
        for identifier in transaction["data"]["relatedIdentifiers"]
        if transaction["data"]["transactionType"] == "Shipment"
        and identifier["relatedIdentifierName"] == "ORDER_ID"
        and identifier["relatedIdentifierValue"][0] == "1"
        and age(newest, transaction["data"]["postedDate"]) < 80
    }


def age(newest: str, posted: str) -> int:
    return (date.fromisoformat(newest[:10]) - date.fromisoformat(posted[:10])).days


async def test_a_kill_while_missing_orders_are_read_loses_and_repeats_none(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    async with local_sandbox(orders=ORDERS, speed=100, faults=Faults(hidden_rows=0.2)) as url:
        port, environ = free_port(), amazon.environ(url)
        with dying_service(tmp_path, port, **environ) as server:
            async with user_of(server) as ann:
                await ann.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
                sync_id = await ann.start()
                with anyio.fail_after(PATIENCE):
                    while not FETCHED.match((await ann.status(sync_id))["message"]):
                        await anyio.sleep(0.01)
                server.kill()
        with dying_service(tmp_path, port, **environ) as server:
            async with user_of(server) as ann:
                done = await ann.until(sync_id)
                assert (done["status"], done["warnings"]) == ("complete", [])
                assert done["completeness"]["short"] == 0
                stored = {record["id"] for record in await ann.records("orders")}
                assert done["ordersProcessed"] == done["totalOrders"] == len(stored)
                assert await traced_orders(ann) <= stored


@asynccontextmanager
async def user_of(server: Process) -> AsyncIterator[User]:
    headers = {"Authorization": f"Bearer {token('ann')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client:
        yield User(client)


async def test_an_honest_seller_is_confirmed_without_a_further_order(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=ORDERS, speed=3000) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        done = await synced(ann)
        assert (done["status"], done["warnings"]) == ("complete", [])
        assert done["completeness"]["short"] == 0
        assert len(await ann.records("orders")) == ORDERS
