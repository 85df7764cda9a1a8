"""Accounts without Fulfillment by Amazon, or without a role to read the account itself."""

import httpx
import pytest

from connectors.amazon.account import PARTICIPATIONS
from connectors.amazon.client import Refused
from connectors.amazon.inventory import INVENTORY, INVENTORY_SUMMARIES
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.transactions import TRANSACTIONS
from connectors.base import ConnectionLost, SourceError

from .bench import CANADA, US, Bench, connect

pytestmark = pytest.mark.anyio

NO_FBA = {"errors": [{"code": "InvalidInput", "message": "Invalid Input", "details": ""}]}
DENIED = "Access to requested resource is denied."


def denied(details: str = "") -> httpx.Response:
    error = {"code": "Unauthorized", "message": DENIED, "details": details}
    return httpx.Response(403, json={"errors": [error]})


def without_stock(bench: Bench, *marketplaces: str) -> None:
    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        stock = request.url.path == INVENTORY_SUMMARIES.path
        if stock and request.url.params["granularityId"] in marketplaces:
            return httpx.Response(400, json=NO_FBA)
        return None

    bench.wire.spoil = spoil


def unseen(bench: Bench, details: str = "") -> None:
    bench.wire.spoil = lambda request, _: (
        denied(details) if request.url.path == PARTICIPATIONS.path else None
    )


# Without Fulfillment by Amazon --------------------------------------------------------------------


async def test_a_seller_without_fba_has_no_inventory_and_is_informed(bench: Bench) -> None:
    without_stock(bench, US)
    [page] = await bench.sync(INVENTORY)
    assert (page.records, page.cursor) == ([], None)
    assert "do not use Fulfillment by Amazon" in page.warning


async def test_one_marketplace_without_fba_does_not_affect_another(bench: Bench) -> None:
    without_stock(bench, CANADA)
    pages = await bench.sync(INVENTORY, connect(marketplaces=(CANADA, US)))
    assert sum(len(page.records) for page in pages) == await bench.count("inventory")
    assert pages[-1].cursor is None
    assert len({page.warning for page in pages if page.warning}) == 1


async def test_a_refusal_does_not_mean_an_empty_inventory_if_there_was_one_before(
    bench: Bench,
) -> None:
    [*_, page] = await bench.sync(INVENTORY)
    without_stock(bench, US)
    with pytest.raises(Refused):
        await bench.sync(INVENTORY, connect(**page.learned))


@pytest.mark.parametrize("dataset", [ORDERS, TRANSACTIONS])
async def test_a_refusal_of_another_dataset_does_not_mean_that_it_is_empty(
    bench: Bench, dataset: object
) -> None:
    bench.wire.spoil = lambda request, _: (
        httpx.Response(400, json=NO_FBA) if "token" not in request.url.path else None
    )
    with pytest.raises(Refused):
        await bench.read(dataset)  # type: ignore[arg-type]


# Without the role to see the account --------------------------------------------------------------


async def test_an_account_that_may_not_be_read_is_connected_with_the_given_marketplaces(
    bench: Bench,
) -> None:
    unseen(bench)
    account = await bench.connector.check(connect(), bench.waiting)
    assert account.settings is None, "they stay as the seller gave them"
    pages = await bench.sync(ORDERS, connect(**account.learned))
    assert "the role Selling Partner Insights" in pages[0].warning
    assert {record.error for page in pages for record in page.records} == {None}


async def test_without_marketplaces_it_is_refused_with_advice(bench: Bench) -> None:
    unseen(bench)
    with pytest.raises(SourceError, match=r"Selling Partner Insights.*give marketplaceIds"):
        await bench.connector.check(connect(marketplaces=()), bench.waiting)


async def test_a_revoked_authorisation_is_not_a_missing_role(bench: Bench) -> None:
    unseen(bench, "The access token you provided is revoked, malformed or invalid.")
    with pytest.raises(ConnectionLost):
        await bench.connector.check(connect(), bench.waiting)


async def test_once_the_role_is_granted_the_warning_disappears(bench: Bench) -> None:
    unseen(bench)
    account = await bench.connector.check(connect(), bench.waiting)
    bench.wire.spoil = lambda request, response: None
    seen = await bench.connector.check(connect(**account.learned), bench.waiting)
    learned = {**account.learned, **seen.learned}
    pages = await bench.sync(INVENTORY, connect(**learned))
    assert seen.name == "Sandbox Store 1"
    assert [page.warning for page in pages if page.warning] == []
