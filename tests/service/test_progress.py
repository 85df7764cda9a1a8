"""The progress of a dataset: counts, totals, shares, endings, coverage and restated amounts."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from connectors.base import Cursor, Page, QuotaReason, Window
from service import model, progress
from service.progress import (
    CLAIMS,
    FLOORS,
    Checkpoint,
    Completeness,
    Coverage,
    DatasetProgress,
    Outcome,
    Restated,
    Stage,
    Tally,
    plus_wait,
    window_to_read,
)

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = Window(NOW - 90 * DAY, NOW)
ORDERS = DatasetProgress("orders", "orders", Checkpoint(WINDOW))


def orders(**changes: object) -> DatasetProgress:
    return msgspec.structs.replace(ORDERS, **changes)


@pytest.mark.parametrize("module", [model, progress])
def test_values_are_frozen(module: object) -> None:
    structs = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
    ]
    assert len(structs) > 3
    assert [struct.__name__ for struct in structs if not struct.__struct_config__.frozen] == []


def test_every_stage_begins_at_its_percentage() -> None:
    assert FLOORS == {
        Stage.QUEUED: 0,
        Stage.STARTING: 10,
        Stage.FETCHING: 30,
        Stage.PROCESSING: 60,
        Stage.FINALIZING: 90,
        Stage.COMPLETE: 100,
    }


def test_a_new_dataset_has_no_counts() -> None:
    zero = ("processed", "failed", "created", "updated", "unchanged", "deleted", "share")
    unknown = ("total", "seconds_left", "waiting_until", "waiting_for", "error", "code", "restated")
    fields = msgspec.structs.asdict(ORDERS)
    assert {name: fields[name] for name in zero} == dict.fromkeys(zero, 0)
    assert {name: fields[name] for name in unknown} == dict.fromkeys(unknown)
    assert (ORDERS.status, ORDERS.presumed_empty) == (Outcome.PENDING, False)
    assert ORDERS.historical is False
    assert msgspec.structs.asdict(Tally()) == {
        "created": 0,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
        "restated": None,
    }
    assert msgspec.structs.asdict(Completeness()) == {
        "confirmed": 0,
        "single_sourced": 0,
        "short": 0,
    }


# Pages --------------------------------------------------------------------------------------------


def test_a_page_adds_its_counts() -> None:
    before = orders(
        processed=10,
        failed=1,
        created=2,
        updated=3,
        unchanged=4,
        deleted=5,
        waiting_until=NOW,
        waiting_for="a quota",
        seconds_left=9.0,
        share=0.25,
    )
    page = Page([], Cursor("c"), 100, 0.5, seconds_left=7.0)
    after = before.advanced(page, Tally(created=1, updated=2, unchanged=3, failed=4))
    assert after == orders(
        status=Outcome.IN_PROGRESS,
        processed=20,
        total=100,
        failed=5,
        created=3,
        updated=5,
        unchanged=7,
        deleted=5,
        share=0.5,
        seconds_left=7.0,
        checkpoint=Checkpoint(WINDOW, Cursor("c")),
    )


@pytest.mark.parametrize(
    ("known", "announced", "total"),
    [(None, None, None), (50, None, 50), (50, 60, 60), (None, 3, 10), (5, None, 10)],
)
def test_a_total_is_the_last_announced_one_and_never_below_the_count(
    known: int | None, announced: int | None, total: int | None
) -> None:
    after = orders(total=known).advanced(Page([], Cursor("c"), announced), Tally(created=10))
    assert after.total == total


def test_the_share_never_falls() -> None:
    half = orders().advanced(Page([], Cursor("c"), share=0.5), Tally())
    assert half.share == 0.5
    assert half.advanced(Page([], Cursor("d"), share=0.25), Tally()).share == 0.5
    assert half.advanced(Page([], Cursor("d")), Tally()).share == 0.5
    assert orders().advanced(Page([], Cursor("c")), Tally()).share == 0


def test_a_page_that_may_be_empty_for_no_reason_is_remembered() -> None:
    presumed = orders().advanced(Page([], Cursor("c"), presumed_empty=True), Tally())
    assert presumed.presumed_empty
    assert presumed.advanced(Page([], Cursor("d")), Tally()).presumed_empty
    assert not orders().advanced(Page([], Cursor("c")), Tally()).presumed_empty


def test_the_last_page_ends_a_dataset_completely_or_in_part() -> None:
    complete = orders(total=100).advanced(Page([], None), Tally(created=7))
    assert (complete.status, complete.total, complete.error) == (Outcome.COMPLETE, 7, None)
    partial = orders(failed=1).advanced(Page([], None), Tally(created=7))
    assert (partial.status, partial.total) == (Outcome.PARTIAL, 7)


def test_missing_records_are_added_to_a_dataset_that_has_ended() -> None:
    ended = orders(
        status=Outcome.COMPLETE, processed=10, total=10, created=1, updated=2, unchanged=7
    )
    tally = Tally(created=3, updated=2, unchanged=1)
    assert ended.filled(tally) == orders(
        status=Outcome.COMPLETE, processed=16, total=16, created=4, updated=4, unchanged=8
    )
    assert msgspec.structs.replace(ended, total=None).filled(tally).total is None
    assert msgspec.structs.replace(ended, total=90).filled(tally).total == 90


def test_claims_are_stored_in_parts() -> None:
    claims = DatasetProgress(CLAIMS, "claims", Checkpoint(WINDOW))
    half = claims.storing(500, 1000)
    assert (half.status, half.processed, half.total) == (Outcome.IN_PROGRESS, 500, 1000)
    assert claims.storing(7, 5).total == 7


# Shares -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "fraction"),
    [
        (orders(), 0),
        (orders(share=0.3), 0.3),
        (orders(share=0.3, total=0), 0.3),
        (orders(share=0.3, total=10, processed=4), 0.4),
        (orders(total=10, processed=15), 1),
        (orders(status=Outcome.FAILED), 1),
        (orders(status=Outcome.IN_PROGRESS, share=0.2), 0.2),
    ],
)
def test_the_fraction_that_was_read(dataset: DatasetProgress, fraction: float) -> None:
    assert dataset.fraction == fraction
    assert dataset.known_fraction == (fraction or None)


def test_a_dataset_that_read_nothing_of_a_known_total_has_a_known_fraction() -> None:
    assert orders(total=10).known_fraction == 0


@pytest.mark.parametrize(
    ("changes", "fully"),
    [
        ({"status": Outcome.COMPLETE}, True),
        ({"status": Outcome.COMPLETE, "failed": 1}, False),
        ({"status": Outcome.COMPLETE, "presumed_empty": True}, False),
        ({"status": Outcome.PARTIAL}, False),
    ],
)
def test_only_a_complete_dataset_without_failures_was_fully_read(
    changes: dict[str, object], fully: bool
) -> None:
    assert orders(**changes).fully_read is fully


# Endings ------------------------------------------------------------------------------------------


def test_an_end_clears_waits_and_keeps_the_total_of_a_failure() -> None:
    waiting = orders(
        processed=4, total=10, seconds_left=5.0, waiting_until=NOW, waiting_for="a quota"
    )
    assert waiting.end(Outcome.FAILED, "Broken.") == orders(
        status=Outcome.FAILED, processed=4, total=10, error="Broken."
    )
    for outcome in (Outcome.COMPLETE, Outcome.PARTIAL):
        assert waiting.end(outcome).total == 4
    assert waiting.end(Outcome.UNKNOWN).total == 10


CLAIMS_ROW = DatasetProgress(CLAIMS, "claims", Checkpoint(WINDOW))


@pytest.mark.parametrize(
    ("dataset", "outcome", "error", "code"),
    [
        (orders(), "unknown", "Not read: the sync {} first.", "not_read"),
        (
            orders(processed=3, total=9),
            "partial",
            "Not read completely: the sync {} first.",
            None,
        ),
        (CLAIMS_ROW, "unknown", "Not computed: the sync {} first.", None),
        (
            CLAIMS_ROW.storing(3, 9),
            "unknown",
            "Not stored completely: the sync {} first.",
            None,
        ),
    ],
)
@pytest.mark.parametrize(
    ("status", "words"), [("failed", "failed"), ("cancelled", "was cancelled")]
)
def test_a_sync_that_ends_interrupts_its_datasets(
    dataset: DatasetProgress, outcome: str, error: str, code: str | None, status: str, words: str
) -> None:
    after = dataset.interrupted(status)
    assert (after.status, after.error, after.code) == (outcome, error.format(words), code)
    assert after.total == dataset.total, "the total is still what is known of the source"


def test_a_dataset_that_has_ended_is_not_interrupted() -> None:
    ended = orders().end(Outcome.COMPLETE)
    assert ended.interrupted("failed") is ended


def test_a_dataset_with_an_error_is_reopened() -> None:
    failed = orders().interrupted("failed")
    assert failed.reopened() == orders(), "from the start"
    read = orders(processed=3, checkpoint=Checkpoint(WINDOW, Cursor("c")))
    assert read.interrupted("failed").reopened() == msgspec.structs.replace(
        read, status=Outcome.IN_PROGRESS
    )
    complete = orders().end(Outcome.COMPLETE)
    assert complete.reopened() is complete


# Waiting ------------------------------------------------------------------------------------------


def test_a_wait_is_counted_in_the_time_that_is_left() -> None:
    until = NOW + timedelta(seconds=30)
    expected = orders(
        status=Outcome.IN_PROGRESS,
        waiting_until=until,
        waiting_for="Waiting 30 s for a quota",
        waiting_reason="a quota",
        seconds_left=30,
    )
    assert orders().waiting(until, "a quota", 30) == expected
    of_search = orders().waiting(until, QuotaReason("a quota", "searchOrders"), 30)
    assert of_search == msgspec.structs.replace(expected, waiting_operation="searchOrders")
    assert of_search.without_waits() == orders(status=Outcome.IN_PROGRESS, seconds_left=30)
    assert orders(seconds_left=90.0).waiting(until, "Waiting", 30).seconds_left == 90
    assert expected.without_waits() == orders(status=Outcome.IN_PROGRESS, seconds_left=30)


def test_the_wait_that_is_left_ends_at_its_time() -> None:
    row = orders().waiting(NOW + timedelta(seconds=30), "a quota", 30)
    seconds = [row.left_to_wait(NOW + timedelta(seconds=passed)) for passed in (0, 10, 30, 40)]
    assert seconds == [30, 20, 0, 0]
    assert orders().left_to_wait(NOW) == 0


def test_waits_are_added_by_operation_and_taken_back() -> None:
    waited = plus_wait({}, "searchOrders", 30)
    assert waited == {"searchOrders": 30}
    waited = plus_wait(waited, None, 1.00049)
    assert waited == {"searchOrders": 30, "": 1.0}
    waited = plus_wait(waited, "searchOrders", 10.0016)
    assert waited == {"searchOrders": 40.002, "": 1.0}
    assert plus_wait(waited, "searchOrders", -20) == {"searchOrders": 20.002, "": 1.0}
    assert plus_wait(waited, "searchOrders", -50) == {"": 1.0}
    assert plus_wait({}, "searchOrders", 0) == {}


def test_nothing_of_the_source_is_left_in_a_redacted_dataset() -> None:
    row = orders(
        error="Seller 7 is unknown.",
        waiting_for="seller 7",
        waiting_reason="seller 7",
        restated=Restated(1),
        checkpoint=Checkpoint(WINDOW, Cursor("c")),
    )
    assert row.redacted("Erased.") == orders(error="Erased.")
    assert orders().redacted("Erased.") == orders()


def test_the_description_tells_what_is_being_read() -> None:
    assert orders().description == "Fetching orders (0 so far)"
    row = orders(processed=1247, total=2500, waiting_for="Waiting 179 s for a quota")
    assert row.description == "Fetching orders (1,247 of 2,500). Waiting 179 s for a quota"
    assert row.end(Outcome.COMPLETE).description == "Fetched 1,247 orders"


# Restated amounts ---------------------------------------------------------------------------------


FIRST, SECOND, THIRD = (date(2026, 1, number) for number in (1, 2, 3))


def test_restated_amounts_are_added_by_currency_and_day() -> None:
    one = Restated(2, (FIRST, THIRD), {"EUR": Decimal("1.50"), "USD": Decimal(-1)})
    other = Restated(3, (SECOND, THIRD), {"EUR": Decimal("0.25"), "JPY": Decimal(100)})
    both = Restated(
        5,
        (FIRST, SECOND, THIRD),
        {"EUR": Decimal("1.75"), "JPY": Decimal(100), "USD": Decimal(-1)},
    )
    assert one.plus(other) == both == other.plus(one)
    assert one.plus(None) is one
    assert Restated() == Restated(0, (), {})
    assert one.plus(Restated()) == one


def test_at_most_a_thousand_restated_days_are_counted() -> None:
    days = tuple(FIRST + timedelta(days=number) for number in range(1_001))
    assert Restated(1, days).plus(Restated(1)).days == days[:1_000]


def test_a_page_adds_its_restated_amounts() -> None:
    first, second = Restated(1, (FIRST,)), Restated(1, (SECOND,))
    page = Page([], Cursor("c"))
    one = orders().advanced(page, Tally(updated=1, restated=first))
    assert one.restated == first
    assert one.advanced(page, Tally(updated=1)).restated == first
    assert one.advanced(page, Tally(restated=second)).restated == Restated(2, (FIRST, SECOND))


# Coverage -----------------------------------------------------------------------------------------

COVERAGE = Coverage(NOW - 10 * DAY, NOW)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (-5, 5, (-10, 5)),  # overlaps the end
        (0, 5, (-10, 5)),  # begins at the end
        (-20, -5, (-20, 0)),  # overlaps the beginning
        (-20, -10, (-20, 0)),  # ends at the beginning
        (-5, -1, (-10, 0)),  # inside
        (-30, 5, (-30, 5)),  # around
        (1, 5, (-10, 0)),  # a gap, and shorter than the reach
        (1, 31, (1, 31)),  # a gap, but as long as the reach
        (1, 30, (-10, 0)),
        (-60, -11, (-10, 0)),  # a gap before: it would lose the newest days
    ],
)
def test_a_window_extends_the_coverage_unless_it_leaves_a_gap(
    since: int, until: int, expected: tuple[int, int]
) -> None:
    window = Window(NOW + since * DAY, NOW + until * DAY)
    begin, end = expected
    assert COVERAGE.extended(window, 30 * DAY) == Coverage(NOW + begin * DAY, NOW + end * DAY)


@pytest.mark.parametrize(("ahead", "plausible"), [(0, True), (2, True), (3, False)])
def test_a_coverage_of_the_future_is_not_plausible(ahead: int, plausible: bool) -> None:
    coverage = Coverage(NOW - 10 * DAY, NOW + ahead * DAY)
    assert coverage.plausible(NOW, 2 * DAY) is plausible


@pytest.mark.parametrize(
    ("coverage", "since"),
    [
        (None, -90),
        (Coverage(NOW - 90 * DAY, NOW - DAY), -3),
        (Coverage(NOW - 89 * DAY, NOW - DAY), -90),  # less than the reach
        (Coverage(NOW - 300 * DAY, NOW - 200 * DAY), -90),
        (Coverage(NOW - 90 * DAY, NOW + 5 * DAY), -90),  # not plausible
    ],
)
def test_a_dataset_is_read_from_the_end_of_its_coverage(
    coverage: Coverage | None, since: int
) -> None:
    expected = Window(NOW + since * DAY, NOW)
    assert window_to_read(90 * DAY, 2 * DAY, NOW, coverage) == expected


def test_a_window_is_a_second_long_at_least() -> None:
    coverage = Coverage(NOW - 90 * DAY, NOW + 2 * DAY)
    second = timedelta(seconds=1)
    assert window_to_read(90 * DAY, 2 * DAY, NOW, coverage) == Window(NOW - second, NOW)
