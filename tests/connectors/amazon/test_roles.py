"""A role that the application has not: what needs it says which it is, the rest is read."""

import pytest

from connectors.amazon.client import FINANCE, FULFILLMENT, TRACKING, Denied
from connectors.amazon.datasets import ORDERS, PARTICIPATIONS
from connectors.amazon.orders import A_DAY
from connectors.base import SourceError

from .bench import DATASETS, Bench, connect, ids

pytestmark = pytest.mark.anyio

NEEDS = {
    "orders": TRACKING,
    "transactions": FINANCE,
    **dict.fromkeys(
        (
            *("inventory", "reimbursements", "ledger", "returns", "removals"),
            *("fees", "stock", "shipments"),
        ),
        FULFILLMENT,
    ),
}


@pytest.mark.parametrize("role", [FINANCE, FULFILLMENT, TRACKING])
async def test_what_needs_a_missing_role_names_it_and_the_rest_is_read(
    bench: Bench, role: str
) -> None:
    await bench.door("faults", {"missingRoles": [role]})
    assert NEEDS.keys() == {each.name for each in DATASETS}
    for dataset in DATASETS:
        if NEEDS[dataset.name] != role:
            assert ids(await bench.sync(dataset))
            continue
        with pytest.raises(SourceError, match=f"lacks the role {role}") as caught:
            await bench.sync(dataset)
        assert type(caught.value) is Denied
        assert "HTTP 403" in str(caught.value)


@pytest.mark.parametrize("known", [{}, {A_DAY: "3"}], ids=["reports", "search"])
async def test_orders_need_the_same_role_whichever_way_they_are_read(
    bench: Bench, known: dict[str, str]
) -> None:
    await bench.door("faults", {"missingRoles": [FINANCE, FULFILLMENT]})
    assert len(ids(await bench.sync(ORDERS, connect(**known)))) == 120
    await bench.door("faults", {"missingRoles": [TRACKING]})
    with pytest.raises(SourceError, match=f"lacks the role {TRACKING}"):
        await bench.sync(ORDERS, connect(**known))


async def test_a_missing_role_is_asked_about_once(bench: Bench) -> None:
    await bench.door("faults", {"missingRoles": [FINANCE]})
    with pytest.raises(SourceError):
        await bench.sync(next(each for each in DATASETS if each.name == "transactions"))
    assert await bench.statuses("listTransactions") == [403]
    assert len(await bench.calls("token")) == 1


async def test_the_account_can_be_checked_without_any_of_them(bench: Bench) -> None:
    await bench.door("faults", {"missingRoles": [FINANCE, FULFILLMENT, TRACKING]})
    await bench.client.call(connect(), PARTICIPATIONS, {}, bench.waiting)
