"""Response shapes of a sync: names, times, counters and windows."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from connectors.base import QuotaReason, Window
from service.model import Options, Status, Sync
from service.progress import Checkpoint, DatasetProgress
from service.warnings import Code, SyncWarning
from service.wire import serialize
from tests.contract import matches_schema

START = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)


def sync(**changes: object) -> Sync:
    window = Window(START - timedelta(days=1), START)
    names = ("orders", "inbound_shipments", "claims")
    datasets = tuple(DatasetProgress(name, name, Checkpoint(window)) for name in names)
    start = Sync("sync_1", "acme/ann", "acme", "demo", "conn_1", START, START, datasets)
    return msgspec.structs.replace(start, **changes)


def test_times_are_in_utc_to_the_millisecond() -> None:
    assert serialize.time(START) == "2026-01-15T12:00:00.123Z"
    elsewhere = START.astimezone(timezone(timedelta(hours=9)))
    assert serialize.time(elsewhere) == "2026-01-15T12:00:00.123Z"
    assert serialize.time(START.replace(microsecond=0)) == "2026-01-15T12:00:00.000Z"


def test_only_orders_have_counters_of_their_own() -> None:
    """An event costs bytes for every stream."""
    body = serialize.status(sync())
    counters = [name for name in body if name.endswith("Processed") or name.startswith("total")]
    assert counters == ["ordersProcessed", "totalOrders", "recordsProcessed"]
    without = serialize.status(sync(datasets=sync().datasets[1:]))
    assert (without["ordersProcessed"], without["totalOrders"]) == (0, None)


def test_a_row_of_the_history_has_the_number_of_warnings() -> None:
    warned = sync(warnings=(SyncWarning(Code.SOURCE, "Slow.", "orders", 3),))
    row = msgspec.to_builtins(serialize.history_row(warned))
    assert matches_schema(row, "HistoryRow")
    assert row["warningsCount"] == 1
    status = serialize.status(warned)
    assert status["warnings"] == [
        {"dataset": "orders", "code": "source", "message": "Slow.", "count": 3}
    ]
    assert row == {name: status[name] for name in row}
    assert not {"datasets", "warnings", "options"} & set(row)


def test_a_dataset_shows_what_it_waits_for_and_how_much_is_read() -> None:
    orders, shipments, claims = sync().datasets
    why = QuotaReason("Amazon's quota for searchOrders", "searchOrders")
    waits = orders.waiting(START + timedelta(seconds=90), why, 90)
    later = shipments.waiting(START + timedelta(seconds=2), "another try", 2)
    read = msgspec.structs.replace(later, processed=1, total=4)
    first, second, third = serialize.status(sync(datasets=(waits, read, claims)))["datasets"]
    assert first["fraction"] is None and second["fraction"] == 0.25
    assert first["waiting"] == {
        "for": "Amazon's quota for searchOrders",
        "operation": "searchOrders",
        "until": "2026-01-15T12:01:30.123Z",
    }
    assert second["waiting"]["for"] == "another try" and second["waiting"]["operation"] is None
    assert third["waiting"] is None


@pytest.mark.parametrize(
    ("options", "historical", "kind"),
    [
        (Options(), (False, True), "historical"),
        (Options(), (False, False), "incremental"),
        (Options(overwrite=True), (False, True), "full"),
        (Options(overwrite=True, dry_run=True), (True, True), "dry_run"),
    ],
)
def test_the_kind_of_a_sync_says_what_it_reads(
    options: Options, historical: tuple[bool, bool], kind: str
) -> None:
    datasets = tuple(
        msgspec.structs.replace(dataset, historical=old)
        for dataset, old in zip(sync().datasets, historical, strict=False)
    )
    assert serialize.status(sync(datasets=datasets, options=options))["kind"] == kind


def test_a_dataset_without_a_span_of_time_has_no_window() -> None:
    point = DatasetProgress("stock", "stock", Checkpoint(Window(START, START)))
    body = serialize.status(sync(datasets=(*sync().datasets, point)))
    windows = {dataset["name"]: dataset["window"] for dataset in body["datasets"]}
    assert windows["claims"] is None and windows["stock"] is None
    assert windows["orders"] == {
        "since": "2026-01-14T12:00:00.123Z",
        "until": "2026-01-15T12:00:00.123Z",
    }


def test_a_version_is_encoded_once() -> None:
    encoder = serialize.Encoder()
    first = encoder.status(sync())
    assert encoder.status(sync()) is first
    assert encoder.status(sync(version=2)) != first


def test_unknown_claims_are_null_once_the_sync_has_ended() -> None:
    running = sync(status=Status.IN_PROGRESS)
    assert serialize.status(running)["claimsDetected"] == 0, "none is found yet"
    without_rules = running.detected(3, {"R1": "Needs all of ledger."}, START)
    assert serialize.status(without_rules.completed(START))["claimsDetected"] == 3
    unknown = running.undetectable("The ledger is unknown.", START)
    assert serialize.status(unknown)["claimsDetected"] == 0
    for ended in (unknown.completed(START), running.cancelled(START)):
        body = serialize.status(ended)
        assert body["claimsDetected"] is None
        assert serialize.whole_sync(ended, [])["claimsDetected"] is None
        assert matches_schema(body, "SyncStatus")


def test_changes_of_evidence_are_named_by_field() -> None:
    kept = {"id": "a", "sync_id": "s", "updated_at": "2026-01-15T12:00:00.000000Z", "data": "[1]"}
    proof = serialize.proof("conn_1", kept, {**kept, "connection_id": "conn_1", "data": "[2]"})
    assert proof is not None and proof.state == "changed"
    assert [bytes(change.after) for change in proof.changes] == [b"[2]"]
    assert serialize.proof("conn_1", None, None) is None
    reordered = {**kept, "data": '{"a":1,"b":2}'}, {**kept, "data": '{"b":2,"a":1}'}
    same = serialize.proof("conn_1", *reordered)
    assert same is not None and (same.state, same.now) == ("unchanged", None)
