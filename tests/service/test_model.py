"""Moves of a sync: only those of the table happen, and the percentage never falls."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Cursor, Page, Window
from service.errors import IllegalMove
from service.model import ENDED, LIVE, MOVES, Fault, Status, Sync
from service.progress import CLAIMS, NOT_READ, Checkpoint, DatasetProgress, Outcome, Stage, Tally

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=90), NOW)


def new_sync() -> Sync:
    names = ("orders", "inventory", CLAIMS)
    return Sync(
        id="sync_1",
        user="ann",
        tenant="ann",
        connector="demo",
        connection_id="conn_1",
        started_at=NOW,
        updated_at=NOW,
        datasets=tuple(DatasetProgress(name, name, Checkpoint(WINDOW)) for name in names),
    )


def fetching() -> Sync:
    return new_sync().taken(NOW).staged(Stage.FETCHING, "Fetching", NOW)


def page(cursor: str | None, total: int | None = None, share: float | None = None) -> Page:
    return Page([], Cursor(cursor) if cursor else None, total, share)


def test_the_table_of_moves_has_every_status() -> None:
    assert set(MOVES) == set(Status)
    assert set(Status) == LIVE | ENDED
    assert not MOVES[Status.COMPLETE]


def test_a_complete_sync_cannot_be_cancelled() -> None:
    with pytest.raises(IllegalMove):
        fetching().completed(NOW).cancelled(NOW)


def test_a_takeover_keeps_the_attempt_and_the_stage() -> None:
    sync = fetching().advanced("orders", page("1", total=10), Tally(created=5), NOW)
    after = sync.taken(NOW)
    assert (after.attempt, after.takeovers) == (1, 1)
    assert (after.stage, after.percent) == (sync.stage, sync.percent)
    assert after.dataset("orders").checkpoint.cursor == "1"


def test_a_resume_is_a_new_attempt_after_a_failure_but_not_after_a_pause() -> None:
    fault = Fault("x", "x")
    assert fetching().failed(fault, NOW).resumed(NOW).attempt == 2
    assert fetching().cancelled(NOW).resumed(NOW).attempt == 2
    assert fetching().paused(fault, NOW).resumed(NOW).attempt == 1


def test_a_known_total_sets_the_percentage() -> None:
    sync = fetching().advanced("orders", page("1", total=10), Tally(created=5), NOW)
    assert sync.percent == 30 + int(30 * (0.5 + 0) / 2)


def test_without_a_total_the_share_sets_the_percentage() -> None:
    sync = fetching().advanced("orders", page("1", share=0.4), Tally(created=5), NOW)
    assert sync.percent == 36
    assert sync.dataset("orders").total is None


def test_a_total_is_known_when_the_dataset_ends() -> None:
    sync = fetching().advanced("orders", page(None), Tally(created=7), NOW)
    assert sync.dataset("orders").total == 7
    assert sync.dataset("orders").status is Outcome.COMPLETE


def test_a_failed_record_makes_its_dataset_partial() -> None:
    sync = fetching().advanced("orders", page(None), Tally(created=6, failed=1), NOW)
    assert sync.dataset("orders").status is Outcome.PARTIAL
    assert sync.dataset("orders").processed == 7


def test_a_wait_creates_one_version_and_ends_with_the_next_page() -> None:
    until = NOW + timedelta(seconds=179)
    waiting = fetching().waiting("orders", until, "the quota", NOW)
    assert waiting.version == fetching().version + 1
    assert waiting.waiting_until == waiting.dataset("orders").waiting_until == until
    assert waiting.seconds_left == 179
    cleared = waiting.advanced("orders", page("1"), Tally(), NOW)
    assert cleared.waiting_until is None and cleared.dataset("orders").waiting_until is None


@pytest.mark.parametrize("dataset", [None, "orders"])
def test_a_wait_that_is_recorded_after_its_end_has_no_seconds_left(dataset: str | None) -> None:
    sync = fetching().waiting(dataset, NOW - timedelta(seconds=3), "the quota", NOW)
    assert sync.seconds_left == 0
    assert "Waiting 0 s" in sync.message


def test_a_sync_waits_as_long_as_any_of_its_datasets() -> None:
    soon, late = NOW + timedelta(seconds=2), NOW + timedelta(seconds=179)
    sync = fetching().waiting("orders", late, "a", NOW).waiting("inventory", soon, "b", NOW)
    assert sync.waiting_until == late


def test_an_ended_sync_reports_unread_datasets_as_unknown() -> None:
    started = fetching().advanced("orders", page("1"), Tally(created=5), NOW)
    cancelled = started.cancelled(NOW)
    assert cancelled.dataset("orders").status is Outcome.PARTIAL
    assert cancelled.dataset("inventory").status is Outcome.UNKNOWN
    assert cancelled.dataset("inventory").code == NOT_READ
    assert cancelled.dataset(CLAIMS).status is Outcome.UNKNOWN
    resumed = cancelled.resumed(NOW)
    assert resumed.dataset("orders").status is Outcome.IN_PROGRESS
    assert resumed.dataset("orders").checkpoint.cursor == "1"
    for name in ("inventory", CLAIMS):
        assert resumed.dataset(name).status is Outcome.PENDING
        assert resumed.dataset(name).error is resumed.dataset(name).code is None


def test_a_sync_is_unchanged_by_encoding_and_decoding() -> None:
    sync = fetching().advanced("orders", page("1", share=0.3), Tally(created=5), NOW)
    assert msgspec.json.decode(msgspec.json.encode(sync), type=Sync) == sync


DATASETS = st.sampled_from(["orders", "inventory"])
MOVE = st.sampled_from(
    (
        *("taken", "cancelled", "failed", "paused", "completed", "resumed"),
        *("fetching", "processing", "finalizing", "page", "last page", "wait"),
        *("dataset failed", "detected", "undetectable"),
    )
)


class Step(msgspec.Struct, frozen=True):
    """A move, and the page or the dataset that it changes."""

    move: str
    dataset: str
    #: Records of the page.
    count: int
    #: The total that the page reports; it may be too small, or change.
    total: int | None
    share: float


def move(sync: Sync, step: Step) -> Sync:
    name, dataset, count = step.move, step.dataset, step.count
    fault = Fault("x", "x")
    match name:
        case "taken" | "cancelled" | "completed" | "resumed":
            moved: Sync = getattr(sync, name)(NOW)
            return moved
        case "failed" | "paused":
            moved = getattr(sync, name)(fault, NOW)
            return moved
        case "fetching" | "processing" | "finalizing":
            return sync.staged(Stage(name), name, NOW)
        case "page":
            next_page = page("c", total=step.total, share=step.share)
            return sync.advanced(dataset, next_page, Tally(created=count), NOW)
        case "last page":
            return sync.advanced(dataset, page(None, total=step.total), Tally(updated=count), NOW)
        case "wait":
            return sync.waiting(dataset, NOW, "x", NOW)
        case "dataset failed":
            return sync.dataset_failed(dataset, "x", NOW)
        case "detected":
            return sync.detected(count, {}, NOW)
        case _:
            return sync.undetectable("x", NOW)


def steps_with(totals: st.SearchStrategy[int | None]) -> st.SearchStrategy[list[Step]]:
    step = st.builds(Step, MOVE, DATASETS, st.integers(0, 100), totals, st.floats(0, 1))
    return st.lists(step, max_size=60)


@given(steps_with(st.none() | st.integers(0, 300)))
def test_invariants_hold_after_any_moves(steps: list[Step]) -> None:
    """Only moves of the table happen; versions go up by one; the percentage never falls, and is 100
    only when complete; no dataset has more records than its total."""
    sync = new_sync()
    for step in steps:
        name = step.move
        is_move = name in ("taken", "cancelled", "completed", "resumed", "failed", "paused")
        if not is_move and sync.status is not Status.IN_PROGRESS:
            continue  # the pipeline makes progress only with a sync that it holds
        try:
            after = move(sync, step)
        except IllegalMove:
            continue
        assert after.version == sync.version + 1
        if after.status is not sync.status:
            assert after.status in MOVES[sync.status]
        assert after.percent >= sync.percent
        assert (after.percent == 100) == (after.status is Status.COMPLETE)
        assert_totals_hold(after)
        if after.status in ENDED:
            assert after.completed_at and not after.waiting_until
            assert Outcome.IN_PROGRESS not in {dataset.status for dataset in after.datasets}
        sync = after


PAGES = st.lists(st.tuples(DATASETS, st.integers(0, 100), st.integers(0, 300)), max_size=40)


@given(PAGES)
def test_a_dataset_never_has_more_records_than_its_total(
    pages: list[tuple[str, int, int]],
) -> None:
    """Every page reports a total, which may be too small or change."""
    sync = fetching()
    for name, count, total in pages:
        sync = sync.advanced(name, page("c", total=total), Tally(created=count), NOW)
        assert sync.dataset(name).total is not None
        assert_totals_hold(sync)


def assert_totals_hold(sync: Sync) -> None:
    for dataset in sync.datasets:
        assert dataset.total is None or dataset.processed <= dataset.total


def test_a_fault_is_final_unless_it_says_otherwise() -> None:
    assert not Fault("code", "message").retryable


def test_a_sync_keeps_its_last_twenty_attempts() -> None:
    sync = fetching()
    for _ in range(25):
        sync = sync.failed(Fault("code", "message"), NOW).resumed(NOW).taken(NOW)
    assert [attempt.number for attempt in sync.attempts] == list(range(6, 26))
