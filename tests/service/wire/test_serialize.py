"""Response shapes of a sync: names, times, counters and windows."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from connectors.base import Window
from service.model import Status, Sync
from service.progress import Checkpoint, DatasetProgress
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


def test_every_dataset_has_its_counters_by_name() -> None:
    body = serialize.status(sync())
    assert body["inboundShipmentsProcessed"] == 0 and body["totalInboundShipments"] is None
    for name in serialize.ALWAYS_COUNTED:
        assert f"{name}Processed" in body
    assert "claimsProcessed" not in body


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
        assert serialize.whole_sync(ended)["claimsDetected"] is None
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
