"""Reading missing orders by reports of another type than the one that lacks them."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.completeness import filler, plan
from connectors.amazon.completeness.filler import HELPS, YES
from connectors.amazon.completeness.report_plan import CALLS, Span
from connectors.amazon.completeness.spans import days_from
from connectors.amazon.orders.report import BY_CREATION, BY_UPDATE
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.single_orders import GET_ORDER
from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.faults import Faults, is_hidden
from connectors.base import ConnectionLost, Record
from connectors.completing import DatasetDay, Gap, Gaps
from tests.connectors.amazon.bench import US, Bench, connect

pytestmark = pytest.mark.anyio

DOCUMENT = "/_documents/"
SHARE = 0.2


@pytest.fixture(autouse=True)
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a seller with so many orders that a search would take too long."""
    monkeypatch.setattr(plan, "RESERVED", 1_000)


class Lacking:
    """A seller who lacks a fifth of the orders, which reports of these types do not hold; of all
    types if there are none. All quotas are Amazon's."""

    def __init__(self, hidden_in: Sequence[str] = (BY_UPDATE,), **learned: str) -> None:
        faults = Faults(hidden_rows=SHARE, hidden_in=tuple(hidden_in))  # type: ignore[arg-type]
        self.bench = Bench(Settings(orders=300, marketplaces=(US,), faults=faults))
        self.connection = connect(**learned)
        self.found: dict[str, Record] = {}
        self.absent: set[str] = set()

    async def gaps(self) -> Gaps:
        pages = await self.bench.read(ORDERS, self.connection)
        self.orders = {record.id: record for page in pages for record in page.records}
        days = {record.id: record.at.date() for record in self.orders.values() if record.at}
        counts = Counter(days.values())
        gaps = [
            Gap(order, day, ("transactions",))
            for order, day in days.items()
            if is_hidden(order, 1, SHARE)
        ]
        missing = Counter(gap.day for gap in gaps)
        span = self.bench.window(ORDERS)
        return Gaps(
            "orders",
            [
                DatasetDay(day, "short", counts[day] - missing[day], missing[day])
                for day in days_from(span.since.date(), span.until.date())
            ],
            sorted(gaps, key=lambda gap: gap.day),
        )

    async def fill(self) -> None:
        """Read all gaps. Time and calls are counted."""
        gaps = await self.gaps()
        self.missing = {gap.key for gap in gaps.gaps}
        self.bench.wire.requests.clear()
        begun = self.bench.clock.now()
        async for page in self.bench.connector.fill(self.connection, gaps, self.bench.waiting):
            self.found |= {record.id: record for record in page.records}
            self.absent |= set(page.absent)
            learned = {**self.connection.learned, **page.learned}
            self.connection = msgspec.structs.replace(self.connection, learned=learned)
        self.calls = len(self.bench.wire.requests)
        self.seconds = (self.bench.clock.now() - begun).total_seconds()

    @property
    def all_found(self) -> bool:
        return len(self.missing) > 40 and self.missing <= self.found.keys()

    @property
    def ordered(self) -> list[dict[str, Any]]:
        return [order for order in self.bench.ordered() if order["reportType"] == BY_CREATION]

    @property
    def downloads(self) -> int:
        """The documents that were requested, each counted once."""
        paths = {request.url.path for request in self.bench.wire.requests}
        return sum(DOCUMENT in path for path in paths)

    def spoil_reports(self, **changes: str) -> None:
        """Edit the answers about reports."""

        def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
            if "/reports/" not in request.url.path or request.method != "GET":
                return None
            body = {**msgspec.json.decode(response.content), **changes}
            return httpx.Response(200, json=body) if "reportType" in body else None

        self.bench.wire.spoil = spoil


async def test_orders_that_another_report_holds_are_read_by_it() -> None:
    seller = Lacking()
    await seller.fill()
    assert seller.all_found
    assert len(seller.ordered) in (3, 4)
    assert seller.calls <= CALLS * len(seller.ordered) + 0.15 * len(seller.missing)
    assert seller.connection.learned[HELPS] == YES


async def test_an_order_of_the_other_report_has_the_version_of_other_reads() -> None:
    seller = Lacking()
    await seller.fill()
    for order, record in seller.found.items():
        whole = seller.orders[order]
        assert (record.version, record.at) == (whole.version, whole.at)


async def test_a_report_that_lacks_the_same_orders_is_the_only_one_that_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seller = Lacking(())
    await seller.fill()
    assert seller.all_found
    requested = len(seller.ordered)
    assert requested in (3, 4)
    assert seller.downloads == 1
    monkeypatch.setattr(filler, "plan_reports", lambda *arguments: ())
    without = Lacking(())
    await without.fill()
    assert without.all_found
    assert without.ordered == []
    assert seller.calls == without.calls + CALLS + requested - 1


@pytest.mark.parametrize(("days", "reports"), [(0, 0), (6, 0), (8, 1)])
async def test_a_report_that_did_not_help_is_tried_again_after_a_week(
    days: int, reports: int
) -> None:
    first = Lacking(())
    await first.fill()
    later = Lacking((), **{HELPS: first.connection.learned[HELPS]})
    later.bench.jumping.time += timedelta(days=days)
    await later.fill()
    assert later.all_found
    assert later.downloads == reports


async def test_all_reports_are_made_at_the_same_time() -> None:
    seller = Lacking()
    await seller.fill()
    assert seller.all_found
    paths = [(call.method, call.url.path) for call in seller.bench.wire.requests]
    posts = [number for number, (method, _) in enumerate(paths) if method == "POST"]
    assert len(posts) >= 3
    assert posts == list(range(posts[0], posts[-1] + 1)), "before the first poll"


async def test_no_report_is_ordered_if_the_first_one_cannot_tell_whether_it_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = timedelta(days=1)

    def without_gaps(gaps: Gaps, *others: object) -> list[Span]:
        first = gaps.days[0].day
        return [Span(first - 40 * day, first - 11 * day), Span(first - 10 * day, first + 19 * day)]

    monkeypatch.setattr(filler, "plan_reports", without_gaps)
    seller = Lacking()
    await seller.fill()
    assert seller.all_found
    assert seller.ordered == []


@pytest.mark.parametrize("status", ["FATAL", "CANCELLED"])
async def test_a_report_that_fails_is_not_ordered_again(status: str) -> None:
    seller = Lacking()
    seller.spoil_reports(processingStatus=status)
    await seller.fill()
    assert seller.all_found
    assert seller.downloads == 0
    assert len(await seller.bench.calls(GET_ORDER.name)) == len(seller.missing)
    assert seller.connection.learned[HELPS] != YES


async def test_a_report_that_is_never_finished_is_given_up() -> None:
    seller = Lacking()
    seller.spoil_reports(processingStatus="IN_PROGRESS")
    await seller.fill()
    assert seller.all_found
    assert len(await seller.bench.calls("getReport")) < 10
    assert seller.seconds < 1_200


async def test_an_unreadable_document_is_no_loss() -> None:
    seller = Lacking()
    await seller.bench.control("faults", {"hiddenRows": SHARE, "htmlDownloads": 1.0})
    await seller.fill()
    assert seller.all_found
    assert seller.downloads == 1


async def test_a_refused_report_is_no_loss() -> None:
    seller = Lacking()
    body = {"errors": [{"code": "Unauthorized", "message": "no", "details": ""}]}
    seller.bench.wire.spoil = lambda request, response: (
        httpx.Response(403, json=body) if request.url.path.endswith("/reports") else None
    )
    await seller.fill()
    assert seller.all_found
    assert len(seller.ordered) == 1


async def test_a_revoked_connection_pauses_the_sync() -> None:
    seller = Lacking()
    gaps = await seller.gaps()
    await seller.bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    seller.bench.restart()
    with pytest.raises(ConnectionLost):
        async for _ in seller.bench.connector.fill(seller.connection, gaps, seller.bench.waiting):
            pass


async def test_the_user_is_told_what_the_sync_waits_for() -> None:
    seller = Lacking()
    await seller.fill()
    assert any(BY_CREATION in why for _, why in seller.bench.waits)
