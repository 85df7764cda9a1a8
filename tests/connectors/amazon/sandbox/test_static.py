"""The mode in which it answers like Amazon's static sandbox."""

import pytest

from connectors.amazon.sandbox import Settings

from .bench import (
    INVENTORY,
    ORDERS,
    PARTICIPATIONS,
    REPORTS,
    TRANSACTIONS,
    US,
    WHOLE_INVENTORY,
    refusal,
)
from .bench import Bench as Ordinary

pytestmark = pytest.mark.anyio

REFUSED = (400, "InvalidInput", "Could not match input arguments")


@pytest.fixture
def bench() -> Ordinary:
    return Ordinary(Settings(orders=0, static=True))


async def test_only_the_literal_parameters_are_answered(bench: Ordinary) -> None:
    params = {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US}
    body = (await bench.get("/orders/v0/orders", params)).json()
    assert body["payload"]["CreatedBefore"] == "1.569521782042E9"
    params["CreatedAfter"] = "2026-01-01T00:00:00Z"
    assert refusal(await bench.get("/orders/v0/orders", params)) == REFUSED


async def test_parameters_that_no_case_names_do_no_harm(bench: Ordinary) -> None:
    params = {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US, "marketplace": "x"}
    assert (await bench.get("/orders/v0/orders", params)).status_code == 200
    params["CreatedAfter"] = "TEST_CASE_400"
    assert refusal(await bench.get("/orders/v0/orders", params))[0] == 400
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_transactions_want_a_token_on_the_first_call(bench: Ordinary) -> None:
    params = {"postedAfter": "2023-03-07"}
    assert refusal(await bench.get(TRANSACTIONS, params)) == REFUSED
    params["nextToken"] = "jehgri34yo7jr9e8f984tr9i4o"
    assert (await bench.get(TRANSACTIONS, params)).status_code == 200


async def test_orders_are_found_in_japan_but_not_in_the_united_states(bench: Ordinary) -> None:
    assert (await bench.get(ORDERS, {"marketplaceIds": "A1VC38T7YXB528"})).status_code == 200
    assert refusal(await bench.get(ORDERS, {"marketplaceIds": US})) == REFUSED


async def test_the_stock_is_empty_and_a_report_never_ends(bench: Ordinary) -> None:
    stock = (await bench.get(INVENTORY, WHOLE_INVENTORY)).json()
    assert stock["payload"]["inventorySummaries"] == []
    made = await bench.post(REPORTS, {"reportType": "FEE_DISCOUNTS_REPORT"})
    assert made.status_code == 202
    report = await bench.report(made.json()["reportId"])
    assert report["processingStatus"] == "IN_PROGRESS"
    assert refusal(await bench.post(REPORTS, {"reportType": "OTHER"})) == REFUSED


async def test_every_operation_has_the_same_quota(bench: Ordinary) -> None:
    answers = [(await bench.get(ORDERS)).status_code for _ in range(16)]
    assert answers == [400] * 15 + [429]
    await bench.clock.sleep(0.2)
    response = await bench.get(ORDERS)
    assert response.status_code == 400 and response.headers["x-amzn-ratelimit-limit"] == "5"
