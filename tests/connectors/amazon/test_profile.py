"""Amazon's static sandbox: its examples are read by its literal requests, and everything else is
reported as unknown at once."""

import pytest

from connectors.amazon.inventory import INVENTORY
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.profile import PRODUCTION, SANDBOX, Request, profile
from connectors.amazon.reports.kinds import KINDS
from connectors.amazon.shipments import SHIPMENTS
from connectors.amazon.transactions import TRANSACTIONS
from connectors.amazon_sandbox import Settings
from connectors.base import Connection, InvalidConnection, Unknowable

from .bench import DATASETS, US, Bench, connect, ids, with_settings

pytestmark = pytest.mark.anyio

UK, JAPAN = "A1F83G8C2ARO7P", "A1VC38T7YXB528"
ORDER = {"NA": "171-2345678-9012345", "EU": "202-7654321-1098765", "FE": "250-1234567-8901234"}
HOME = {"NA": US, "EU": UK, "FE": JAPAN}
REGIONS = pytest.mark.parametrize("region", HOME)


@pytest.fixture
def bench() -> Bench:
    return Bench(Settings(orders=0, static=True))


def sandboxed(region: str = "NA", *marketplaces: str) -> Connection:
    return with_settings(
        connect(),
        environment="sandbox",
        region=region,
        marketplace_ids=marketplaces or (HOME[region],),
    )


@REGIONS
async def test_an_account_can_be_connected_in_every_region(bench: Bench, region: str) -> None:
    chosen = with_settings(sandboxed(region), marketplace_ids=())
    account = await bench.connector.check(chosen, bench.waiting)
    assert account.name == "BestSellerStore"
    assert account.settings == sandboxed(region, HOME[region]).settings
    await bench.connector.check(sandboxed(region), bench.waiting)


async def test_a_marketplace_that_it_does_not_report_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidConnection, match="does not sell in A1PA6795UKMFR9; only in"):
        await bench.connector.check(sandboxed("EU", "A1PA6795UKMFR9"), bench.waiting)


@REGIONS
async def test_all_its_examples_are_read(bench: Bench, region: str) -> None:
    connection = sandboxed(region)
    read = {}
    for dataset in (ORDERS, INVENTORY, TRANSACTIONS, SHIPMENTS):
        pages = await bench.sync(dataset, connection)
        assert pages[-1].cursor is None
        assert not [record.error for page in pages for record in page.records if record.error]
        read[dataset.name] = set(ids(pages))
    assert read["orders"] == {ORDER[region]}
    assert read["inventory"] == set()
    assert len(read["transactions"]) == 1
    assert read["shipments"] == {"FBA15DJ9S3J5"}
    assert {call["status"] for call in await bench.calls()} == {200}


@pytest.mark.parametrize("name", KINDS)
async def test_a_report_is_unknown_at_once(bench: Bench, name: str) -> None:
    dataset = next(dataset for dataset in DATASETS if dataset.name == name)
    with pytest.raises(Unknowable, match="static sandbox makes no such report"):
        await bench.sync(dataset, sandboxed())
    assert bench.jumping.slept == []
    assert await bench.calls() == []


@REGIONS
async def test_only_its_literal_requests_are_sent(bench: Bench, region: str) -> None:
    """Whether it accepts further parameters is not documented."""
    for dataset in (ORDERS, TRANSACTIONS, SHIPMENTS):
        await bench.sync(dataset, sandboxed(region))
    cases = SANDBOX.cases or {}
    calls = [call for call in await bench.calls() if call["operation"] != "token"]
    assert {call["operation"] for call in calls} == cases.keys()
    for call in calls:
        case = cases[call["operation"]].get(region) or cases[call["operation"]][""]
        assert call["parameters"] == case.params
        assert case.argument in call["path"]


async def test_all_operations_share_one_quota(bench: Bench) -> None:
    for _ in range(8):
        for dataset in (ORDERS, INVENTORY, TRANSACTIONS, SHIPMENTS):
            await bench.sync(dataset, sandboxed())
    calls = [call for call in await bench.calls() if call["operation"] != "token"]
    assert len(calls) > 40
    assert {call["status"] for call in calls} == {200}
    took = (bench.clock.now() - bench.jumping.pauses()[0][0]).total_seconds()
    assert took == pytest.approx((len(calls) - 15) / 5, abs=0.5)


async def test_the_state_of_the_quota_is_stored_under_its_name(bench: Bench) -> None:
    pages = await bench.sync(TRANSACTIONS, sandboxed())
    assert pages[-1].learned.keys() == {"quota:sandbox"}


def test_an_operation_without_an_example_is_unknown() -> None:
    with pytest.raises(Unknowable, match="no example of getOrderMetrics"):
        SANDBOX.accepted("getOrderMetrics", "NA", Request({}))


def test_production_accepts_every_request() -> None:
    request = Request({"lastUpdatedAfter": "2026-01-01T00:00:00Z"}, "an argument", {"a": "body"})
    for name in ("searchOrders", "createReport", "anything"):
        assert PRODUCTION.accepted(name, "NA", request) is request
    assert profile("production") is PRODUCTION
    assert profile("sandbox") is SANDBOX
