"""Orders 2026-01-01."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.amazon_sandbox.operations.order import DATASETS

from .bench import ORDERS, US, Bench, error_of

pytestmark = pytest.mark.anyio


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    return [order async for page in bench.orders(**params) for order in page["orders"]]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(1, 100), field=st.sampled_from(["createdAfter", "lastUpdatedAfter"]))
async def test_pages_of_any_size_list_every_order_once(size: int, field: str) -> None:
    bench = Bench()
    params = {field: bench.ago(days=90), "maxResultsPerPage": size}
    pages = [page["orders"] async for page in bench.orders(**params)]
    assert all(len(page) == size for page in pages[:-1])
    assert 0 < len(pages[-1]) <= size
    ids = [order["orderId"] for page in pages for order in page]
    assert len(ids) == len(set(ids)) == 120


async def test_a_response_has_no_payload_and_no_total(bench: Bench) -> None:
    [first, last] = [page async for page in bench.orders()]
    assert first.keys() == {"orders", "pagination", "createdBefore"}
    assert last.keys() == {"orders", "createdBefore"}
    assert first["createdBefore"] == last["createdBefore"] == "2026-03-02T09:28:00Z"
    [page] = [page async for page in bench.orders(lastUpdatedAfter=bench.ago(days=1))]
    assert page.keys() == {"orders", "lastUpdatedBefore"}


async def test_without_included_data_an_order_has_only_its_basic_fields(bench: Bench) -> None:
    bare = {"orderId", "createdTime", "lastUpdatedTime", "programs", "salesChannel", "orderItems"}
    for order in await read(bench):
        assert order.keys() == bare
        for item in order["orderItems"]:
            assert item.keys() == {"orderItemId", "quantityOrdered", "product"}


@pytest.mark.parametrize("part", sorted(DATASETS - {"FULFILLMENT_ORDERS"}))
async def test_included_data_is_returned(bench: Bench, part: str) -> None:
    orders = await read(bench, includedData=part)
    items = [item for order in orders for item in order["orderItems"]]
    assert any(part.lower() in element for element in orders + items)


async def test_amounts_are_strings_that_add_up(bench: Bench) -> None:
    paid = [o for o in await read(bench, includedData="PROCEEDS") if "proceeds" in o]
    assert len(paid) > 100
    for order in paid:
        items = [item["proceeds"]["proceedsTotal"]["amount"] for item in order["orderItems"]]
        total = order["proceeds"]["grandTotal"]["amount"]
        assert round(sum(map(float, items)), 2) == float(total)


async def test_pending_and_cancelled_orders_have_no_proceeds(bench: Bench) -> None:
    for order in await read(bench, includedData=["PROCEEDS", "FULFILLMENT"]):
        unpaid = order["fulfillment"]["fulfillmentStatus"] in ("PENDING", "CANCELLED")
        assert ("proceeds" in order) is not unpaid


async def test_the_window_includes_both_its_ends(bench: Bench) -> None:
    orders = await read(bench)
    ends = {"createdAfter": orders[3]["createdTime"], "createdBefore": orders[9]["createdTime"]}
    assert await read(bench, **ends) == orders[3:10]


async def test_orders_are_filtered_by_status_channel_and_marketplace(bench: Bench) -> None:
    everything = await read(bench, includedData="FULFILLMENT")
    merchants = [o for o in everything if o["fulfillment"]["fulfilledBy"] == "MERCHANT"]
    filters = {"fulfilledBy": "MERCHANT", "includedData": "FULFILLMENT"}
    assert await read(bench, **filters) == merchants != []
    open_orders = await read(bench, fulfillmentStatuses="PENDING,UNSHIPPED,CANCELLED")
    assert 0 < len(open_orders) < 40
    assert await read(bench, marketplaceIds="A2EUQ1WTGCTBG2") == []
    assert len(await read(bench, marketplaceIds=[US, "A2EUQ1WTGCTBG2"])) == 120


async def test_an_array_may_have_commas_or_be_repeated(bench: Bench) -> None:
    commas = await read(bench, includedData="TAX,PAYMENT")
    assert commas == await read(bench, includedData=["TAX", "PAYMENT"])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"createdAfter": "2026-01-01T00:00:00Z", "lastUpdatedAfter": "2026-01-01T00:00:00Z"},
        {"createdAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2026-02-01T00:00:00Z"},
        {"createdAfter": "2026-01-01T00:00:00Z", "createdBefore": "2026-03-02T09:28:01Z"},
        {"createdAfter": "2026-02-02T00:00:00Z", "createdBefore": "2026-02-01T00:00:00Z"},
        {"createdAfter": "2026-03-02T09:29:00Z"},
        {"createdAfter": "2026-01-01T00:00:00Z", "maxResultsPerPage": 0},
        {"createdAfter": "2026-01-01T00:00:00Z", "maxResultsPerPage": 101},
        {"createdAfter": "2026-01-01T00:00:00Z", "maxResultsPerPage": "ten"},
        {"createdAfter": "2026-01-01T00:00:00Z", "includedData": "EVERYTHING"},
        {"createdAfter": "2026-01-01T00:00:00Z", "fulfillmentStatuses": "Shipped"},
        {"createdAfter": "2026-01-01T00:00:00Z", "fulfilledBy": "AFN"},
        {"createdAfter": "2026-01-01T00:00:00Z", "marketplaceIds": ",".join([US] * 51)},
        {"createdAfter": "2026-01-01T00:00:00Z", "marketplaceIds": "A1PA6795UKMFR9"},
        {"createdAfter": "2026-01-01T00:00:00Z", "paginationToken": "made up"},
    ],
)
async def test_bad_parameters_are_invalid_input(bench: Bench, params: dict[str, Any]) -> None:
    response = await bench.get(ORDERS, params)
    assert error_of(response)[:2] == (400, "InvalidInput")
    assert response.headers["x-amzn-ratelimit-limit"] == "1000000"


async def test_an_unencoded_offset_is_invalid(bench: Bench) -> None:
    response = await bench.get(f"{ORDERS}?createdAfter=2026-01-01T00:00:00+09:00")
    assert error_of(response)[2] == "Invalid date/time field [createdAfter]"
    encoded = await bench.get(f"{ORDERS}?createdAfter=2026-01-01T00:00:00%2B09:00")
    assert encoded.status_code == 200


async def test_a_token_requires_the_parameters_of_the_first_page_except_the_size(
    bench: Bench,
) -> None:
    params = {"createdAfter": bench.ago(days=90), "maxResultsPerPage": 10, "includedData": "TAX"}
    token = (await bench.get(ORDERS, params)).json()["pagination"]["nextToken"]
    second_page = params | {"paginationToken": token}
    assert (await bench.get(ORDERS, second_page | {"maxResultsPerPage": 7})).status_code == 200
    assert error_of(await bench.get(ORDERS, {"paginationToken": token}))[0] == 400
    assert error_of(await bench.get(ORDERS, second_page | {"includedData": "PAYMENT"}))[0] == 400
    await bench.log_in("Atzr|sandbox-2")
    assert error_of(await bench.get(ORDERS, second_page))[0] == 400


async def test_a_page_token_of_orders_expires_after_a_day(bench: Bench) -> None:
    params = {"createdAfter": bench.ago(days=90)}
    token = (await bench.get(ORDERS, params)).json()["pagination"]["nextToken"]
    await bench.clock.sleep(86_400)
    await bench.log_in()
    assert (await bench.get(ORDERS, params | {"paginationToken": token})).status_code == 200
    await bench.clock.sleep(1)
    assert error_of(await bench.get(ORDERS, params | {"paginationToken": token}))[0] == 400


async def test_reading_across_midnight_neither_loses_nor_repeats_an_order(bench: Bench) -> None:
    window = {"createdAfter": bench.ago(days=90), "maxResultsPerPage": 30}
    day = [order["orderId"] for order in await read(bench)]
    night: list[str] = []
    async for page in bench.orders(**window):
        night += [order["orderId"] for order in page["orders"]]
        await bench.clock.sleep(8 * 3_600)
        bench.token = ""
    assert night == day


async def test_one_order_is_found_by_its_id(bench: Bench) -> None:
    order = (await read(bench, includedData="PROCEEDS"))[0]
    path = f"{ORDERS}/{order['orderId']}"
    assert (await bench.get(path, {"includedData": "PROCEEDS"})).json() == {"order": order}
    assert error_of(await bench.get(f"{ORDERS}/111-0000000-0000000"))[:2] == (404, "NotFound")
