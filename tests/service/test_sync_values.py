"""Every move and step of a sync, value by value: what it changes, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.base import Cursor, Page, QuotaReason, Window
from service.model import ERASED, Attempt, Fault, Kind, Options, Status, Sync
from service.progress import (
    CLAIMS,
    Checkpoint,
    Completeness,
    DatasetProgress,
    Outcome,
    Restated,
    Stage,
    Tally,
)
from service.warnings import Code, SyncWarning, Warnings

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SOON = LATER + timedelta(seconds=90)
WINDOW = Window(NOW - timedelta(days=90), NOW)
FAULT = Fault("source_error", "The source failed.", True)
LOST = Fault("connection_lost", "Withdrawn.")
CAREFUL = SyncWarning(Code.SOURCE, "Careful.", "orders")


def row(name: str = "orders", **changes: Any) -> DatasetProgress:
    dataset = DatasetProgress(name, name, Checkpoint(WINDOW))
    return msgspec.structs.replace(dataset, **changes)


ROWS = (row("orders"), row("inventory"), row(CLAIMS))
NEW = Sync("sync_1", "acme/ann", "acme", "demo", "conn_1", NOW, NOW, ROWS)


def sync(**changes: Any) -> Sync:
    return msgspec.structs.replace(NEW, **changes)


def running(**changes: Any) -> Sync:
    """A sync that is reading, with figures that moves must keep or clear."""
    values: dict[str, Any] = {
        "status": Status.IN_PROGRESS,
        "stage": Stage.FETCHING,
        "percent": 40,
        "message": "Fetching orders",
        "version": 7,
        "retries": 1,
        "takeovers": 2,
        "seconds_left": 30.0,
        "waiting_until": SOON,
        "checkpoint_at": NOW,
        "datasets": (
            row("orders", status=Outcome.IN_PROGRESS, processed=10, total=20, waiting_until=SOON),
            row("inventory", waiting_for="a quota"),
            row(CLAIMS),
        ),
    }
    return sync(**values | changes)


def check(before: Sync, after: Sync, **changes: Any) -> None:
    """That a step made the next version, with these changes and no others."""
    expected = {"version": before.version + 1, "updated_at": LATER, **changes}
    assert after == msgspec.structs.replace(before, **expected)


def test_a_new_sync_waits_for_its_turn() -> None:
    assert msgspec.to_builtins(NEW) == {
        "id": "sync_1",
        "user": "acme/ann",
        "tenant": "acme",
        "connector": "demo",
        "connection_id": "conn_1",
        "started_at": "2026-01-15T12:00:00Z",
        "updated_at": "2026-01-15T12:00:00Z",
        "datasets": msgspec.to_builtins(ROWS),
        "status": "pending",
        "stage": "queued",
        "percent": 0,
        "message": "Waiting for its turn",
        "version": 1,
        "attempt": 1,
        "retries": 0,
        "takeovers": 0,
        "options": {},
        "trigger": "user",
        "claims_detected": 0,
        "seconds_left": None,
        "waiting_until": None,
        "completed_at": None,
        "checkpoint_at": None,
        "attempt_at": None,
        "error": None,
        "warnings": (),
        "waited": {},
        "attempts": (),
        "completeness": None,
    }


def test_options_are_stored_without_defaults_and_in_camel_case() -> None:
    assert msgspec.to_builtins(Options()) == {}
    options = Options(dry_run=True, overwrite=True, allow_mass_delete=True, priority=2, items="all")
    assert msgspec.to_builtins(options) == {
        "dryRun": True,
        "overwrite": True,
        "allowMassDelete": True,
        "priority": 2,
        "items": "all",
    }


# What a sync tells --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "notice"),
    [
        (
            LOST,
            "The sync has been paused since 2026-01-15 12:00 UTC because the connection was lost: "
            "reconnect it (POST /api/connections/conn_1/reconnect), or cancel it.",
        ),
        (
            FAULT,
            "The sync has been paused since 2026-01-15 12:00 UTC: The source failed. Resume it, or "
            "cancel it.",
        ),
        (
            None,
            "The sync has been paused since 2026-01-15 12:00 UTC:  Resume it, or cancel it.",
        ),
    ],
)
def test_the_notice_of_a_pause(error: Fault | None, notice: str) -> None:
    assert sync(status=Status.PAUSED, error=error).pause_notice == notice


@pytest.mark.parametrize(
    ("historical", "options", "kind"),
    [
        ((False, False), Options(), Kind.INCREMENTAL),
        ((True, False), Options(), Kind.HISTORICAL),
        ((False, True), Options(), Kind.HISTORICAL),
        ((True, True), Options(overwrite=True), Kind.FULL),
        ((True, True), Options(overwrite=True, dry_run=True), Kind.DRY_RUN),
    ],
)
def test_the_kind_of_a_sync(historical: tuple[bool, bool], options: Options, kind: Kind) -> None:
    orders, inventory = historical
    rows = (row("orders", historical=orders), row("inventory", historical=inventory), row(CLAIMS))
    assert sync(datasets=rows, options=options).kind is kind


@pytest.mark.parametrize(
    ("status", "event", "live"),
    [
        (Status.PENDING, "progress", True),
        (Status.IN_PROGRESS, "progress", True),
        (Status.PAUSED, "paused", True),
        (Status.COMPLETE, "complete", False),
        (Status.FAILED, "failed", False),
        (Status.CANCELLED, "cancelled", False),
    ],
)
def test_the_name_of_an_event(status: Status, event: str, live: bool) -> None:
    assert (sync(status=status).event, sync(status=status).live) == (event, live)


@pytest.mark.parametrize(
    ("status", "outcome", "known"),
    [
        (Status.COMPLETE, Outcome.COMPLETE, 3),
        (Status.COMPLETE, Outcome.PARTIAL, 3),
        (Status.COMPLETE, Outcome.UNKNOWN, None),
        (Status.FAILED, Outcome.PENDING, None),
        (Status.IN_PROGRESS, Outcome.PENDING, 3),
    ],
)
def test_the_number_of_claims_is_unknown_if_they_were_not_detected(
    status: Status, outcome: Outcome, known: int | None
) -> None:
    datasets = (row("orders", status=Outcome.FAILED), row(CLAIMS, status=outcome))
    assert sync(status=status, datasets=datasets, claims_detected=3).known_claims == known
    assert sync(status=status, datasets=datasets[:1], claims_detected=3).known_claims == 3


def test_claims_are_not_read() -> None:
    assert [dataset.name for dataset in NEW.read_datasets] == ["orders", "inventory"]
    assert NEW.dataset(CLAIMS) is ROWS[2]


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changes", "minutes", "stalled"),
    [
        ({"takeovers": 2}, 100, False),
        ({"takeovers": 3}, 10, False),
        ({"takeovers": 3}, 11, True),
        ({"takeovers": 4}, 11, True),
        ({"takeovers": 3, "checkpoint_at": NOW + 5 * MINUTE}, 15, False),
        ({"takeovers": 3, "checkpoint_at": NOW + 5 * MINUTE}, 16, True),
        ({"takeovers": 3, "waiting_until": NOW + 50 * MINUTE}, 60, False),
        ({"takeovers": 3, "waiting_until": NOW + 50 * MINUTE}, 61, True),
    ],
)
def test_a_sync_stalls_after_three_takeovers_without_progress(
    changes: dict[str, Any], minutes: int, stalled: bool
) -> None:
    assert sync(**changes).stalled(NOW + minutes * MINUTE, 10 * MINUTE) is stalled


# Moves --------------------------------------------------------------------------------------------


def test_a_sync_that_starts_checks_its_connection() -> None:
    check(
        NEW,
        NEW.taken(LATER),
        status=Status.IN_PROGRESS,
        stage=Stage.STARTING,
        percent=10,
        message="Checking the connection",
    )


def test_a_sync_that_was_resumed_continues_from_its_checkpoint() -> None:
    before = running(status=Status.PENDING)
    check(
        before,
        before.taken(LATER),
        status=Status.IN_PROGRESS,
        message="Continuing from the last checkpoint",
    )


def test_a_takeover_is_counted() -> None:
    before = running()
    check(before, before.taken(LATER), takeovers=3, message="Continuing after an interruption")


@pytest.mark.parametrize(
    ("status", "attempt"), [(Status.PAUSED, 4), (Status.FAILED, 5), (Status.CANCELLED, 5)]
)
def test_a_resume_clears_what_the_next_attempt_will_find_out(status: Status, attempt: int) -> None:
    ended = None if status is Status.PAUSED else NOW + MINUTE
    before = running(
        status=status,
        attempt=4,
        attempt_at=NOW,
        completed_at=ended,
        updated_at=NOW + 2 * MINUTE,
        error=FAULT,
        warnings=(CAREFUL,),
        completeness=Completeness(confirmed=1),
        datasets=tuple(dataset.interrupted("failed") for dataset in running().datasets),
    )
    check(
        before,
        before.resumed(LATER),
        status=Status.PENDING,
        attempt=attempt,
        attempts=(Attempt(4, NOW, ended or NOW + 2 * MINUTE, status, FAULT),),
        attempt_at=LATER,
        retries=0,
        takeovers=0,
        completed_at=None,
        error=None,
        message="Waiting for its turn",
        completeness=None,
        warnings=(),
        datasets=tuple(dataset.reopened() for dataset in before.datasets),
    )


def test_a_retry_is_a_new_attempt_that_begins_after_a_pause() -> None:
    before = running(attempt=2, attempt_at=NOW + MINUTE)
    check(
        before,
        before.retrying(FAULT, SOON, LATER),
        attempt=3,
        retries=2,
        attempts=(Attempt(2, NOW + MINUTE, LATER, "failed", FAULT),),
        attempt_at=SOON,
        message="The source failed. Trying again in 90 s",
        waiting_until=SOON,
        seconds_left=None,
        datasets=tuple(dataset.without_waits() for dataset in before.datasets),
    )


def test_the_last_twenty_attempts_are_kept() -> None:
    after = running()
    for _ in range(22):
        after = after.retrying(FAULT, LATER, LATER)
    assert [attempt.number for attempt in after.attempts] == list(range(3, 23))


def test_an_attempt_never_ends_before_it_started() -> None:
    before = running(attempt_at=SOON)
    (attempt,) = before.retrying(FAULT, SOON, LATER).attempts
    assert (attempt.started_at, attempt.ended_at) == (LATER, LATER)


def test_a_pause_keeps_figures_and_clears_waits() -> None:
    before = running()
    check(
        before,
        before.paused(LOST, LATER),
        status=Status.PAUSED,
        message="Withdrawn.",
        error=LOST,
        seconds_left=None,
        waiting_until=None,
        datasets=tuple(dataset.without_waits() for dataset in before.datasets),
    )


def ended(before: Sync, status: Status) -> dict[str, Any]:
    return {
        "status": status,
        "completed_at": LATER,
        "seconds_left": None,
        "waiting_until": None,
        "datasets": tuple(dataset.interrupted(status) for dataset in before.datasets),
    }


def test_a_cancelled_sync_keeps_its_records() -> None:
    before = running()
    text = "Cancelled. The records read so far are kept."
    check(before, before.cancelled(LATER), message=text, **ended(before, Status.CANCELLED))


def test_a_failed_sync_tells_why() -> None:
    before = running()
    after = before.failed(FAULT, LATER)
    check(before, after, message=FAULT.message, error=FAULT, **ended(before, Status.FAILED))


@pytest.mark.parametrize(
    ("dry_run", "warnings", "message"),
    [
        (False, (), "Complete: 1,010 records"),
        (False, (CAREFUL,), "Complete: 1,010 records, with warnings"),
        (True, (), "Complete: 1,010 records counted, none stored"),
    ],
)
def test_a_complete_sync_counts_its_records(
    dry_run: bool, warnings: Warnings, message: str
) -> None:
    rows = tuple(
        row(name, status=Outcome.COMPLETE, processed=count)
        for name, count in (("orders", 1000), ("inventory", 10), (CLAIMS, 5))
    )
    before = running(datasets=rows, options=Options(dry_run=dry_run), warnings=warnings)
    check(
        before,
        before.completed(LATER),
        message=message,
        stage=Stage.COMPLETE,
        percent=100,
        **ended(before, Status.COMPLETE),
    )


def test_a_redacted_sync_holds_no_text_of_the_source() -> None:
    before = running(
        error=FAULT,
        warnings=(CAREFUL,),
        attempts=(Attempt(1, NOW, NOW, "failed", FAULT), Attempt(2, NOW, NOW, "paused")),
    )
    erased = Fault("source_error", ERASED, True)
    after = before.redacted()
    assert after == msgspec.structs.replace(
        before,
        version=8,
        message=ERASED,
        warnings=(),
        error=erased,
        attempts=(Attempt(1, NOW, NOW, "failed", erased), Attempt(2, NOW, NOW, "paused")),
        datasets=tuple(dataset.redacted(ERASED) for dataset in before.datasets),
    )
    assert after.redacted() is after
    assert sync(status=Status.COMPLETE).redacted().error is None


# Progress -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "after"), [(40, 60), (70, 70)])
def test_a_stage_begins_at_its_percentage_or_above(percent: int, after: int) -> None:
    before = running(percent=percent)
    check(
        before,
        before.staged(Stage.PROCESSING, "Computing", LATER),
        stage=Stage.PROCESSING,
        percent=after,
        message="Computing",
        waiting_until=None,
    )


def reading(*rows: DatasetProgress, **changes: Any) -> Sync:
    values: dict[str, Any] = {"seconds_left": None, "waiting_until": None, "datasets": rows}
    return running(**values | changes)


def test_a_page_is_progress() -> None:
    before = reading(row("orders"), row("inventory"), row(CLAIMS), percent=30)
    page = Page([], Cursor("c"), 100, seconds_left=8.0)
    tally = Tally(created=50)
    orders = row("orders").advanced(page, tally)
    check(
        before,
        before.advanced("orders", page, tally, LATER),
        datasets=(orders, *before.datasets[1:]),
        percent=37,  # a quarter of the way from 30 to 60
        message="Fetching orders (50 of 100)",
        seconds_left=8.0,
        retries=0,
        takeovers=0,
        checkpoint_at=LATER,
    )


def test_the_message_tells_of_the_dataset_that_was_read_last() -> None:
    before = reading(row("orders"), row("inventory"))
    after = before.advanced("inventory", Page([], Cursor("c")), Tally(created=1), LATER)
    assert after.message == "Fetching inventory (1 so far)"
    ended = after.advanced("inventory", Page([]), Tally(), LATER)
    assert ended.message == "Fetching orders (0 so far)"
    done = ended.advanced("orders", Page([]), Tally(created=2), LATER)
    assert done.message == "Fetched 2 orders"


def test_a_page_that_was_read_before_is_no_progress() -> None:
    before = reading(row("orders"), row("inventory"))
    after = before.advanced("orders", Page([], Cursor("c")), Tally(), LATER)
    assert (after.retries, after.takeovers, after.checkpoint_at) == (1, 2, NOW)
    ended = before.advanced("orders", Page([]), Tally(), LATER)
    assert (ended.retries, ended.takeovers, ended.checkpoint_at) == (0, 0, LATER)


def test_warnings_of_pages_are_shown_once() -> None:
    before = reading(row("orders"), warnings=(CAREFUL,))
    page = Page([], Cursor("c"), warning="Careful.")
    twice = SyncWarning(Code.SOURCE, "Careful.", "orders", 2)
    assert before.advanced("orders", page, Tally(), LATER).warnings == (twice,)
    elsewhere = reading(row("orders"), row("inventory"), warnings=(CAREFUL,))
    of_both = msgspec.structs.replace(twice, dataset=None)
    assert elsewhere.advanced("inventory", page, Tally(), LATER).warnings == (of_both,)
    other = Page([], Cursor("c"), warning="Slow.")
    assert before.advanced("orders", other, Tally(), LATER).warnings == (
        CAREFUL,
        SyncWarning(Code.SOURCE, "Slow.", "orders"),
    )


def test_records_that_could_not_be_read_are_a_warning_at_the_end() -> None:
    before = reading(row("orders", processed=1500, failed=1100))
    more = before.advanced("orders", Page([], Cursor("c")), Tally(failed=1), LATER)
    assert more.warnings == ()
    after = before.advanced("orders", Page([], warning="Slow."), Tally(created=1), LATER)
    assert after.warnings == (
        SyncWarning(Code.SOURCE, "Slow.", "orders"),
        SyncWarning(
            Code.RECORDS_FAILED, "1,100 of 1,501 orders could not be read.", "orders", 1100
        ),
    )
    clean = reading(row("orders")).advanced("orders", Page([]), Tally(created=1), LATER)
    assert clean.warnings == ()


def test_the_whole_sync_waits() -> None:
    before = running(waiting_until=None)
    check(
        before,
        before.waiting(None, SOON, "the source", LATER),
        waiting_until=SOON,
        message="Waiting 90 s for the source",
        seconds_left=90.0,
        waited={"": 90.0},
    )
    assert before.waiting(None, NOW, "the source", LATER).message == "Waiting 0 s for the source"


def test_one_dataset_waits() -> None:
    before = reading(row("orders", total=10), row("inventory", waiting_until=NOW), percent=45)
    orders = row("orders", total=10).waiting(SOON, "a quota", 90)
    check(
        before,
        before.waiting("orders", SOON, "a quota", LATER),
        datasets=(orders, before.datasets[1]),
        message="Fetching orders (0 of 10). Waiting 90 s for a quota",
        waiting_until=SOON,  # the later of two
        seconds_left=90,
        waited={"": 90.0},
    )


QUOTA, OTHER = QuotaReason("a quota", "search"), QuotaReason("a quota", "report")


def test_waits_are_counted_by_operation_and_attempt() -> None:
    second = timedelta(seconds=1)
    waiting = (
        reading(row("orders"), row("inventory"))
        .waiting("orders", NOW + 60 * second, QUOTA, NOW)
        .waiting("inventory", NOW + 30 * second, QUOTA, NOW)
        .waiting("inventory", NOW + 80 * second, OTHER, NOW + 70 * second)
        .waiting(None, NOW + 75 * second, "a nap", NOW + 70 * second)
    )
    assert waiting.waited == {"search": 90.0, "report": 10.0, "": 5.0}
    postponed = waiting.waiting("inventory", NOW + 100 * second, OTHER, NOW + 75 * second)
    assert postponed.waited["report"] == 30.0, "the same pause ends later"
    cancelled = postponed.cancelled(NOW + 90 * second)
    assert cancelled.waited == {"search": 90.0, "report": 20.0, "": 5.0}, "it was not waited out"
    resumed = cancelled.resumed(NOW + 95 * second)
    assert (resumed.waited, resumed.attempts[-1].waited) == ({}, cancelled.waited)
    retrying = postponed.retrying(FAULT, SOON, NOW + 80 * second)
    assert (retrying.waited, retrying.attempts[-1].waited["report"]) == ({}, 10.0)
    paused = postponed.paused(LOST, NOW + 80 * second)
    assert paused.resumed(LATER).attempts[-1].waited == paused.waited
    assert paused.waited["report"] == 10.0


def test_a_dataset_that_fails_is_partial_if_something_was_read() -> None:
    before = reading(row("orders", processed=3, total=9), row("inventory"), row("returns"))
    after = before.dataset_failed("orders", "Refused.", LATER)
    orders = after.dataset("orders")
    assert (orders.status, orders.error, orders.total) == (Outcome.PARTIAL, "Refused.", 9)
    text = "Orders could not be read completely: Refused."
    assert after.warnings == (SyncWarning(Code.DATASET_INCOMPLETE, text, "orders"),)
    assert after.message == "Fetching inventory (0 so far)", "the next one that is read"
    last = after.dataset_failed("inventory", "Refused.", LATER, Outcome.UNKNOWN)
    assert last.dataset("inventory").status is Outcome.UNKNOWN
    assert last.dataset_failed("returns", "Refused.", LATER).dataset("returns").status == "failed"
    assert last.warnings[0] == after.warnings[0] and len(last.warnings) == 2


def test_the_percentage_is_the_mean_of_the_datasets_while_they_are_read() -> None:
    done = row("orders", status=Outcome.COMPLETE)
    before = reading(row("orders"), row("inventory", share=0.5), row(CLAIMS), percent=30)
    assert before.warned(CAREFUL, LATER).percent == 30
    after = before.waiting("orders", SOON, "a quota", LATER)
    assert after.percent == 37
    assert reading(done, done, row(CLAIMS)).with_deleted("orders", 0, LATER).percent == 60
    assert reading(row(CLAIMS), percent=30).undetectable("Why.", LATER).percent == 30
    other = reading(done, done, stage=Stage.STARTING, percent=10, message="Checking")
    unchanged = other.with_deleted("orders", 0, LATER)
    assert (unchanged.percent, unchanged.message) == (10, "Checking")
    assert reading(row("orders"), percent=50).waiting("orders", SOON, "x", LATER).percent == 50


def test_deleted_records_are_counted() -> None:
    before = reading(row("orders", deleted=2), row("inventory"))
    after = before.with_deleted("orders", 3, LATER)
    assert after.dataset("orders") == row("orders", deleted=5)
    assert after.dataset("inventory") is before.dataset("inventory")


def test_a_warning_is_added() -> None:
    before, second = running(warnings=(CAREFUL,)), SyncWarning(Code.NOTHING_DELETED, "Second.")
    check(before, before.warned(second, LATER), warnings=(CAREFUL, second))


# Claims -------------------------------------------------------------------------------------------


def test_claims_are_stored_from_sixty_to_ninety_percent() -> None:
    before = reading(row("orders"), row(CLAIMS), waiting_until=SOON, claims_detected=2)
    check(
        before,
        before.storing_claims(500, 1000, LATER),
        stage=Stage.PROCESSING,
        percent=75,
        message="Storing claims (500 of 1,000)",
        waiting_until=None,
        claims_detected=500,
        datasets=(row("orders"), row(CLAIMS).storing(500, 1000)),
    )
    assert before.storing_claims(1, 1000, LATER).claims_detected == 2
    assert before.storing_claims(0, 0, LATER).percent == 60
    late = reading(row(CLAIMS), percent=80).storing_claims(500, 1000, LATER)
    assert late.percent == 80
    assert before.storing_claims(1000, 1000, LATER).percent == 90
    assert before.storing_claims(1, 1, LATER).percent == 90


def test_detected_claims_are_counted() -> None:
    before = reading(row("orders"), row(CLAIMS), stage=Stage.PROCESSING, percent=60)
    after = before.detected(5, {}, LATER)
    claims = row(CLAIMS, processed=5).end(Outcome.COMPLETE)
    check(before, after, datasets=(row("orders"), claims), claims_detected=5)


def test_rules_that_did_not_run_are_named_by_their_reason() -> None:
    before = reading(row(CLAIMS), stage=Stage.PROCESSING, percent=60, warnings=(CAREFUL,))
    skipped = {"R1": "Needs the ledger.", "R2": "Needs returns.", "R3": "Needs the ledger."}
    after = before.detected(5, skipped, LATER)
    text = (
        "Some rules could not run, so more claims may exist. R1, R3: Needs the ledger. R2: Needs "
        "returns."
    )
    claims = row(CLAIMS, processed=5).end(Outcome.PARTIAL, text)
    check(
        before,
        after,
        datasets=(claims,),
        claims_detected=5,
        warnings=(CAREFUL, SyncWarning(Code.RULES_SKIPPED, text, CLAIMS, 3)),
    )


def test_a_detection_that_failed_leaves_claims_unknown() -> None:
    before = reading(row(CLAIMS), stage=Stage.PROCESSING, percent=60, warnings=(CAREFUL,))
    claims = row(CLAIMS).end(Outcome.UNKNOWN, "Broken.")
    after = before.undetectable("Broken.", LATER)
    check(
        before,
        after,
        datasets=(claims,),
        warnings=(CAREFUL, SyncWarning(Code.CLAIMS_UNKNOWN, "Broken.", CLAIMS)),
    )


def test_the_longest_time_that_is_left_counts() -> None:
    before = reading(row("orders"), row("inventory", seconds_left=50.0), row(CLAIMS))
    page = Page([], Cursor("c"), seconds_left=8.0)
    assert before.advanced("orders", page, Tally(created=1), LATER).seconds_left == 50
    assert before.with_deleted("orders", 1, LATER).seconds_left == 50
    assert reading(row("orders")).with_deleted("orders", 1, LATER).seconds_left is None


def test_restated_amounts_do_not_reach_a_redacted_sync() -> None:
    before = reading(row("orders", restated=Restated(1)))
    assert before.redacted().dataset("orders").restated is None
