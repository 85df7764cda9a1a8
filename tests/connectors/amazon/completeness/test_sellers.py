"""Whole sellers in simulated time: nothing is missed, and nobody is alarmed without a reason."""

from collections.abc import Mapping

import pytest

from connectors.amazon.orders.reader import A_DAY
from connectors.amazon.orders.report import BY_UPDATE
from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.faults import Faults, is_hidden
from tests.connectors.amazon.bench import CANADA, UNLIMITED, US, Bench, connect
from tests.connectors.amazon.completeness.stored import SyncedSeller

pytestmark = pytest.mark.anyio

#: Sizes and seeds; the first have orders by search alone, the last by reports.
HONEST = [(10, 3), (60, 4), (250, 5), (1_000, 7)]


async def synced(
    orders: int,
    seed: int,
    marketplaces: tuple[str, ...] = (US,),
    learned: Mapping[str, str] | None = None,
    quotas: Mapping[str, tuple[float, float]] = UNLIMITED,
    **faults: object,
) -> SyncedSeller:
    settings = Settings(quotas=quotas, marketplaces=marketplaces, faults=Faults(**faults))  # type: ignore[arg-type]
    connection = connect(f"{seed}-{orders}", marketplaces[:1], **(learned or {}))
    seller = SyncedSeller(Bench(settings), connection)
    await seller.sync()
    return seller


@pytest.mark.parametrize(("orders", "seed"), HONEST)
async def test_an_honest_seller_raises_no_alarm(orders: int, seed: int) -> None:
    seller = await synced(orders, seed)
    count = len(seller.records["orders"])
    _, after = await seller.fill()
    assert {day.state for day in after.days} <= {"confirmed", "single_sourced"}
    assert sum(day.state == "confirmed" for day in after.days) >= 85
    assert len(seller.records["orders"]) == count


async def test_orders_of_other_marketplaces_of_the_seller_raise_no_alarm() -> None:
    seller = await synced(300, 8, (US, CANADA))
    _, after = await seller.fill()
    assert after.missing == 0
    assert len(seller.records["orders"]) < 200


async def test_hidden_orders_that_left_a_trace_are_found_and_read() -> None:
    whole = await synced(1_000, 9)
    for share in (0.01, 0.2):
        seller = await synced(1_000, 9, hidden_rows=share)
        hidden = set(whole.records["orders"]) - set(seller.records["orders"])
        assert hidden
        assert all(is_hidden(order, 1, share) for order in hidden)
        traced = _traced(whole, hidden)
        assert len(traced) > 0.8 * len(hidden)
        before, after = await seller.fill()
        assert before.missing >= 0.99 * len(traced)
        found = traced & set(seller.records["orders"])
        assert len(found) >= 0.99 * len(traced)
        assert after.missing == 0


@pytest.mark.parametrize("share", [0.05, 0.2])
async def test_hidden_orders_cost_a_tenth_of_the_sync_if_another_report_holds_them(
    share: float,
) -> None:
    seller = await synced(3_000, 9, quotas={}, hidden_rows=share, hidden_in=(BY_UPDATE,))
    before, after = await seller.fill()
    assert before.missing > 100
    assert after.missing == 0
    assert seller.fill_calls <= 0.1 * seller.calls
    assert seller.fill_seconds <= 0.1 * sum(seller.seconds.values()), "at Amazon's quotas"


def _traced(whole: SyncedSeller, orders: set[str]) -> set[str]:
    """The orders whose ids occur in a witness, found by a plain search for text."""
    texts = [
        b"\n".join(record.data for record in whole.records[dataset].values())
        for dataset in ("transactions", "returns", "reimbursements")
    ]
    return {order for order in orders if any(order.encode() in text for text in texts)}


async def test_hidden_pages_of_a_search_are_found_and_read() -> None:
    few = {A_DAY: "5"}  # so few that all are searched
    whole = await synced(500, 10, learned=few)
    seller = await synced(500, 10, learned=few, hidden_pages=0.5)
    assert len(whole.records["orders"]) == 500
    assert len(seller.records["orders"]) <= 400
    await seller.bench.control("faults", {})
    before, after = await seller.fill()
    assert before.missing
    assert after.missing == 0
    lost = set(whole.records["orders"]) - set(seller.records["orders"])
    assert len(lost) < 0.1 * 500  # those without a trace: pending, cancelled, or of the last days
