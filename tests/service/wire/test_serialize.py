"""Response shapes of a sync: names, times, counters and windows."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from connectors.base import Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.wire import serialize

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
