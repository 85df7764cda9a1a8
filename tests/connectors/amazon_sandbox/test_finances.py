"""Finances 2024-06-19."""

from collections import Counter
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import TRANSACTIONS, UNLIMITED, US, Bench, refusal

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    """A seller of more than a few pages."""
    return Bench(Settings(orders=500, quotas=UNLIMITED))


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    return [each async for page in bench.transactions(**params) for each in page]


def related(transaction: dict[str, Any], name: str) -> str | None:
    """What the transaction says it belongs to."""
    found = {
        each["relatedIdentifierName"]: each["relatedIdentifierValue"]
        for each in transaction["relatedIdentifiers"]
    }
    return found.get(name)


def cents(amount: dict[str, Any]) -> int:
    return round(float(amount["currencyAmount"]) * 100)


async def test_an_empty_page_may_come_before_the_end(bench: Bench) -> None:
    sizes = [len(page) async for page in bench.transactions()]
    assert sizes[:5] == [100, 100, 0, 100, 100]


async def test_every_transaction_comes_once_and_in_order(bench: Bench) -> None:
    transactions = await read(bench)
    ids = [each["transactionId"] for each in transactions]
    assert len(ids) == len(set(ids)) > 400
    dates = [each["postedDate"] for each in transactions]
    assert dates == sorted(dates)


async def test_a_shipment_is_posted_for_what_was_shipped(bench: Bench) -> None:
    shipped = {
        order["orderId"]: order
        async for page in bench.orders(includedData="FULFILLMENT")
        for order in page["orders"]
        if order["fulfillment"]["fulfillmentStatus"] in ("SHIPPED", "PARTIALLY_SHIPPED")
    }
    posted = [
        each
        for each in await read(bench)
        if each["transactionType"] == "Shipment" and related(each, "ORDER_ID") in shipped
    ]
    assert 0.95 * len(shipped) < len(posted) <= len(shipped)
    for each in posted:
        order_id = related(each, "ORDER_ID")
        sent = Counter(
            {
                item["product"]["sellerSku"]: item["fulfillment"]["quantityFulfilled"]
                for item in shipped[order_id]["orderItems"]
            }
        )
        paid = Counter(
            {c["sku"]: c["quantityShipped"] for item in each["items"] for c in item["contexts"]}
        )
        assert paid == +sent
        assert each["postedDate"] > shipped[order_id]["lastUpdatedTime"]


async def test_amounts_are_numbers_that_add_up_all_the_way_down(bench: Bench) -> None:
    for each in await read(bench):
        total = cents(each["totalAmount"])
        assert total == sum(cents(part["breakdownAmount"]) for part in each["breakdowns"])
        if each["items"]:
            assert total == sum(cents(item["totalAmount"]) for item in each["items"])
        for part in each["breakdowns"]:
            below = [cents(leaf["breakdownAmount"]) for leaf in part["breakdowns"]]
            assert cents(part["breakdownAmount"]) == sum(below)


async def test_there_is_more_than_shipments(bench: Bench) -> None:
    kinds = Counter(each["transactionType"] for each in await read(bench))
    assert kinds.keys() == {"Shipment", "Refund", "ServiceFee", "Adjustment"}
    refunds = [each for each in await read(bench) if each["transactionType"] == "Refund"]
    assert all(cents(each["totalAmount"]) < 0 for each in refunds)


async def test_the_window_holds_its_start_but_not_its_end(bench: Bench) -> None:
    everything = await read(bench)
    after, before = everything[3]["postedDate"], everything[9]["postedDate"]
    found = await read(bench, postedAfter=after, postedBefore=before)
    assert found == [each for each in everything if after <= each["postedDate"] < before]


async def test_a_window_of_more_than_180_days_is_empty_without_an_error(bench: Bench) -> None:
    assert await read(bench, postedAfter=bench.ago(days=180.1)) == []
    assert await read(bench, postedAfter=bench.ago(days=180)) != []


async def test_transactions_of_one_order_need_no_window(bench: Bench) -> None:
    refund = next(each for each in await read(bench) if each["transactionType"] == "Refund")
    related = {
        each["relatedIdentifierName"]: each["relatedIdentifierValue"]
        for each in refund["relatedIdentifiers"]
    }
    params = {
        "relatedIdentifierName": "ORDER_ID",
        "relatedIdentifierValue": related["ORDER_ID"],
    }
    found = (await bench.get(TRANSACTIONS, params)).json()["payload"]["transactions"]
    assert [each["transactionType"] for each in found] == ["Shipment", "Refund"]
    group = related["FINANCIAL_EVENT_GROUP_ID"]
    of_group = {
        "relatedIdentifierName": "FINANCIAL_EVENT_GROUP_ID",
        "relatedIdentifierValue": group,
    }
    assert refund in await read(bench, **of_group)


async def test_payments_of_business_orders_are_deferred_for_two_weeks(bench: Bench) -> None:
    by_status = {
        status: await read(bench, transactionStatus=status)
        for status in ("RELEASED", "DEFERRED", "DEFERRED_RELEASED")
    }
    assert all(by_status.values())
    assert sum(map(len, by_status.values())) == len(await read(bench))
    assert all(each["postedDate"] > bench.ago(days=15) for each in by_status["DEFERRED"])


async def test_with_a_marketplace_what_the_merchant_shipped_is_left_out(bench: Bench) -> None:
    def networks(transactions: list[dict[str, Any]]) -> set[str]:
        items = [item for each in transactions for item in each["items"]]
        return {context["fulfillmentNetwork"] for item in items for context in item["contexts"]}

    assert networks(await read(bench)) == {"AFN", "MFN"}
    assert networks(await read(bench, marketplaceId=US)) == {"AFN"}
    assert await read(bench, marketplaceId="A2EUQ1WTGCTBG2") == []


async def test_a_token_of_transactions_dies_after_five_minutes(bench: Bench) -> None:
    params = {"postedAfter": bench.ago(days=90)}
    first = (await bench.get(TRANSACTIONS, params)).json()["payload"]
    following = params | {"nextToken": first["nextToken"]}
    await bench.clock.sleep(300)
    second = (await bench.get(TRANSACTIONS, following)).json()["payload"]
    await bench.clock.sleep(1)
    assert refusal(await bench.get(TRANSACTIONS, following))[:2] == (400, "InvalidInput")
    following["nextToken"] = second["nextToken"]
    assert (await bench.get(TRANSACTIONS, following)).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"postedAfter": "2026-03-02T09:29:00Z"},
        {"postedAfter": "2026-01-01T00:00:00Z", "postedBefore": "2026-03-02T09:29:00Z"},
        {"postedAfter": "2026-01-02T00:00:00Z", "postedBefore": "2026-01-01T00:00:00Z"},
        {"postedAfter": "2026-01-01T00:00:00Z", "transactionStatus": "PAID"},
        {"postedAfter": "2026-01-01T00:00:00Z", "marketplaceId": "A1PA6795UKMFR9"},
        {"relatedIdentifierName": "ORDER_ID"},
        {"relatedIdentifierName": "SHIPMENT_ID", "relatedIdentifierValue": "1"},
        {"postedAfter": "2026-01-01T00:00:00 09:00"},
    ],
)
async def test_bad_parameters_are_invalid_input(bench: Bench, params: dict[str, str]) -> None:
    assert refusal(await bench.get(TRANSACTIONS, params))[:2] == (400, "InvalidInput")
