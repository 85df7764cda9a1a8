"""Later syncs: two overlapping windows yield what one read of the whole span yields."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from connectors.amazon.orders.reader import A_DAY
from connectors.amazon.reports.desk import CREATE_REPORT
from connectors.amazon.reports.documents import whole_days
from connectors.amazon.reports.kinds import FEES, KINDS, LEDGER, REMOVALS, RETURNS, STOCK
from connectors.amazon.shipments import SHIPMENTS
from connectors.amazon.times import stamp
from connectors.amazon_sandbox import Settings
from connectors.base import Connection, Dataset, Page, Record, Unknowable, Window

from .bench import DATASETS, UNLIMITED, US, Bench, connect
from .reports.documents import documents, ledger, plain, text

pytestmark = pytest.mark.anyio

SPANNED: Sequence[Dataset] = [dataset for dataset in DATASETS if dataset.reach]
EACH = pytest.mark.parametrize("dataset", SPANNED, ids=lambda dataset: dataset.name)
WAYS = {"new": connect(), "few": connect(**{A_DAY: "3"}), "many": connect(**{A_DAY: "900"})}


def seller(orders: int = 600) -> Bench:
    return Bench(Settings(orders=orders, quotas=UNLIMITED))


async def landed(
    bench: Bench, dataset: Dataset, window: Window, connection: Connection | None = None
) -> dict[str, Record]:
    pages: list[Page] = []
    with suppress(Unknowable):  # the report may have no rows
        pages = await bench.sync(dataset, connection, window)
    bench.jumping.time += timedelta(hours=4, minutes=10)  # until the next report may be ordered
    return {record.id: record for page in pages for record in page.records}


def dated(window: Window, records: dict[str, Record]) -> set[str]:
    """The ids of records that must be in a read of the window."""
    return {key for key, record in records.items() if record.at and _in(window, record.at)}


def inside(window: Window, records: dict[str, Record]) -> set[str]:
    """These ids, and those of records without a time."""
    return {key for key, record in records.items() if not record.at or _in(window, record.at)}


def _in(window: Window, at: datetime) -> bool:
    return window.since <= at <= window.until


@pytest.mark.parametrize("part", [0.31, 0.977])
@EACH
async def test_two_overlapping_windows_yield_the_same_ids_as_the_whole(
    dataset: Dataset, part: float
) -> None:
    """Both windows start in the middle of a day, and each one is complete."""
    bench = seller()
    window = bench.window(dataset)
    middle = window.since + part * (window.until - window.since)
    early, late = Window(window.since, middle), Window(middle - timedelta(hours=1), window.until)
    whole = await landed(bench, dataset, window)
    first = await landed(bench, dataset, early)
    second = await landed(bench, dataset, late)
    assert whole
    assert inside(window, first | second) == inside(window, whole)
    assert dated(early, whole) <= first.keys()
    assert dated(late, whole) <= second.keys()


@pytest.mark.parametrize("days", [0.4, 3.21, 20])
@EACH
async def test_a_later_sync_that_reads_its_overlap_misses_nothing(
    dataset: Dataset, days: float
) -> None:
    """No new, late or changed record is missed."""
    bench, fresh = seller(), seller()
    before = bench.window(dataset)
    stored = await landed(bench, dataset, before)
    bench.jumping.time = fresh.jumping.time = bench.clock.now() + timedelta(days=days)
    bench.restart()
    now = bench.window(dataset)
    later = Window(max(now.since, before.until - dataset.overlap), now.until)
    stored |= await landed(bench, dataset, later)
    whole = await landed(fresh, dataset, now)
    assert whole.keys() <= stored.keys()
    for key, record in whole.items():
        assert (stored[key].version, stored[key].at) == (record.version, record.at)
        assert record.version or stored[key].data == record.data


@pytest.mark.parametrize("way", WAYS)
async def test_an_order_has_the_same_time_by_report_and_search(way: str) -> None:
    bench = seller()
    orders = next(dataset for dataset in DATASETS if dataset.name == "orders")
    records = await landed(bench, orders, bench.window(orders), WAYS[way])
    assert len(records) == 600
    for record in records.values():
        changed = datetime.fromisoformat(json.loads(record.data)["lastUpdatedTime"])
        assert record.at == changed


@EACH
async def test_times_are_in_utc_and_within_the_window(dataset: Dataset) -> None:
    bench = seller()
    window = bench.window(dataset, days=60)
    records = await landed(bench, dataset, window)
    assert records
    for record in records.values():
        if dataset is SHIPMENTS:
            assert record.at is None
            continue
        assert record.at and record.at.tzinfo == UTC
        assert window.since - timedelta(days=2) <= record.at <= window.until + timedelta(hours=1)


async def test_snapshots_have_no_time_except_fee_previews() -> None:
    bench = seller()
    for dataset in (dataset for dataset in DATASETS if dataset.reach is None):
        records = await landed(bench, dataset, bench.window(dataset))
        moments = {record.at for record in records.values()}
        if dataset is FEES:
            assert len(moments) > 1 and None not in moments
        else:
            assert moments == {None}


def test_datasets_that_change_for_weeks_are_read_again_and_snapshots_do_not_overlap() -> None:
    overlaps = {dataset.name: dataset.overlap for dataset in DATASETS}
    assert overlaps["transactions"] >= timedelta(hours=48)
    assert timedelta(0) < overlaps["orders"] <= timedelta(days=2)
    for dataset in DATASETS:
        assert dataset.overlap <= (dataset.reach or timedelta(0))
    for name in (
        "ledger",
        "returns",
        "removals",
        "removal_shipments",
        "reimbursements",
        "shipments",
    ):
        assert overlaps[name] == next(dataset.reach for dataset in DATASETS if dataset.name == name)


# Whole days ---------------------------------------------------------------------------------------


def test_days_are_complete_in_every_time_zone_and_not_in_the_future() -> None:
    since, until, now = (
        datetime.fromisoformat(f"2026-{time}:00Z")
        for time in ("02-01T09:30", "02-20T23:59", "03-02T09:30")
    )
    asked = whole_days(Window(since, until), now)
    for zone in range(-12, 15):
        begin = (since + timedelta(hours=zone)).replace(hour=0, minute=0) - timedelta(hours=zone)
        end = (until + timedelta(hours=zone)).replace(hour=0, minute=0) - timedelta(hours=zone)
        assert asked.since <= begin and end + timedelta(days=1) <= asked.until
    assert whole_days(Window(since, now), now).until == now
    assert whole_days(Window(since, now), now - timedelta(minutes=1)).until == now


async def test_equal_rows_of_a_day_keep_their_ids_wherever_a_window_starts() -> None:
    """As if Amazon cut reports at the exact time, with an equal event every hour."""
    bench = seller(120)
    plain(bench)
    event: list[str] = []

    def hourly(body: bytes, number: int) -> bytes:
        header, rows = ledger(body)
        event.append(rows[0])
        since, until = (
            datetime.fromisoformat(bench.ordered()[-1][name])
            for name in ("dataStartTime", "dataEndTime")
        )
        hours = range(-(-int(since.timestamp()) // 3_600), int(until.timestamp()) // 3_600 + 1)
        days = [datetime.fromtimestamp(hour * 3_600, UTC) for hour in hours]
        first, *others = event[0].split("\t")
        equal = [
            [f'"{day:%m/%d/%Y}"', *others[:-2], f'"{day:%Y-%m-%dT00:00:00}-0700"', others[-1]]
            for day in days
        ]
        assert first.startswith('"')
        return text(header, ["\t".join(cells) for cells in equal])

    documents(bench, hourly)
    until = bench.clock.now() - timedelta(days=4)
    window = Window(until - timedelta(days=9), until)
    whole = await landed(bench, LEDGER, window)
    assert len(dated(window, whole)) >= 8 * 24
    for hours in range(60, 90, 5):
        middle = window.since + timedelta(hours=hours)
        early = Window(window.since, middle)
        late = Window(middle - timedelta(hours=1), window.until)
        first, second = await landed(bench, LEDGER, early), await landed(bench, LEDGER, late)
        assert inside(window, first | second) == inside(window, whole)
        assert dated(early, whole) <= first.keys()
        assert dated(late, whole) <= second.keys()


@pytest.mark.parametrize("dataset", [LEDGER, REMOVALS, RETURNS], ids=lambda dataset: dataset.name)
async def test_a_report_is_ordered_from_the_start_of_a_day(dataset: Dataset) -> None:
    bench = seller(120)
    await landed(bench, dataset, bench.window(dataset, days=30, hours=7))
    [order] = bench.ordered()
    assert order["dataStartTime"].endswith("T00:00:00Z")
    assert order["dataEndTime"] <= bench.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("cells", "at"),
    [
        ({"date": "07/06/2026", "dateandtime": "2026-07-06T00:00:00-0700"}, "2026-07-06T07:00"),
        ({"date": "07/06/2026", "dateandtime": "07/06/2026 09:00:00"}, "2026-07-06T00:00"),
        ({"date": "07/06/2026"}, "2026-07-06T00:00"),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_ledger_event_is_the_start_of_its_day(
    cells: dict[str, str], at: str | None
) -> None:
    time = KINDS["ledger"].at(cells, datetime.now(UTC))
    assert time == (datetime.fromisoformat(f"{at}:00Z") if at else None)


@pytest.mark.parametrize(("hours", "used"), [(3, True), (5, False)])
async def test_a_report_that_may_contain_less_than_an_earlier_one_is_not_used(
    hours: float, used: bool
) -> None:
    """It is fresh enough, but has a shorter span: records of the missing hours would seem to be
    deleted."""
    bench = seller(120)
    now = bench.clock.now()
    body: dict[str, object] = {
        "reportType": "GET_LEDGER_DETAIL_VIEW_DATA",
        "marketplaceIds": [US],
        "dataStartTime": stamp(now - timedelta(days=200)),
        "dataEndTime": stamp(now - timedelta(hours=hours)),
    }
    answer = await bench.client.call(connect(), CREATE_REPORT, {}, bench.waiting, body=body)
    stored = {"ordered:GET_LEDGER_DETAIL_VIEW_DATA": json.loads(answer)["reportId"]}
    bench.ours[connect().settings.refresh_token] = stored
    await bench.clock.sleep(120)
    records = await landed(bench, LEDGER, bench.window(LEDGER))
    assert bool(records) == used  # otherwise another one is ordered, too soon
    assert len(bench.ordered()) == (1 if used else 2)


def test_stock_has_no_time() -> None:
    assert KINDS[STOCK.name].at({"sku": "SKU-1"}, datetime.now(UTC)) is None
