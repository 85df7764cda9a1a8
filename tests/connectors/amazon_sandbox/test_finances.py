"""Finances 2024-06-19."""

from collections import Counter
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import TRANSACTIONS, UNLIMITED, US, Bench, error_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    """A sandbox whose seller has many pages."""
    return Bench(Settings(orders=500, quotas=UNLIMITED))


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    return [transaction async for page in bench.transactions(**params) for transaction in page]


def related(transaction: dict[str, Any], name: str) -> str | None:
    """The value of a related identifier."""
    identifiers = {
        identifier["relatedIdentifierName"]: identifier["relatedIdentifierValue"]
        for identifier in transaction["relatedIdentifiers"]
    }
    return identifiers.get(name)


def cents(amount: dict[str, Any]) -> int:
    return round(float(amount["currencyAmount"]) * 100)


async def test_an_empty_page_may_precede_other_pages(bench: Bench) -> None:
    sizes = [len(page) async for page in bench.transactions()]
    assert sizes[:5] == [100, 100, 0, 100, 100]


async def test_every_transaction_is_listed_once_in_order(bench: Bench) -> None:
    transactions = await read(bench)
    ids = [transaction["transactionId"] for transaction in transactions]
    assert len(ids) == len(set(ids)) > 400
    dates = [transaction["postedDate"] for transaction in transactions]
    assert dates == sorted(dates)


async def test_a_shipment_has_the_units_of_its_order(bench: Bench) -> None:
    shipped = {
        order["orderId"]: order
        async for page in bench.orders(includedData="FULFILLMENT")
        for order in page["orders"]
        if order["fulfillment"]["fulfillmentStatus"] in ("SHIPPED", "PARTIALLY_SHIPPED")
    }
    posted = [
        transaction
        for transaction in await read(bench)
        if transaction["transactionType"] == "Shipment"
        and related(transaction, "ORDER_ID") in shipped
    ]
    assert 0.95 * len(shipped) < len(posted) <= len(shipped)
    for transaction in posted:
        order_id = related(transaction, "ORDER_ID")
        sent = Counter(
            {
                item["product"]["sellerSku"]: item["fulfillment"]["quantityFulfilled"]
                for item in shipped[order_id]["orderItems"]
            }
        )
        paid = Counter(
            {
                c["sku"]: c["quantityShipped"]
                for item in transaction["items"]
                for c in item["contexts"]
            }
        )
        assert paid == +sent
        assert transaction["postedDate"] > shipped[order_id]["lastUpdatedTime"]


async def test_amounts_add_up_at_every_level_of_the_breakdown(bench: Bench) -> None:
    for transaction in await read(bench):
        total = cents(transaction["totalAmount"])
        assert total == sum(cents(part["breakdownAmount"]) for part in transaction["breakdowns"])
        if transaction["items"]:
            assert total == sum(cents(item["totalAmount"]) for item in transaction["items"])
        for part in transaction["breakdowns"]:
            below = [cents(leaf["breakdownAmount"]) for leaf in part["breakdowns"]]
            assert cents(part["breakdownAmount"]) == sum(below)


async def test_every_transaction_type_occurs(bench: Bench) -> None:
    kinds = Counter(transaction["transactionType"] for transaction in await read(bench))
    assert kinds.keys() == {"Shipment", "Refund", "ServiceFee", "Adjustment"}
    refunds = [
        transaction
        for transaction in await read(bench)
        if transaction["transactionType"] == "Refund"
    ]
    assert all(cents(transaction["totalAmount"]) < 0 for transaction in refunds)


async def test_the_window_includes_its_start_but_not_its_end(bench: Bench) -> None:
    everything = await read(bench)
    after, before = everything[3]["postedDate"], everything[9]["postedDate"]
    transactions = await read(bench, postedAfter=after, postedBefore=before)
    assert transactions == [
        transaction for transaction in everything if after <= transaction["postedDate"] < before
    ]


async def test_a_window_of_more_than_180_days_is_empty_without_an_error(bench: Bench) -> None:
    assert await read(bench, postedAfter=bench.ago(days=180.1)) == []
    assert await read(bench, postedAfter=bench.ago(days=180)) != []


async def test_transactions_of_one_order_need_no_window(bench: Bench) -> None:
    refund = next(
        transaction
        for transaction in await read(bench)
        if transaction["transactionType"] == "Refund"
    )
    related = {
        identifier["relatedIdentifierName"]: identifier["relatedIdentifierValue"]
        for identifier in refund["relatedIdentifiers"]
    }
    params = {
        "relatedIdentifierName": "ORDER_ID",
        "relatedIdentifierValue": related["ORDER_ID"],
    }
    transactions = (await bench.get(TRANSACTIONS, params)).json()["payload"]["transactions"]
    assert [transaction["transactionType"] for transaction in transactions] == [
        "Shipment",
        "Refund",
    ]
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
    assert all(
        transaction["postedDate"] > bench.ago(days=15) for transaction in by_status["DEFERRED"]
    )


async def test_a_marketplace_filter_leaves_out_orders_shipped_by_the_merchant(bench: Bench) -> None:
    def networks(transactions: list[dict[str, Any]]) -> set[str]:
        items = [item for transaction in transactions for item in transaction["items"]]
        return {context["fulfillmentNetwork"] for item in items for context in item["contexts"]}

    assert networks(await read(bench)) == {"AFN", "MFN"}
    assert networks(await read(bench, marketplaceId=US)) == {"AFN"}
    assert await read(bench, marketplaceId="A2EUQ1WTGCTBG2") == []


async def test_a_page_token_of_transactions_expires_after_five_minutes(bench: Bench) -> None:
    params = {"postedAfter": bench.ago(days=90)}
    first = (await bench.get(TRANSACTIONS, params)).json()["payload"]
    second_page = params | {"nextToken": first["nextToken"]}
    await bench.clock.sleep(300)
    second = (await bench.get(TRANSACTIONS, second_page)).json()["payload"]
    await bench.clock.sleep(1)
    assert error_of(await bench.get(TRANSACTIONS, second_page))[:2] == (400, "InvalidInput")
    second_page["nextToken"] = second["nextToken"]
    assert (await bench.get(TRANSACTIONS, second_page)).status_code == 200


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
    assert error_of(await bench.get(TRANSACTIONS, params))[:2] == (400, "InvalidInput")
