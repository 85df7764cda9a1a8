"""Reports that silently lose rows: the sync notices and reads what they lack."""

from datetime import date
from pathlib import Path

import pytest

from connectors import amazon_sandbox as amazon
from connectors.amazon_sandbox.faults import Faults, is_hidden
from tests.journeys.test_amazon import local_sandbox
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio

ORDERS = 1_200


async def synced(user: User) -> Json:
    await user.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
    return await user.until(await user.start(), seconds=60)


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
        (orders,) = [
            item for item in read(await ann.get(path))["datasets"] if item["name"] == "orders"
        ]
        assert sum(day["fetched"] for day in orders["days"]) > 150


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
