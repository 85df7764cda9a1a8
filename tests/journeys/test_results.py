"""The comparison of results: the same orders, read in different ways, are no difference."""

from typing import Any

import msgspec
import pytest

from connectors.amazon.orders.reader import A_DAY
from connectors.amazon.orders.search import ORDERS
from connectors.amazon_sandbox import Settings
from tests.connectors.amazon.bench import UNLIMITED, Bench, connect
from tests.journeys.results import Result, differences

pytestmark = pytest.mark.anyio


async def orders(a_day: str) -> dict[str, Any]:
    bench = Bench(Settings(quotas=UNLIMITED))
    pages = await bench.sync(ORDERS, connect("1-300", **{A_DAY: a_day}))
    return {
        record.id: msgspec.json.decode(record.data) for page in pages for record in page.records
    }


def result(orders: dict[str, Any]) -> Result:
    stored = [(id, msgspec.json.encode(order).decode()) for id, order in sorted(orders.items())]
    return Result({}, {"orders": stored}, [], 1, "complete")


async def test_an_order_that_is_read_by_a_report_or_a_search_is_the_same() -> None:
    searched, both = await orders("3"), await orders("500")
    assert len(searched) == 300 and sum("source" in order for order in both.values()) > 200
    assert differences(result(searched), result(both)) == []
    some = next(
        order
        for order in both.values()
        if "source" in order and order["fulfillment"]["fulfillmentStatus"] == "SHIPPED"
    )
    some["orderItems"][0]["quantityOrdered"] += 1
    assert differences(result(searched), result(both)) == ["orders: 1 lost, 1 too many"]
    del both[some["orderId"]]
    assert differences(result(searched), result(both)) != []


async def test_an_order_that_is_read_the_same_way_must_be_equal() -> None:
    searched, again = await orders("3"), await orders("3")
    assert differences(result(searched), result(again)) == []
    next(iter(again.values()))["orderItems"].append("another")
    assert differences(result(searched), result(again)) == ["orders: 1 lost, 1 too many"]
