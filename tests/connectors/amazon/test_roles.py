"""A missing role: the datasets that need it name it, and the others are read."""

import pytest

from connectors.amazon.account import PARTICIPATIONS
from connectors.amazon.client import FINANCE, FULFILLMENT, TRACKING, Denied
from connectors.amazon.orders.reader import A_DAY
from connectors.amazon.orders.search import ORDERS
from connectors.base import SourceError

from .bench import DATASETS, Bench, connect, ids

pytestmark = pytest.mark.anyio

NEEDS = {
    "orders": TRACKING,
    "transactions": FINANCE,
    **dict.fromkeys(
        (
            *("inventory", "reimbursements", "ledger", "returns", "removals"),
            *("replacements", "storage_fees"),
            *("fees", "stock", "shipments", "removal_shipments"),
        ),
        FULFILLMENT,
    ),
}


@pytest.mark.parametrize("role", [FINANCE, FULFILLMENT, TRACKING])
async def test_a_missing_role_is_named_and_the_other_datasets_are_read(
    bench: Bench, role: str
) -> None:
    await bench.control("faults", {"missingRoles": [role]})
    assert NEEDS.keys() == {dataset.name for dataset in DATASETS}
    for dataset in DATASETS:
        if NEEDS[dataset.name] != role:
            assert ids(await bench.sync(dataset))
            continue
        with pytest.raises(SourceError, match=f"lacks the role {role}") as caught:
            await bench.sync(dataset)
        assert type(caught.value) is Denied
        assert "HTTP 403" in str(caught.value)


@pytest.mark.parametrize("hints", [{}, {A_DAY: "3"}], ids=["reports", "search"])
async def test_orders_need_the_same_role_by_report_and_search(
    bench: Bench, hints: dict[str, str]
) -> None:
    await bench.control("faults", {"missingRoles": [FINANCE, FULFILLMENT]})
    assert len(ids(await bench.sync(ORDERS, connect(**hints)))) == 120
    await bench.control("faults", {"missingRoles": [TRACKING]})
    with pytest.raises(SourceError, match=f"lacks the role {TRACKING}"):
        await bench.sync(ORDERS, connect(**hints))


async def test_a_missing_role_costs_one_call(bench: Bench) -> None:
    await bench.control("faults", {"missingRoles": [FINANCE]})
    with pytest.raises(SourceError):
        await bench.sync(next(dataset for dataset in DATASETS if dataset.name == "transactions"))
    assert await bench.statuses("listTransactions") == [403]
    assert len(await bench.calls("token")) == 1


async def test_the_account_can_be_checked_without_any_of_them(bench: Bench) -> None:
    await bench.control("faults", {"missingRoles": [FINANCE, FULFILLMENT, TRACKING]})
    await bench.client.call(connect(), PARTICIPATIONS, {}, bench.waiting)
