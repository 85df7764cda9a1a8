"""Amazon's static sandbox: what it offers is read, by its literal requests; what it does not offer
is said to be unknown, at once."""

import pytest

from connectors.amazon.datasets import INVENTORY, ORDERS, TRANSACTIONS
from connectors.amazon.kinds import KINDS
from connectors.amazon.profile import PRODUCTION, SANDBOX, Request, profile
from connectors.amazon.shipments import SHIPMENTS
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


async def test_a_marketplace_of_which_it_tells_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidConnection, match="does not sell in A1PA6795UKMFR9; only in"):
        await bench.connector.check(sandboxed("EU", "A1PA6795UKMFR9"), bench.waiting)


@REGIONS
async def test_everything_that_it_offers_is_read(bench: Bench, region: str) -> None:
    connection = sandboxed(region)
    found = {}
    for dataset in (ORDERS, INVENTORY, TRANSACTIONS, SHIPMENTS):
        pages = await bench.sync(dataset, connection)
        assert pages[-1].cursor is None
        assert not [record.error for page in pages for record in page.records if record.error]
        found[dataset.name] = set(ids(pages))
    assert found["orders"] == {ORDER[region]}
    assert found["inventory"] == set()
    assert len(found["transactions"]) == 1
    assert found["shipments"] == {"FBA15DJ9S3J5"}
    assert {each["status"] for each in await bench.calls()} == {200}


@pytest.mark.parametrize("name", KINDS)
async def test_a_report_that_it_will_never_make_is_unknown_at_once(bench: Bench, name: str) -> None:
    dataset = next(each for each in DATASETS if each.name == name)
    with pytest.raises(Unknowable, match="static sandbox makes no such report"):
        await bench.sync(dataset, sandboxed())
    assert bench.jumping.slept == []
    assert await bench.calls() == []


@REGIONS
async def test_what_is_sent_are_its_own_words_and_no_others(bench: Bench, region: str) -> None:
    """Whether it minds more than it expects is not documented."""
    for dataset in (ORDERS, TRANSACTIONS, SHIPMENTS):
        await bench.sync(dataset, sandboxed(region))
    cases = SANDBOX.cases or {}
    calls = [each for each in await bench.calls() if each["operation"] != "token"]
    assert {each["operation"] for each in calls} == cases.keys()
    for call in calls:
        case = cases[call["operation"]].get(region) or cases[call["operation"]][""]
        assert call["parameters"] == case.params
        assert case.argument in call["path"]


async def test_all_operations_share_one_quota_that_is_never_exceeded(bench: Bench) -> None:
    for _ in range(8):
        for dataset in (ORDERS, INVENTORY, TRANSACTIONS, SHIPMENTS):
            await bench.sync(dataset, sandboxed())
    calls = [each for each in await bench.calls() if each["operation"] != "token"]
    assert len(calls) > 40
    assert {each["status"] for each in calls} == {200}
    took = (bench.clock.now() - bench.jumping.pauses()[0][0]).total_seconds()
    assert took == pytest.approx((len(calls) - 15) / 5, abs=0.5)


async def test_what_is_learned_of_the_quota_is_kept_under_its_name(bench: Bench) -> None:
    pages = await bench.sync(TRANSACTIONS, sandboxed())
    assert pages[-1].learned.keys() == {"quota:sandbox"}


def test_an_operation_without_an_example_is_unknown_and_named() -> None:
    with pytest.raises(Unknowable, match="no example of getOrderMetrics"):
        SANDBOX.asked("getOrderMetrics", "NA", Request({}))


def test_production_is_asked_what_one_wants_to_know() -> None:
    request = Request({"lastUpdatedAfter": "2026-01-01T00:00:00Z"}, "an argument", {"a": "body"})
    for name in ("searchOrders", "createReport", "anything"):
        assert PRODUCTION.asked(name, "NA", request) is request
    assert profile("production") is PRODUCTION
    assert profile("sandbox") is SANDBOX
